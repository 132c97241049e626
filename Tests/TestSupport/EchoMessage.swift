// SPDX-License-Identifier: GPL-3.0-or-later

/// The echo requests and replies of ICMP (RFC 792) and ICMPv6 (RFC 4443) with a cookie of 8 bytes as payload.
///
/// The cookie says which request a message belongs to: NAT may change the identifier.
enum EchoMessage {
    /// The bytes of a request; the kernel fills in ICMPv6's checksum.
    static func request(cookie: UInt64, isIPv6: Bool) -> [UInt8] {
        var message: [UInt8] = [isIPv6 ? 128 : 8, 0, 0, 0]
        message += [UInt8(truncatingIfNeeded: cookie), UInt8(truncatingIfNeeded: cookie >> 8), 0, 1]
        message += (0..<8).map { UInt8(truncatingIfNeeded: cookie >> ($0 * 8)) }
        if !isIPv6 { message.setChecksum(InternetChecksum(message).value, at: 2) }
        return message
    }

    /// The cookie of an echo request as a raw socket gets it; nil for anything else.
    static func cookie(ofRequest packet: [UInt8], isIPv6: Bool) -> UInt64? {
        cookie(of: packet, isIPv6: isIPv6, type: isIPv6 ? 128 : 8)
    }

    /// The cookie of an echo reply as a raw socket gets it; nil for anything else.
    static func cookie(ofReply packet: [UInt8], isIPv6: Bool) -> UInt64? {
        cookie(of: packet, isIPv6: isIPv6, type: isIPv6 ? 129 : 0)
    }

    /// A raw IPv4 socket delivers the IP header too, an IPv6 one does not.
    private static func cookie(of packet: [UInt8], isIPv6: Bool, type: UInt8) -> UInt64? {
        let headerLength = isIPv6 ? 0 : Int((packet.first ?? 0) & 0x0f) * 4
        guard packet.count == headerLength + 16, packet[headerLength] == type else { return nil }
        return (0..<8).reduce(0) { $0 | UInt64(packet[headerLength + 8 + $1]) << ($1 * 8) }
    }
}

/// The one's complement sum of 16-bit words (RFC 1071).
struct InternetChecksum {
    private var sum: UInt32 = 0

    init(_ bytes: [UInt8]) { add(bytes) }

    mutating func add(_ bytes: [UInt8]) {
        for (index, byte) in bytes.enumerated() { sum += UInt32(byte) << (index.isMultiple(of: 2) ? 8 : 0) }
    }

    var value: UInt16 {
        var folded = sum
        while folded > 0xffff { folded = (folded & 0xffff) + (folded >> 16) }
        return ~UInt16(folded)
    }
}

extension [UInt8] {
    mutating func setChecksum(_ value: UInt16, at offset: Int) {
        self[offset] = UInt8(value >> 8)
        self[offset + 1] = UInt8(value & 0xff)
    }
}
