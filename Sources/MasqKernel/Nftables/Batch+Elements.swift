// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

extension Batch {
    /// Writes elements, in as many messages as the 64 KiB limit of an attribute makes necessary.
    mutating func append(
        _ elements: Ruleset.Elements, of set: String, _ type: nf_tables_msg_types, flags: CInt
    ) {
        var list: Int?
        func isFull(_ start: Int) -> Bool { writer.count - start > 65000 }

        func beginList() -> Int {
            begin(type, flags: flags, table: NFTA_SET_ELEM_LIST_TABLE)
            writer.attribute(Int(NFTA_SET_ELEM_LIST_SET.rawValue), set)
            return writer.beginNest(Int(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue))
        }
        func element(_ body: (inout MessageWriter) -> Void) {
            if let start = list, isFull(start) {
                writer.endNest(start)
                writer.endMessage()
                list = nil
            }
            if list == nil { list = beginList() }
            writer.nest(Int(NFTA_LIST_ELEM.rawValue), body)
        }

        switch elements {
        case .addresses(let ranges):
            let family = ranges.family
            for range in ranges.ranges {
                element { $0.key(range.first, family) }
                // An interval that reaches the highest address has no end.
                guard range.last < family.maximum else { continue }
                element {
                    $0.key(range.last + 1, family)
                    $0.attribute(
                        Int(NFTA_SET_ELEM_FLAGS.rawValue), bigEndian: NFT_SET_ELEM_INTERVAL_END.rawValue)
                }
            }
        case .interfaces(let names):
            for name in names.sorted() { element { $0.key(interfaceNameKey(name)) } }
        case .jumps(let jumps):
            for (name, chain) in jumps.sorted(by: { $0.key < $1.key }) {
                element {
                    $0.key(interfaceNameKey(name))
                    if type == NFT_MSG_NEWSETELEM { $0.jump(to: chain) }
                }
            }
        case .addressJumps(let family, let jumps):
            for (address, chain) in jumps.sorted(by: { $0.key.value < $1.key.value }) {
                element {
                    $0.key(address.value, family)
                    if type == NFT_MSG_NEWSETELEM { $0.jump(to: chain) }
                }
            }
        case .recorded: break
        case .entries(let entries):
            entries.forEach { entry in
                element {
                    $0.value(NFTA_SET_ELEM_KEY, entry.key)
                    if !entry.lastKey.isEmpty { $0.value(NFTA_SET_ELEM_KEY_END, entry.lastKey) }
                    if type == NFT_MSG_NEWSETELEM, !entry.data.isEmpty {
                        $0.value(NFTA_SET_ELEM_DATA, entry.data)
                    }
                }
            }
        }
        if let start = list {
            writer.endNest(start)
            writer.endMessage()
        }
    }
}

extension MessageWriter {
    fileprivate mutating func key(_ bytes: [UInt8]) {
        nest(Int(NFTA_SET_ELEM_KEY.rawValue)) { $0.attribute(Int(NFTA_DATA_VALUE.rawValue), bytes) }
    }

    fileprivate mutating func value(_ type: nft_set_elem_attributes, _ bytes: UnsafeRawBufferPointer) {
        nest(Int(type.rawValue)) { $0.attribute(Int(NFTA_DATA_VALUE.rawValue), Array(bytes)) }
    }

    fileprivate mutating func key(_ address: UInt128, _ family: AddressFamily) {
        let start = beginNest(Int(NFTA_SET_ELEM_KEY.rawValue))
        append(UInt16(4 + family.byteCount))
        append(UInt16(NFTA_DATA_VALUE.rawValue))
        switch family {
        case .ipv4: append(UInt32(truncatingIfNeeded: address).bigEndian)
        case .ipv6: append(address.bigEndian)
        }
        endNest(start)
    }

    fileprivate mutating func jump(to chain: String) {
        nest(Int(NFTA_SET_ELEM_DATA.rawValue)) {
            $0.nest(Int(NFTA_DATA_VERDICT.rawValue)) {
                $0.attribute(
                    Int(NFTA_VERDICT_CODE.rawValue), bigEndian: UInt32(bitPattern: NFT_JUMP.rawValue))
                $0.attribute(Int(NFTA_VERDICT_CHAIN.rawValue), chain)
            }
        }
    }
}

extension Change {
    /// Roughly how many bytes its messages take: exact for large sets, where growing a buffer would cost.
    var estimatedLength: Int {
        switch self {
        case .addElements(_, .addresses(let ranges)), .deleteElements(_, .addresses(let ranges)):
            // Start: list element 4, key 4, value 4 + address; end: the same and 8 bytes of flags.
            ranges.ranges.count * (32 + 2 * ranges.family.byteCount) * 129 / 128 + 256
        case .addElements(_, .entries(let entries)), .deleteElements(_, .entries(let entries)):
            // List element 4; key, last key and data: 8 bytes and the value, filled up.
            entries.count * (32 + (entries.type.elementLength + 7) & ~3) * 129 / 128 + 256
        case .addElements, .deleteElements: 1024
        case .addRule(_, let bytes): bytes.count + 128
        default: 256
        }
    }
}
