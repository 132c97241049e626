// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

extension Snapshot {
    /// What the kernel should have, in the kernel's own terms.
    public init(lowering ruleset: Ruleset) {
        self.init()
        tableFlags = 0
        objects = ruleset.objects
        flowtables = ruleset.flowtables
        for set in ruleset.sets {
            sets[set.name] = SetState(shape: SetShape(of: set.elements), elements: set.elements)
        }
        for chain in ruleset.chains {
            chains[chain.name] = ChainState(base: chain.base, rules: chain.rules.map { $0.lowered() })
        }
    }
}

extension Snapshot.SetShape {
    // nft's own type numbers (enum datatypes in nftables' include/datatype.h): without them nft can't print a key.
    static let ipv4AddressType: UInt32 = 7
    static let ipv6AddressType: UInt32 = 8
    static let interfaceNameType: UInt32 = 41
    static let interfaceIndexType: UInt32 = 20

    init(of elements: Ruleset.Elements) {
        switch elements {
        case .addresses(let ranges):
            self.init(
                flags: UInt32(NFT_SET_INTERVAL.rawValue),
                keyType: ranges.family == .ipv4 ? Self.ipv4AddressType : Self.ipv6AddressType,
                keyLength: UInt32(ranges.family.byteCount), dataType: 0)
        case .interfaces:
            self.init(flags: 0, keyType: Self.interfaceNameType, keyLength: UInt32(IFNAMSIZ), dataType: 0)
        case .jumps:
            self.init(
                flags: UInt32(NFT_SET_MAP.rawValue), keyType: Self.interfaceNameType,
                keyLength: UInt32(IFNAMSIZ), dataType: UInt32(NFT_DATA_VERDICT.rawValue))
        case .addressJumps(let family, _):
            self.init(
                flags: UInt32(NFT_SET_MAP.rawValue),
                keyType: family == .ipv4 ? Self.ipv4AddressType : Self.ipv6AddressType,
                keyLength: UInt32(family.byteCount), dataType: UInt32(NFT_DATA_VERDICT.rawValue))
        case .entries(let entries):
            self.init(of: entries.type)
        case .recorded(let recording):
            self.init(of: recording.type)
            flags |= UInt32(NFT_SET_EVAL.rawValue)
            if recording.timeout > 0 { flags |= UInt32(NFT_SET_TIMEOUT.rawValue) }
            size = recording.size
            timeout = UInt64(recording.timeout) * 1000
        }
    }

    /// What packets record in it, where masqd makes sets like this one.
    var recording: Recording? {
        guard flags & UInt32(NFT_SET_EVAL.rawValue) != 0, timeout / 1000 <= UInt64(UInt32.max),
            let key = [ElementType.Field](typeNumber: keyType)
        else { return nil }
        let recording = Recording(
            ElementType(key: key, countsPackets: countsPackets), size: size, timeout: UInt32(timeout / 1000))
        return self == Self(of: .recorded(recording)) ? recording : nil
    }

    init(of type: ElementType) {
        var flags = type.data.isEmpty ? 0 : UInt32(NFT_SET_MAP.rawValue)
        if type.isInterval { flags |= UInt32(NFT_SET_INTERVAL.rawValue | NFT_SET_CONCAT.rawValue) }
        self.init(
            flags: flags, keyType: type.key.typeNumber, keyLength: UInt32(type.key.byteCount),
            dataType: type.data.isEmpty ? 0 : type.data.typeNumber)
        dataLength = UInt32(type.dataLength)
        if type.isInterval { fieldLengths = type.key.map { UInt32($0.byteCount) } }
        countsPackets = type.countsPackets
    }

    /// What its elements are, where masqd makes sets like this one.
    var elementType: ElementType? {
        guard let key = [ElementType.Field](typeNumber: keyType) else { return nil }
        let isMap = flags & UInt32(NFT_SET_MAP.rawValue) != 0
        guard let data = isMap ? [ElementType.Field](typeNumber: dataType) : [] else { return nil }
        let isInterval = flags & UInt32(NFT_SET_INTERVAL.rawValue) != 0
        let type = ElementType(
            key: key, data: data, isInterval: isInterval,
            isDataInterval: data.count == 1 && Int(dataLength) == 2 * data.byteCount,
            countsPackets: countsPackets)
        guard key.count > 1 || type.isDataInterval || key == [.interfaceIndex] else { return nil }
        return self == Self(of: type) ? type : nil
    }
}
