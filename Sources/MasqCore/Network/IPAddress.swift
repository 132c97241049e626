// SPDX-License-Identifier: GPL-3.0-or-later

/// An address family, with netfilter's protocol family number as its value.
///
/// Source: `NFPROTO_IPV4` and `NFPROTO_IPV6` in linux/netfilter.h; equal to `AF_INET` and `AF_INET6`.
public enum AddressFamily: UInt8, CaseIterable, Sendable {
    case ipv4 = 2
    case ipv6 = 10

    /// The length of an address in bits: 32 or 128.
    public var bitCount: Int { self == .ipv4 ? 32 : 128 }

    /// The length of an address in bytes: 4 or 16.
    public var byteCount: Int { bitCount / 8 }

    /// The highest address, as a number.
    public var maximum: UInt128 { self == .ipv4 ? UInt128(UInt32.max) : UInt128.max }
}

/// An IPv4 or IPv6 address, held as a number in host order.
public struct IPAddress: Hashable, Sendable {
    // The larger first: 17 bytes, and room for a prefix length behind them, where there are 50 000.
    /// The address as a number; at most ``AddressFamily/maximum``.
    public let value: UInt128
    /// The family, which says how many of the value's bits count.
    public let family: AddressFamily

    /// Whether it is of use on its own link only, so that nothing is ever masqueraded to it: fe80::/10 (RFC 4291, 2.5.6).
    public var isLinkLocal: Bool { family == .ipv6 && value >> 118 == 0xfe80 >> 6 }

    /// Whether it stands for a group, and never for one machine: 224.0.0.0/4 and the broadcast above it, ff00::/8.
    public var isMulticast: Bool {
        family == .ipv4 ? value >> 28 == 0xe || value == family.maximum : value >> 120 == 0xff
    }

    /// Whether it may be a source that others answer to: not 0.0.0.0/8, 127.0.0.0/8 or 224.0.0.0/3, nor IPv6's
    /// unspecified, loopback, link-local and multicast addresses (RFC 6890, RFC 4291).
    var isUnicast: Bool {
        switch family {
        case .ipv4: value >> 24 != 0 && value >> 24 != 127 && value >> 29 != 7
        case .ipv6: value > 1 && !isLinkLocal && value >> 120 != 0xff
        }
    }

    /// Whether it is one of 2000::/3, all that is given out in the Internet (RFC 4291, 2.4).
    public var isGlobalUnicastIPv6: Bool { family == .ipv6 && value >> 125 == 1 }

    /// Makes an address of a number that must not exceed the family's maximum.
    public init(family: AddressFamily, value: UInt128) {
        precondition(value <= family.maximum)
        self.family = family
        self.value = value
    }

    /// Makes an address of 4 or 16 bytes in network order, or nothing of any other number of bytes.
    public init?(networkOrder bytes: some Collection<UInt8>) {
        switch bytes.count {
        case 4: family = .ipv4
        case 16: family = .ipv6
        default: return nil
        }
        value = bytes.reduce(0) { $0 << 8 | UInt128($1) }
    }
}

extension IPAddress: CustomStringConvertible {
    /// The usual notation: dotted decimal, or RFC 5952's shortest form.
    public var description: String {
        switch family {
        case .ipv4:
            return stride(from: 24, through: 0, by: -8)
                .map { String(UInt8(truncatingIfNeeded: value >> UInt128($0))) }
                .joined(separator: ".")
        case .ipv6:
            return ipv6Description
        }
    }

    private var ipv6Description: String {
        let groups = (0..<8).map { UInt16(truncatingIfNeeded: value >> UInt128(112 - 16 * $0)) }
        // RFC 5952, 4.2: the longest run of at least two zero groups, the first of equals, becomes "::".
        var longest = 0..<0
        var start = 0
        while start < 8 {
            var end = start
            while end < 8, groups[end] == 0 { end += 1 }
            if end - start > max(longest.count, 1) { longest = start..<end }
            start = max(end, start + 1)
        }
        let hex = { (part: ArraySlice<UInt16>) in
            part.map { String($0, radix: 16) }.joined(separator: ":")
        }
        if longest.isEmpty { return hex(groups[...]) }
        return hex(groups[..<longest.lowerBound]) + "::" + hex(groups[longest.upperBound...])
    }
}
