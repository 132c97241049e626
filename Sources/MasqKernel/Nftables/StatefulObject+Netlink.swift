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
        default: self = .other(type: type, data: Array(data.bytes))
        }
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
        case .other(_, let data): append(padding: data)
        }
    }
}
