// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import MasqCore

extension Attributes {
    /// The number of an attribute, where it is there.
    func number(_ type: UInt32) -> UInt32? { first { $0.type == UInt16(type) }?.bigEndian32 }

    /// The text of an attribute, empty where it is not there.
    func string(_ type: UInt32) -> String { first { $0.type == UInt16(type) }?.string ?? "" }

    /// The name of somebody else's table, chain or set, byte by byte; empty where it is not there.
    func name(_ type: UInt32) -> ForeignName { ForeignName(raw(type)) }

    /// The bytes of an attribute, empty where it is not there.
    func raw(_ type: UInt32) -> UnsafeRawBufferPointer {
        first { $0.type == UInt16(type) }?.bytes ?? .init(start: nil, count: 0)
    }

    /// The bytes of a value (`NFTA_DATA_VALUE`) in an attribute.
    func bytes(_ type: UInt32) -> [UInt8]? {
        first { $0.type == UInt16(type) }?.nested.first { $0.type == UInt16(NFTA_DATA_VALUE.rawValue) }
            .map { Array($0.bytes) }
    }
}

extension Attribute {
    /// A number in network order; 0 where it is too short.
    var bigEndian64: UInt64 {
        bytes.count >= 8 ? UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)) : 0
    }
}

extension IPAddress {
    /// The 4 or 16 bytes in network order.
    var networkOrder: [UInt8] {
        withUnsafeBytes(of: value.bigEndian) { Array($0.suffix(family.byteCount)) }
    }
}
