// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc

/// The messages of one datagram; valid as long as its buffer is not used again.
struct NetlinkMessages: Sequence, IteratorProtocol {
    private var rest: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

    mutating func next() -> NetlinkMessage? {
        // struct nlmsghdr in linux/netlink.h: length, type, flags, sequence, port.
        guard rest.count >= NetlinkMessage.headerLength else { return nil }
        let length = Int(rest.loadUnaligned(as: UInt32.self))
        guard length >= NetlinkMessage.headerLength, length <= rest.count else { return nil }
        defer { rest = UnsafeRawBufferPointer(rebasing: rest[Swift.min(aligned(length), rest.count)...]) }
        return NetlinkMessage(bytes: UnsafeRawBufferPointer(rebasing: rest[..<length]))
    }
}

/// One netlink message: a header, and a payload that depends on the type.
struct NetlinkMessage {
    static let headerLength = 16

    /// The whole message, header included.
    let bytes: UnsafeRawBufferPointer

    var type: UInt16 { bytes.loadUnaligned(fromByteOffset: 4, as: UInt16.self) }
    var flags: UInt16 { bytes.loadUnaligned(fromByteOffset: 6, as: UInt16.self) }
    var sequence: UInt32 { bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self) }
    var portID: UInt32 { bytes.loadUnaligned(fromByteOffset: 12, as: UInt32.self) }
    var payload: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[Self.headerLength...]) }

    /// The errno of an error message, 0 of an acknowledgement; nothing of any other message.
    var errorCode: CInt? {
        guard type == UInt16(NLMSG_ERROR), payload.count >= 4 else { return nil }
        return -payload.loadUnaligned(as: CInt.self)
    }

    /// The errno with which a listing ended, 0 at its end; nothing of any message but the end mark.
    ///
    /// What goes wrong once a listing has begun is told there, and nowhere else (`netlink_dump_done` in
    /// net/netlink/af_netlink.c).
    var endCode: CInt? {
        guard type == UInt16(NLMSG_DONE) else { return nil }
        return payload.count >= 4 ? max(0, -payload.loadUnaligned(as: CInt.self)) : 0
    }

    /// nf_tables' message number (`enum nf_tables_msg_types`), without the subsystem in the upper byte.
    var nftablesType: nf_tables_msg_types? {
        type >> 8 == UInt16(NFNL_SUBSYS_NFTABLES) ? nf_tables_msg_types(UInt32(type & 0xff)) : nil
    }

    /// The attributes behind the header of the given length that the message's family puts before them.
    func attributes(after headerLength: Int) -> Attributes {
        let payload = payload
        return Attributes(
            UnsafeRawBufferPointer(rebasing: payload[Swift.min(aligned(headerLength), payload.count)...]))
    }
}

/// Netlink attributes in a row, one after the other; what does not fit its own length ends the row.
struct Attributes: Sequence, IteratorProtocol {
    private var rest: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

    mutating func next() -> Attribute? {
        // struct nlattr in linux/netlink.h: length and type, two bytes each.
        guard rest.count >= 4 else { return nil }
        let length = Int(rest.loadUnaligned(as: UInt16.self))
        guard length >= 4, length <= rest.count else { return nil }
        let type = rest.loadUnaligned(fromByteOffset: 2, as: UInt16.self)
        defer { rest = UnsafeRawBufferPointer(rebasing: rest[Swift.min(aligned(length), rest.count)...]) }
        // NLA_TYPE_MASK: the upper two bits say "nested" and "network order".
        return Attribute(type: type & 0x3fff, bytes: UnsafeRawBufferPointer(rebasing: rest[4..<length]))
    }
}

/// One attribute.
struct Attribute {
    let type: UInt16
    let bytes: UnsafeRawBufferPointer

    /// The attributes inside.
    var nested: Attributes { Attributes(bytes) }

    /// A number in network order, as nfnetlink writes them; 0 where it is too short.
    var bigEndian32: UInt32 {
        bytes.count >= 4 ? UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self)) : 0
    }

    /// A number in the machine's order, as rtnetlink writes them; 0 where it is too short.
    var native32: UInt32 { bytes.count >= 4 ? bytes.loadUnaligned(as: UInt32.self) : 0 }

    /// A string without its NUL; bytes that are no UTF-8 are replaced.
    var string: String { String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self) }
}

/// Rounds a length up to netlink's alignment of four bytes (`NLMSG_ALIGN`, `NLA_ALIGN`).
func aligned(_ length: Int) -> Int { (length + 3) & ~3 }
