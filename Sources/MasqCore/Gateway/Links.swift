// SPDX-License-Identifier: GPL-3.0-or-later

/// The machine's links and their addresses, as one dump of the kernel's told them.
public struct Links: Equatable, Sendable {
    /// Every link by its index: the one thing about it that no rename changes.
    public var byIndex: [Int32: Link]

    /// The indexes of the links that carry a PPPoE session.
    ///
    /// The kernel does not say which session's link belongs to which ppp link.
    public var underPPPoE: Set<Int32> = []

    /// Makes a collection of links.
    public init(_ links: [Link] = []) {
        byIndex = Dictionary(links.map { ($0.index, $0) }) { _, last in last }
    }

    /// The link that has this name now.
    public func named(_ name: InterfaceName) -> Link? { byIndex.values.first { $0.name == name } }

    /// The IPv6 network that sources are mapped to where they leave by an uplink: its own, or another link's.
    func prefix(of uplink: Link, from other: InterfaceName?, length: Int) -> IPNetwork? {
        (other.map(named) ?? uplink)?.prefix(length: length)
    }
}

/// One link.
public struct Link: Equatable, Sendable {
    /// The index, new at every reconnect of a ppp link.
    public var index: Int32
    /// The name at the time of the dump.
    public var name: InterfaceName
    /// Whether it is administratively up (`IFF_UP`).
    ///
    /// A ppp link's operational state is always "unknown", so that is nothing to wait for.
    public var isUp: Bool
    /// The index of the link that a VLAN, or a port of a switch (DSA), sends through (`IFLA_LINK`).
    public var lowerIndex: Int32?
    /// Whether it is a PPP link (`ARPHRD_PPP`).
    public var isPPP = false
    /// Its own addresses, not those of the peer.
    public var addresses: [IPAddress]
    /// Those of ``addresses`` that the kernel never chooses for what goes into the world: of a narrower scope, or IPv6's
    /// that are not yet known to be unique (`IFA_F_TENTATIVE`).
    public var unselectable: Set<IPAddress> = []
    /// Those that it chooses only while no link has a better one: IPv6's whose preferred lifetime is over (RFC 4862, 5.5.4).
    public var deprecated: Set<IPAddress> = []
    /// The index of the VRF that it is in.
    public var vrf: Int32?
    /// Whether it could carry packets (`IFLA_CARRIER`).
    public var hasCarrier = true
    /// Whether it asks for the hardware addresses of those at its other end: ppp links do not.
    public var resolvesNeighbours = true
    /// The largest packet that it takes, in bytes.
    public var mtu = 1500

    /// The network of this prefix length that its IPv6 address in the Internet is of, the newest one if there are several.
    ///
    /// The kernel lists a link's addresses of one scope newest first (`ipv6_link_dev_addr` in net/ipv6/addrconf.c).
    public func prefix(length: Int) -> IPNetwork? {
        addresses.first(where: \.isGlobalUnicastIPv6).map {
            IPNetwork(containing: $0, prefixLength: length)
        }
    }

    /// Makes a link that is like most.
    public init(index: Int32, name: InterfaceName, isUp: Bool, addresses: [IPAddress] = []) {
        self.index = index
        self.name = name
        self.isUp = isUp
        self.addresses = addresses
    }
}
