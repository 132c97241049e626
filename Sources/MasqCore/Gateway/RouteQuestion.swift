// SPDX-License-Identifier: GPL-3.0-or-later

/// Everything about a packet that can choose its route, as one question to the kernel (RTM_GETROUTE).
public struct RouteQuestion: Hashable, Sendable {
    /// Where the packet goes.
    public var destination: IPAddress
    /// Where it comes from; absent for a packet of the machine's own.
    public var source: IPAddress?
    /// The index of the link that a forwarded packet comes in by, 0 for a packet of the machine's own.
    public var inputLink: Int32 = 0
    /// The only link that it may leave by, 0 for any.
    public var outputLink: Int32 = 0
    /// The packet's mark.
    public var mark: UInt32 = 0
    /// The type of service (IPv4) or traffic class (IPv6), without the bits of ECN.
    public var typeOfService: UInt8 = 0
    /// The transport protocol (`IPPROTO_*`), 0 where no rule looks at it.
    public var transport: UInt8 = 0
    /// The port that it comes from, 0 where no rule looks at it.
    public var sourcePort: UInt16 = 0
    /// The port that it goes to, 0 where no rule looks at it.
    public var destinationPort: UInt16 = 0

    /// Asks for the way to an address.
    public init(to destination: IPAddress, from source: IPAddress? = nil, inputLink: Int32 = 0) {
        self.destination = destination
        self.source = source
        self.inputLink = inputLink
    }
}

/// The route that the kernel has found.
public struct RouteAnswer: Equatable, Sendable {
    /// The indexes of the links that it may leave by: several of a multipath route, none where there is no way.
    ///
    /// Which of several ways a packet takes depends on a hash, of which conntrack does not know all that goes in: the
    /// flow label of IPv6, and whatever `fib_multipath_hash_fields` says.
    public var links: [Int32] = []
    /// The routing table that the route is in, where there is one.
    public var table: UInt32?
    /// The length of the prefix that the route is for.
    public var prefixLength = 0
    /// Whether the destination is on the link itself, behind no router.
    public var isOnLink = false

    /// There is no way.
    public init() {}

    /// Makes the answer that a route gives.
    public init(links: [Int32], table: UInt32, prefixLength: Int = 0, isOnLink: Bool = false) {
        self.links = links
        self.table = table
        self.prefixLength = prefixLength
        self.isOnLink = isOnLink
    }

    /// Whether it is a route to everywhere, or to a large part of everything: 0.0.0.0/1, 2000::/3.
    public var isDefault: Bool { prefixLength <= 3 }
}
