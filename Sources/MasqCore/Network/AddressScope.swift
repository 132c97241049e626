// SPDX-License-Identifier: GPL-3.0-or-later

/// How far an address is of use: whether the Internet can answer to it.
public enum AddressScope: Equatable, Sendable {
    /// Everybody can reach it, as far as its form tells.
    case global
    /// 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 (RFC 1918) and fc00::/7 (RFC 4193).
    case `private`
    /// 100.64.0.0/10, between a provider's customers and the provider's own NAT (RFC 6598).
    case shared
    /// 169.254.0.0/16 (RFC 3927) and fe80::/10 (RFC 4291, 2.5.6): what a machine gives itself.
    case linkLocal
    /// 127.0.0.0/8 and ::1.
    case loopback
}

extension IPAddress {
    /// How far the address is of use.
    public var scope: AddressScope {
        switch family {
        case .ipv4:
            if begins(10, 8) || begins(172 << 4 | 1, 12) || begins(192 << 8 | 168, 16) { return .private }
            if begins(100 << 2 | 1, 10) { return .shared }
            if begins(169 << 8 | 254, 16) { return .linkLocal }
            return begins(127, 8) ? .loopback : .global
        case .ipv6:
            if begins(0xfc >> 1, 7) { return .private }
            if begins(0xfe80 >> 6, 10) { return .linkLocal }
            return value == 1 ? .loopback : .global
        }
    }

    /// Whether the leading bits are these.
    private func begins(_ bits: UInt128, _ length: Int) -> Bool {
        value >> UInt128(family.bitCount - length) == bits
    }
}
