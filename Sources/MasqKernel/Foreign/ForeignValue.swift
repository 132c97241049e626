// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// What a register holds, where masqd has a word for it.
struct ForeignValue {
    var field: Field
    /// The bits of it that are looked at; absent: all.
    var mask: [UInt8]?

    /// Something about a packet.
    enum Field {
        case linkName(ForeignRuleset.Side)
        case linkIndex(ForeignRuleset.Side)
        case address(ForeignRuleset.Side, AddressFamily)
        case transport
        case family
        case etherType
        case state
        case status
        case direction
        case mark

        /// How many bytes it takes: a longer key of a set is a concatenation, of which it is the first part only.
        var byteCount: Int {
            switch self {
            case .linkName: Int(IFNAMSIZ)
            case .address(_, let family): family.byteCount
            case .transport, .family, .direction: 1
            case .etherType: 2
            case .linkIndex, .state, .status, .mark: 4
            }
        }
    }

    /// The condition that it is equal to these bytes; nothing where there is no word for that.
    func equals(_ bytes: [UInt8]) -> ForeignRuleset.Condition? {
        switch field {
        case .linkName(let side): mask == nil ? Self.linkName(bytes).map { .link(side, $0) } : nil
        case .linkIndex(let side):
            mask == nil ? bytes.native32.map { .linkIndex(side, Int32(bitPattern: $0)) } : nil
        case .address(let side, let family):
            network(bytes, family).map {
                .address(side, AddressRanges(family: family, networks: [$0]))
            }
        case .transport: mask == nil ? bytes.first.map { .transport($0) } : nil
        case .family:
            mask == nil ? bytes.first.flatMap { AddressFamily(rawValue: $0) }.map { .family($0) } : nil
        case .etherType:
            switch bytes {
            case [0x08, 0x00]: .family(.ipv4)  // ETH_P_IP
            case [0x86, 0xdd]: .family(.ipv6)  // ETH_P_IPV6
            default: nil
            }
        case .state: flags(bytes).map { $0.isNone ? .not(.state($0.bits)) : .state($0.bits) }
        case .status: flags(bytes).map { $0.isNone ? .not(.status($0.bits)) : .status($0.bits) }
        case .direction: mask == nil ? bytes.first.map { $0 == 0 ? .not(.isReply) : .isReply } : nil
        case .mark:
            bytes.native32.flatMap { value in
                let mask = mask.map(\.native32) ?? .max
                return mask.map { .mark(value, mask: $0) }
            }
        }
    }

    /// The condition that it is one of the ranges.
    func isIn(_ ranges: [UInt128: Bool]) -> ForeignRuleset.Condition? {
        guard case .address(let side, let family) = field, mask == nil else { return nil }
        var boundaries = IntervalBoundaries(family: family)
        for (address, isEnd) in ranges { boundaries.append(address, isEnd: isEnd) }
        return .address(side, boundaries.ranges())
    }

    /// A whole name with its NUL, or the beginning of one without.
    private static func linkName(_ bytes: [UInt8]) -> InterfacePattern? {
        let name = InterfaceName(bytes)
        // Without a NUL in all of the field it is no interface's.
        guard !name.isEmpty, bytes.contains(0) || bytes.count <= InterfaceName.maximumByteCount else {
            return nil
        }
        return bytes.contains(0) ? .name(name) : .prefix(name)
    }

    /// Addresses are compared under a mask, or for prefixes of whole bytes by their first bytes only.
    private func network(_ bytes: [UInt8], _ family: AddressFamily) -> IPNetwork? {
        guard bytes.count <= family.byteCount else { return nil }
        let mask = mask ?? [UInt8](repeating: 0xff, count: bytes.count)
        let ones = mask.reduce(0) { $0 + $1.nonzeroBitCount }
        let padding = [UInt8](repeating: 0, count: family.byteCount - bytes.count)
        guard let address = IPAddress(networkOrder: bytes + padding), mask.count == bytes.count,
            let maskAddress = IPAddress(networkOrder: mask + padding)
        else { return nil }
        let network = IPNetwork(containing: address, prefixLength: ones)
        let expected = ones == 0 ? 0 : family.maximum &- (family.maximum >> UInt128(ones))
        // A mask with holes is no network.
        let isPrefix = ones == family.bitCount ? true : maskAddress.value == expected
        return isPrefix ? network : nil
    }

