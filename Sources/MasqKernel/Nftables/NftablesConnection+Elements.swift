// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

extension NftablesConnection {
    /// Reads the elements of a set of a kind that masqd makes; nothing for any other kind.
    mutating func set(
        _ name: String, _ shape: Snapshot.SetShape
    ) throws(NetlinkError) -> Snapshot.SetState {
        var set = Snapshot.SetState(shape: shape, elements: nil)
        switch shape {
        case .init(of: .addresses(.init(family: .ipv4))):
            set.elements = .addresses(try ranges(of: name, .ipv4, &set.isFragmented))
        case .init(of: .addresses(.init(family: .ipv6))):
            set.elements = .addresses(try ranges(of: name, .ipv6, &set.isFragmented))
        case .init(of: .interfaces([])):
            set.elements = .interfaces(Set(try jumps(of: name, &set.isFragmented).keys))
        case .init(of: .jumps([:])):
            set.elements = .jumps(try jumps(of: name, &set.isFragmented))
        case .init(of: .addressJumps(.ipv4, [:])):
            set.elements = .addressJumps(.ipv4, try addressJumps(of: name))
        case .init(of: .addressJumps(.ipv6, [:])):
            set.elements = .addressJumps(.ipv6, try addressJumps(of: name))
        default:
            guard let type = shape.elementType else { break }
            set.elements = .entries(try entries(of: name, type, &set.isFragmented))
        }
        return set
    }

    private mutating func entries(
        of set: String, _ type: ElementType, _ isFragmented: inout Bool
    ) throws(NetlinkError) -> PackedElements {
        var entries = Entries(type)
        try eachElement(of: set) { entries.read($0) }
        isFragmented = entries.hasStrangers
        return PackedElements(type, entries.list)
    }

    private mutating func addressJumps(of set: String) throws(NetlinkError) -> [IPAddress: String] {
        var jumps = AddressJumps()
        try eachElement(of: set) { jumps.read($0) }
        return jumps.chains
    }

    private mutating func ranges(
        of set: String, _ family: AddressFamily, _ isFragmented: inout Bool
    ) throws(NetlinkError) -> AddressRanges {
        var boundaries = IntervalBoundaries(family: family)
        try eachElement(of: set) { boundaries.read($0) }
        let pieces = boundaries.startCount
        let ranges = boundaries.ranges()
        isFragmented = pieces != ranges.ranges.count
        return ranges
    }

    private mutating func jumps(
        of set: String, _ isFragmented: inout Bool
    ) throws(NetlinkError) -> [String: String] {
        var jumps = InterfaceJumps()
        try eachElement(of: set) { jumps.read($0) }
        isFragmented = jumps.hasStrangeNames
        return jumps.chains
    }

    private mutating func eachElement(
        of set: String, _ handle: (Attributes) -> Void
    ) throws(NetlinkError) {
        try list(
            NFT_MSG_GETSETELEM, table: NFTA_SET_ELEM_LIST_TABLE, "elements of set \(set)", set: set
        ) { attributes in
            for attribute in attributes
            where attribute.type == UInt16(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue) {
                for element in attribute.nested { handle(element.nested) }
            }
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
struct InterfaceJumps {
    private(set) var chains: [String: String] = [:]
    /// Whether the name alone would not find an element: its bytes are no text, or have no NUL at the end.
    private(set) var hasStrangeNames = false

    /// Takes in one element of a listing.
    mutating func read(_ attributes: Attributes) {
        var name = ""
        var chain = ""
        for attribute in attributes {
            switch UInt32(attribute.type) {
            case NFTA_SET_ELEM_KEY.rawValue:
                let key = attribute.nested.first { _ in true }
                name = key?.string ?? ""
                hasStrangeNames = hasStrangeNames || key.map { Array($0.bytes) } != interfaceNameKey(name)
            case NFTA_SET_ELEM_DATA.rawValue:
                chain = attribute.nested.first { _ in true }.map(\.jumpTarget) ?? ""
            default: break
            }
        }
        chains[name] = chain
    }
}

/// Addresses and the chains that they lead to; an address that leads elsewhere has a chain no chain is called.
struct AddressJumps {
    private(set) var chains: [IPAddress: String] = [:]

    /// Takes in one element of a listing.
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
        if let address { chains[address] = chain }
    }
}

/// The elements of a set or map of several fields, on their way to being sorted.
struct Entries {
    private let type: ElementType
    private(set) var list = PackedElements.List()
    /// Whether there are elements of another length than the type says, which are in no set of masqd's.
    private(set) var hasStrangers = false

    init(_ type: ElementType) { self.type = type }

    /// Takes in one element of a listing: its key, its last key with intervals, and its data.
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
struct IntervalBoundaries {
    private let family: AddressFamily
    /// An end comes before a start at the same address.
    private var boundaries: [(address: UInt128, isStart: Bool)] = []

    init(family: AddressFamily) { self.family = family }

    /// Takes in one element of a listing.
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
        if let key { append(key, isEnd: isEnd) }
    }

    mutating func append(_ address: UInt128, isEnd: Bool) { boundaries.append((address, !isEnd)) }

    /// How many intervals begin.
    var startCount: Int { boundaries.count { $0.isStart } }

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
