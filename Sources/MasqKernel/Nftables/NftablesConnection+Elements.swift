// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

extension NftablesConnection {
    /// Reads the elements of a set of a kind that masqd makes; nothing for any other kind.
    mutating func set(
        _ name: String, _ shape: Snapshot.SetShape
    ) throws(NetlinkError) -> Snapshot.SetState {
        if let recording = shape.recording { return .init(shape: shape, elements: .recorded(recording)) }
        guard var reader = shape.elementReader else { return .init(shape: shape, elements: nil) }
        try list(
            NFT_MSG_GETSETELEM, table: NFTA_SET_ELEM_LIST_TABLE, "elements of set \(name)", set: name
        ) { reader.read(listing: $0) }
        return .init(shape: shape, reader)
    }
}

/// Takes in the elements of one kind of set, as a listing tells them one by one.
protocol ElementReader {
    /// Takes in one element.
    mutating func read(_ attributes: Attributes)
    /// All of them, and whether they are there in other pieces than masqd writes.
    consuming func elements() -> (elements: Ruleset.Elements, isFragmented: Bool)
}

extension ElementReader {
    /// Takes in one answer of a listing (NFT_MSG_NEWSETELEM).
    mutating func read(listing attributes: Attributes) {
        for attribute in attributes
        where attribute.type == UInt16(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue) {
            for element in attribute.nested { read(element.nested) }
        }
    }
}

extension Snapshot.SetState {
    /// Makes a set of what was read.
    init(shape: Snapshot.SetShape, _ reader: consuming some ElementReader) {
        let (elements, isFragmented) = reader.elements()
        self.init(shape: shape, elements: elements)
        self.isFragmented = isFragmented
    }
}

extension Snapshot.SetShape {
    /// What reads the elements of such a set; nothing for a kind that masqd never makes.
    var elementReader: (any ElementReader)? {
        switch self {
        case .init(of: .addresses(.init(family: .ipv4))): IntervalBoundaries(family: .ipv4)
        case .init(of: .addresses(.init(family: .ipv6))): IntervalBoundaries(family: .ipv6)
        case .init(of: .interfaces([])): InterfaceJumps(isMap: false)
        case .init(of: .jumps([:])): InterfaceJumps(isMap: true)
        case .init(of: .addressJumps(.ipv4, [:])): AddressJumps(family: .ipv4)
        case .init(of: .addressJumps(.ipv6, [:])): AddressJumps(family: .ipv6)
        default: elementType.map { Entries($0) }
        }
    }
}

extension Attribute {
    /// An address in network order, as a number.
    fileprivate var address: UInt128? {
        switch bytes.count {
        case 4: UInt128(UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self)))
        case 16: UInt128(bigEndian: bytes.loadUnaligned(as: UInt128.self))
        default: nil
        }
    }
}

/// Interface names and the chains that they lead to; a name that leads elsewhere has a chain no chain is called.
private struct InterfaceJumps: ElementReader {
    /// A set has names only.
    let isMap: Bool
    private var chains: [InterfaceName: String] = [:]
    /// Whether the name alone would not find an element: its bytes have no NUL at the end, or more behind it, or there are none.
    private var hasStrangers = false

    init(isMap: Bool) { self.isMap = isMap }

    mutating func read(_ attributes: Attributes) {
        var name: InterfaceName?
        var chain = ""
        for attribute in attributes {
            switch UInt32(attribute.type) {
            case NFTA_SET_ELEM_KEY.rawValue:
                guard let key = attribute.nested.first(where: { _ in true }) else { break }
                let own = InterfaceName(key.bytes)
                name = own
                hasStrangers = hasStrangers || Array(key.bytes) != interfaceNameKey(own)
            case NFTA_SET_ELEM_DATA.rawValue:
                chain = attribute.nested.first { _ in true }.map(\.jumpTarget) ?? ""
            default: break
            }
        }
        // A catch-all element (Linux 5.13) has no key, and nothing that could be deleted by it.
        if let name { chains[name] = chain } else { hasStrangers = true }
    }

    consuming func elements() -> (elements: Ruleset.Elements, isFragmented: Bool) {
        (isMap ? .jumps(chains) : .interfaces(Set(chains.keys)), hasStrangers)
    }
}

/// Addresses and the chains that they lead to; an address that leads elsewhere has a chain no chain is called.
private struct AddressJumps: ElementReader {
    private let family: AddressFamily
    private var chains: [IPAddress: String] = [:]
    /// Whether there are elements without an address, as a catch-all is.
    private var hasStrangers = false

    init(family: AddressFamily) { self.family = family }

