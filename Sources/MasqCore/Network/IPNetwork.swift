// SPDX-License-Identifier: GPL-3.0-or-later

/// A network in CIDR notation, with no host bits set.
public struct IPNetwork: Hashable, Sendable {
    /// The lowest address of the network.
    public let address: IPAddress
    private let prefix: UInt8

    /// The number of leading bits that all its addresses share, 0 to 32 or 0 to 128.
    public var prefixLength: Int { Int(prefix) }

    /// Makes the network of the given prefix length that contains an address; host bits are cleared.
    public init(containing address: IPAddress, prefixLength: Int) {
        precondition((0...address.family.bitCount).contains(prefixLength))
        self.address = IPAddress(
            family: address.family,
            value: address.value & ~Self.hostMask(of: address.family, prefixLength: prefixLength))
        prefix = UInt8(prefixLength)
    }

    /// The address family.
    public var family: AddressFamily { address.family }

    /// The first and the last address, as numbers.
    public var range: AddressRange {
        AddressRange(
            first: address.value,
            last: address.value | Self.hostMask(of: family, prefixLength: prefixLength))
    }

    static func hostMask(of family: AddressFamily, prefixLength: Int) -> UInt128 {
        prefixLength == 0 ? family.maximum : family.maximum >> UInt128(prefixLength)
    }
}

extension IPNetwork: CustomStringConvertible {
    /// CIDR notation, always with the prefix length.
    public var description: String { "\(address)/\(prefixLength)" }
}
