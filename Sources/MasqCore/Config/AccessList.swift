// SPDX-License-Identifier: GPL-3.0-or-later

/// Whom something is open to: `[clients]` for who may connect to the world, `[destinations]` for where to.
public struct AccessList: Equatable, Sendable {
    /// The line of the table's header; 0 where there is none.
    public var line = 0
    /// `blocked` and `blocked_file`: no new connections, whatever `allowed` says.
    public var blocked = Addresses([])
    /// `allowed` and `allowed_file`: new connections for these only; absent: for all.
    public var allowed: Addresses?

    /// Open to all.
    public init() {}

    /// Whether it refuses nobody.
    public var isOpen: Bool { blocked.families.allSatisfy(\.isEmpty) && allowed == nil }

    /// Whether new connections of, or to, an address are refused.
    public func refuses(_ address: IPAddress) -> Bool {
        blocked.contains(address) || allowed.map { !$0.contains(address) } ?? false
    }

    /// Addresses of both families, merged.
    public struct Addresses: Equatable, Sendable {
        /// IPv4's, then IPv6's.
        public let families: [AddressRanges]

        /// Collects networks of either family.
        public init(_ networks: [IPNetwork]) {
            families = AddressFamily.allCases.map { AddressRanges(family: $0, networks: networks) }
        }

        /// Whether an address is among them.
        public func contains(_ address: IPAddress) -> Bool { families.contains { $0.contains(address) } }
    }
}

/// `[clients]`: how much each client may do.
public struct ClientLimits: Equatable, Sendable {
    /// `max_connections`: how many at once; absent: any number.
    public var maximumConnections: UInt32?
    /// `new_connections`: how many in a time; absent: any number.
    public var newConnections: Rate?

    /// `max_clients`: how many are counted one by one, for each family and limit; further ones by their network.
    public var maximumClients: UInt32 = 65536
    /// `ipv6_prefix`: the prefix length of the network that is one client's, since it can take any address of that.
    public var ipv6PrefixLength = 64

    /// No limits.
    public init() {}

    /// What a client is told by.
    public func key(_ family: AddressFamily) -> Rule.ClientKey {
        .init(family, prefixLength: family == .ipv4 ? family.bitCount : ipv6PrefixLength)
    }

    /// Whether there is none.
    public var isEmpty: Bool { maximumConnections == nil && newConnections == nil }
}

/// `[accounting]`: what is counted beside new connections. Every packet pays for it.
public struct Accounting: Equatable, Sendable {
    /// The line of the table's header; 0 where there is none.
    public var line = 0
    /// `blocks`: packets and bytes of each block, in both directions.
    public var blocks = false
    /// `clients`: of each client's address.
    public var clients = false
    /// `forwards`: of each server and port that connections are forwarded to.
    public var forwards = false
    /// `max_clients`: how many addresses are counted at most, for each family and direction.
    public var maximumClients: UInt32 = 65536

    /// Nothing is counted.
    public init() {}

    /// Whether anything is.
    public var isOn: Bool { blocks || clients || forwards }
}

/// Hands the content of a file that the configuration names to the caller, or says why it can't be read.
public typealias FileReader = (_ path: String, _ body: (Span<UInt8>) -> Void) -> String?