    /// `ct state established,related` is "under this mask not 0", a single state is "equal".
    ///
    /// - Returns: the bits, and whether none of them must be set.
    private func flags(_ bytes: [UInt8]) -> (bits: UInt32, isNone: Bool)? {
        guard let value = bytes.native32 else { return nil }
        guard let mask else {
            return value.nonzeroBitCount == 1 ? (value, false) : nil
        }
        guard let bits = mask.native32 else { return nil }
        if value == 0 { return (bits, true) }
        return value == bits && bits.nonzeroBitCount == 1 ? (bits, false) : nil
    }
}

/// The elements of a set that is written inside of a rule.
struct ForeignSet {
    private let isInterval: Bool
    private var elements: [(key: [UInt8], isEnd: Bool, verdict: ForeignRuleset.Effect?)] = []
    /// The element `*`, which stands for every value that no other element is of.
    private var hasCatchAll = false
    private var catchAllVerdict: ForeignRuleset.Effect?

    /// Sets with more elements are not read.
    static let maximumCount = 4096

    /// How many elements were read.
    var count: Int { elements.count }

    /// Reads what `NFT_MSG_NEWSET` says about it; nothing for a set that is not part of its rule.
    init?(_ attributes: Attributes) {
        let flags = attributes.number(NFTA_SET_FLAGS.rawValue) ?? 0
        let changes = NFT_SET_EVAL.rawValue | NFT_SET_TIMEOUT.rawValue | NFT_SET_CONCAT.rawValue
        guard flags & NFT_SET_ANONYMOUS.rawValue != 0, flags & changes == 0 else { return nil }
        for attribute in attributes where attribute.type == UInt16(NFTA_SET_DESC.rawValue) {
            let size = attribute.nested.number(NFTA_SET_DESC_SIZE.rawValue) ?? 0
            guard size <= Self.maximumCount else { return nil }
        }
        isInterval = flags & NFT_SET_INTERVAL.rawValue != 0
    }

    /// Takes in one answer of the listing of its elements (NFT_MSG_NEWSETELEM).
    mutating func read(_ attributes: Attributes) {
        for attribute in attributes
        where attribute.type == UInt16(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue) {
            for element in attribute.nested { append(element.nested) }
        }
    }

    private mutating func append(_ attributes: Attributes) {
        let flags = attributes.number(NFTA_SET_ELEM_FLAGS.rawValue) ?? 0
        let data = attributes.first { $0.type == UInt16(NFTA_SET_ELEM_DATA.rawValue) }
        let verdict = data?.nested.first { $0.type == UInt16(NFTA_DATA_VERDICT.rawValue) }
            .map { ForeignRuleset.Effect(verdict: $0.nested) }
        if flags & NFT_SET_ELEM_CATCHALL.rawValue != 0 {
            hasCatchAll = true
            catchAllVerdict = verdict
        } else if let key = attributes.bytes(NFTA_SET_ELEM_KEY.rawValue) {
            elements.append((key, flags & NFT_SET_ELEM_INTERVAL_END.rawValue != 0, verdict))
        }
    }

    /// Whether its keys are such values, and nothing beside.
    private func isOf(_ value: ForeignValue) -> Bool {
        elements.allSatisfy { $0.key.count == value.field.byteCount }
    }

    /// The condition that a value is in the set; nothing where there is no word for it.
    func condition(on value: ForeignValue) -> ForeignRuleset.Condition? {
        if hasCatchAll { return .not(.any([])) }
        guard isOf(value) else { return nil }
        if isInterval {
            var boundaries: [UInt128: Bool] = [:]
            for element in elements {
                guard let address = IPAddress(networkOrder: element.key) else { return nil }
                // Where one range ends and the next begins, the beginning is all that matters.
                boundaries[address.value] = element.isEnd && boundaries[address.value] != false
            }
            return value.isIn(boundaries)
        }
        var conditions: [ForeignRuleset.Condition] = []
        for element in elements {
            guard let condition = value.equals(element.key) else { return nil }
            conditions.append(condition)
        }
        return .any(conditions)
    }

    /// What a verdict map does with a value; nothing where there is no word for it.
    func choice(by value: ForeignValue) -> ForeignRuleset.Effect? {
        guard !isInterval, isOf(value) else { return nil }
        var choices: [ForeignRuleset.Choice] = []
        for element in elements {
            guard let condition = value.equals(element.key), let verdict = element.verdict else { return nil }
            choices.append(.init(condition, verdict))
        }
        if hasCatchAll {
            guard let catchAllVerdict else { return nil }
            choices.append(.init(.not(.any(choices.map(\.condition))), catchAllVerdict))
        }
        return .choose(choices)
    }
}

extension [UInt8] {
    /// Four bytes as a number in the machine's order, which is that of interface indexes, marks and states.
    var native32: UInt32? {
        count == 4 ? withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) } : nil
    }
}
