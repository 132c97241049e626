// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import MasqCore

extension Snapshot.StatefulObject {
    /// Reads what a listing says about an object (NFT_MSG_NEWOBJ).
    init(_ attributes: Attributes) {
        let data = attributes.first { $0.type == UInt16(NFTA_OBJ_DATA.rawValue) }
        let type = attributes.number(NFTA_OBJ_TYPE.rawValue) ?? 0
        self.init(attributes.string(NFTA_OBJ_NAME.rawValue), Content(type: type, data: data))
    }
}

extension Snapshot.StatefulObject.Content {
    fileprivate init(type: UInt32, data: Attribute?) {
        guard let data else {
            self = .other(type: type, data: [])
            return
        }
        switch CInt(type) {
        case NFT_OBJECT_COUNTER: self = .counter
        case NFT_OBJECT_QUOTA:
            let flags = data.nested.number(NFTA_QUOTA_FLAGS.rawValue) ?? 0
            self = .quota(
                bytes: data.nested.first { $0.type == UInt16(NFTA_QUOTA_BYTES.rawValue) }?.bigEndian64 ?? 0,
                flags: flags & ~UInt32(NFT_QUOTA_F_DEPLETED.rawValue))
        case NFT_OBJECT_CT_HELPER:
            self = .helper(
                type: data.nested.string(NFTA_CT_HELPER_NAME.rawValue),
                family: data.nested.number16(NFTA_CT_HELPER_L3PROTO.rawValue),
                transport: data.nested.number8(NFTA_CT_HELPER_L4PROTO.rawValue))
        case NFT_OBJECT_CT_TIMEOUT:
            let values = data.nested.first { $0.type == UInt16(NFTA_CT_TIMEOUT_DATA.rawValue) }
            self = .timeout(
                family: data.nested.number16(NFTA_CT_TIMEOUT_L3PROTO.rawValue),
                transport: data.nested.number8(NFTA_CT_TIMEOUT_L4PROTO.rawValue),
                // Attributes are numbered from 1; 0 is CTA_TIMEOUT_*_UNSPEC.
                seconds: values?.nested.sorted { $0.type < $1.type }.map(\.bigEndian32) ?? [])
        default: self = .other(type: type, data: Array(data.bytes))
        }
    }
}

extension Attributes {
    fileprivate func number16(_ type: UInt32) -> UInt16 {
        let bytes = first { $0.type == UInt16(type) }?.bytes
        guard let bytes, bytes.count >= 2 else { return 0 }
        return UInt16(bytes[0]) << 8 | UInt16(bytes[1])
    }

    fileprivate func number8(_ type: UInt32) -> UInt8 {
        first { $0.type == UInt16(type) }?.bytes.first ?? 0
    }
}

extension MessageWriter {
    /// Writes what is in an object's NFTA_OBJ_DATA.
    mutating func append(_ content: Snapshot.StatefulObject.Content) {
        switch content {
        case .counter: break
        case .quota(let bytes, let flags):
            attribute(Int(NFTA_QUOTA_BYTES.rawValue), withUnsafeBytes(of: bytes.bigEndian) { Array($0) })
            attribute(Int(NFTA_QUOTA_FLAGS.rawValue), bigEndian: flags)
        case .helper(let type, let family, let transport):
            attribute(Int(NFTA_CT_HELPER_NAME.rawValue), type)
            attribute(Int(NFTA_CT_HELPER_L3PROTO.rawValue), [UInt8(family >> 8), UInt8(family & 0xff)])
            attribute(Int(NFTA_CT_HELPER_L4PROTO.rawValue), [transport])
        case .timeout(let family, let transport, let seconds):
            attribute(Int(NFTA_CT_TIMEOUT_L3PROTO.rawValue), [UInt8(family >> 8), UInt8(family & 0xff)])
            attribute(Int(NFTA_CT_TIMEOUT_L4PROTO.rawValue), [transport])
            nest(Int(NFTA_CT_TIMEOUT_DATA.rawValue)) {
                for (index, value) in seconds.enumerated() { $0.attribute(index + 1, bigEndian: value) }
            }
        case .other(_, let data): append(padding: data)
        }
    }
}
