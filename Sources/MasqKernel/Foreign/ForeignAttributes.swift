// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

extension ForeignRuleset.Effect {
    /// Reads NFTA_DATA_VERDICT.
    init(verdict: Attributes) {
        let chain = verdict.string(NFTA_VERDICT_CHAIN.rawValue)
        let code = Int32(bitPattern: verdict.number(NFTA_VERDICT_CODE.rawValue) ?? 0)
        switch code {
        case NFT_CONTINUE.rawValue: self = .none
        case NFT_JUMP.rawValue: self = .jump(chain)
        case NFT_GOTO.rawValue: self = .goto(chain)
        case NFT_RETURN.rawValue: self = .return
        case CInt(NF_DROP): self = .drop
        case CInt(NF_ACCEPT): self = .accept
        default: self = .unknown
        }
    }
}

extension Attributes {
    /// The number of an attribute, where it is there.
    func number(_ type: UInt32) -> UInt32? { first { $0.type == UInt16(type) }?.bigEndian32 }

    /// The text of an attribute, empty where it is not there.
    func string(_ type: UInt32) -> String { first { $0.type == UInt16(type) }?.string ?? "" }

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