    mutating func read(_ attributes: Attributes) {
        var address: IPAddress?
        var chain = ""
        for attribute in attributes {
            switch UInt32(attribute.type) {
            case NFTA_SET_ELEM_KEY.rawValue:
                address = attribute.nested.first { _ in true }.flatMap { IPAddress(networkOrder: $0.bytes) }
            case NFTA_SET_ELEM_DATA.rawValue:
                chain = attribute.nested.first { _ in true }.map(\.jumpTarget) ?? ""
            default: break
            }
        }
        if let address { chains[address] = chain } else { hasStrangers = true }
    }

    consuming func elements() -> (elements: Ruleset.Elements, isFragmented: Bool) {
        (.addressJumps(family, chains), hasStrangers)
    }
}

/// The elements of a set or map of several fields, on their way to being sorted.
private struct Entries: ElementReader {
    private let type: ElementType
    private var list = PackedElements.List()
    /// Whether there are elements of another length than the type says, which are in no set of masqd's.
    private var hasStrangers = false

    init(_ type: ElementType) { self.type = type }

    /// Reads its key, its last key with intervals, and its data.
    mutating func read(_ attributes: Attributes) {
        var element: [UInt8] = []
        element.reserveCapacity(type.elementLength)
        for part in [NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_KEY_END, NFTA_SET_ELEM_DATA] {
            guard let attribute = attributes.first(where: { $0.type == UInt16(part.rawValue) }) else {
                continue
            }
            for value in attribute.nested where value.type == UInt16(NFTA_DATA_VALUE.rawValue) {
                element.append(contentsOf: value.bytes)
            }
        }
        if element.count == type.elementLength {
            list.append(element: element)
        } else {
            hasStrangers = true
        }
    }

    consuming func elements() -> (elements: Ruleset.Elements, isFragmented: Bool) {
        (.entries(PackedElements(type, list)), hasStrangers)
    }
}

extension Attribute {
    /// The chain that a verdict jumps to; empty for any other verdict.
    fileprivate var jumpTarget: String {
        var chain = ""
        var isJump = false
        for attribute in nested {
            switch UInt32(attribute.type) {
            case NFTA_VERDICT_CODE.rawValue:
                isJump = Int32(bitPattern: attribute.bigEndian32) == NFT_JUMP.rawValue
            case NFTA_VERDICT_CHAIN.rawValue: chain = attribute.string
            default: break
            }
        }
        return isJump ? chain : ""
    }
}

/// The starts and ends that an interval set is made of, on their way to being ranges.
struct IntervalBoundaries: ElementReader {
    private let family: AddressFamily
    /// An end comes before a start at the same address.
    private var boundaries: [(address: UInt128, isStart: Bool)] = []
    /// Whether there are elements without an address, as a catch-all is.
    private var hasStrangers = false

    init(family: AddressFamily) { self.family = family }

    mutating func read(_ attributes: Attributes) {
        var key: UInt128?
        var isEnd = false
        for attribute in attributes {
            switch UInt32(attribute.type) {
            case NFTA_SET_ELEM_KEY.rawValue:
                key = attribute.nested.first { $0.type == UInt16(NFTA_DATA_VALUE.rawValue) }?.address
            case NFTA_SET_ELEM_FLAGS.rawValue:
                isEnd = attribute.bigEndian32 & NFT_SET_ELEM_INTERVAL_END.rawValue != 0
            default: break
            }
        }
        if let key { append(key, isEnd: isEnd) } else { hasStrangers = true }
    }

    mutating func append(_ address: UInt128, isEnd: Bool) { boundaries.append((address, !isEnd)) }

    consuming func elements() -> (elements: Ruleset.Elements, isFragmented: Bool) {
        let pieces = boundaries.count { $0.isStart }
        let hasStrangers = hasStrangers
        let ranges = ranges()
        return (.addresses(ranges), hasStrangers || pieces != ranges.ranges.count)
    }

    /// Pairs each start with what comes next: its end, another start where nft left the end out, or nothing.
    consuming func ranges() -> AddressRanges {
        // The kernel lists in descending order (since 6.x in ascending too): turning that round saves the sort.
        if let first = boundaries.first, let last = boundaries.last, first.address > last.address {
            boundaries.reverse()
        }
        let isSorted = zip(boundaries, boundaries.dropFirst())
            .allSatisfy { ($0.address, $0.isStart ? 1 : 0) <= ($1.address, $1.isStart ? 1 : 0) }
        if !isSorted {
            boundaries.sort { ($0.address, $0.isStart ? 1 : 0) < ($1.address, $1.isStart ? 1 : 0) }
        }
        var ranges: [AddressRange] = []
        ranges.reserveCapacity(boundaries.count / 2 + 1)
        for (index, boundary) in boundaries.enumerated() where boundary.isStart {
            let next = index + 1 < boundaries.count ? boundaries[index + 1].address - 1 : family.maximum
            ranges.append(AddressRange(first: boundary.address, last: max(next, boundary.address)))
        }
        return AddressRanges(family: family, merging: ranges)
    }
}
