// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc

/// A private network, the gateway before it, and what is outside, each a network namespace.
///
///     lan 192.168.1.2  ──  lan0 192.168.1.1  router  ppp0 203.0.113.7  ──  203.0.113.1  wan  198.51.100.80
///         fd00:1::2             fd00:1::1              2001:db8::7         2001:db8::1       2001:db8:80::80
///         172.20.0.2            172.20.0.1             dmz0 10.9.0.1   ──  10.9.0.2     dmz
///
/// The router forwards nothing until somebody sets ip_forward. The wan counts what comes with a private source,
/// and can't answer it.
public final class Gateway {
    /// The private network's client, with a second address outside of 192.168.0.0/16.
    public let lan: NetworkNamespace
    /// The gateway itself.
    public let router: NetworkNamespace
    /// The world: the provider's router and the server in one.
    public let wan: NetworkNamespace
    /// Another network of the gateway that is not an uplink.
    public let dmz: NetworkNamespace
    /// The server outside.
    public let internet: AddressServer
    private let dmzServer: AddressServer

    /// The server's address in the world.
    public static let server = Endpoint("198.51.100.80", AddressServer.port)
    /// A second address of the same server.
    public static let secondServer = Endpoint("198.51.100.81", AddressServer.port)
    /// The server's IPv6 address.
    public static let serverIPv6 = Endpoint("2001:db8:80::80", AddressServer.port)
    /// The server in the network behind `dmz0`.
    public static let dmzServer = Endpoint("10.9.0.2", AddressServer.port)

    /// Builds the networks; without `dialedUp` there is no ppp0 yet.
    public init(dialedUp: Bool = true) throws {
        lan = try NetworkNamespace()
        router = try NetworkNamespace()
        wan = try NetworkNamespace()
        dmz = try NetworkNamespace()
        try NetworkNamespace.link("lan0", of: router, with: "eth0", of: lan)
        try NetworkNamespace.link("dmz0", of: router, with: "eth0", of: dmz)
        try router.ip(
            "addr add 192.168.1.1/24 dev lan0", "addr add 172.20.0.1/24 dev lan0",
            "addr add 10.9.0.1/24 dev dmz0", "link set lan0 up", "link set dmz0 up")
        try lan.ip(
            "addr add 192.168.1.2/24 dev eth0", "addr add 172.20.0.2/24 dev eth0",
            "link set eth0 up", "route add default via 192.168.1.1")
        try dmz.ip("addr add 10.9.0.2/24 dev eth0", "link set eth0 up", "route add default via 10.9.0.1")
        for (name, namespace) in [("eth0", lan), ("eth0", dmz), ("lan0", router), ("dmz0", router)] {
            try Self.waitUntilRunning(name, in: namespace)
        }
        try router.ip("addr add fd00:1::1/64 dev lan0 nodad")
        try lan.ip("addr add fd00:1::2/64 dev eth0 nodad")
        try Self.waitUntilLocal("fd00:1::1", in: router)
        try Self.waitUntilLocal("fd00:1::2", in: lan)
        try Self.addDefaultRoute(via: "fd00:1::1", dev: "eth0", in: lan)
        try wan.ip(
            "addr add 198.51.100.80/32 dev lo", "addr add 198.51.100.81/32 dev lo",
            "addr add 2001:db8:80::80/128 dev lo nodad",
            // The world has no way to a private network.
            "route add blackhole 192.168.0.0/16", "route add blackhole fd00::/8")
        try wan.nft(
            """
            table inet watch {
                counter leaks { }
                counter client { }
                chain arriving {
                    type filter hook prerouting priority raw; policy accept;
                    ip saddr 192.168.0.0/16 counter name leaks
                    ip6 saddr fd00::/8 counter name leaks
                    ip saddr 192.168.1.2 counter name client
                    ip6 saddr fd00:1::2 counter name client
                }
            }
            """)
        try Self.waitUntilLocal(Self.serverIPv6.address, in: wan)
        internet = try AddressServer(
            in: wan, addresses: [Self.server.address, Self.secondServer.address, Self.serverIPv6.address])
        dmzServer = try AddressServer(in: dmz, addresses: [Self.dmzServer.address])
        if dialedUp { try dialUp() }
    }

    /// How many packets with a private source the world has seen.
    public func leaks() throws -> Int { try counted("leaks") }

    /// The same, with the client's own source: while the uplink has no address the kernel masquerades to one of the gateway's
    /// other ones, which is private, but no secret.
    public func clientLeaks() throws -> Int { try counted("client") }

    private func counted(_ name: String) throws -> Int {
        guard let packets = try wan.packets(counter: name, table: "inet watch") else {
            throw Failure("the counter \(name) is gone")
        }
        return packets
    }

    /// Creates the uplink as pppd does, with another ifindex each time, and gives it an address and a peer.
    ///
    /// The default route leads out of it, or with `destinations` only the routes to those.
    public func dialUp(
        _ name: String = "ppp0", address: String = "203.0.113.7", addressIPv6: String? = "2001:db8::7",
        destinations: [String] = []
    ) throws {
        let peer = "isp-\(name)"
        try NetworkNamespace.link(name, of: router, with: peer, of: wan)
        // As on PPP nobody asks for the other end's hardware address: both have the same one.
        let pointToPoint = "address 02:00:00:00:00:01 arp off"
        try wan.ip(
            "link set \(peer) \(pointToPoint)", "addr add 203.0.113.1 peer \(address) dev \(peer)",
            "link set \(peer) up")
        try router.ip(
            "link set \(name) \(pointToPoint)", "addr add \(address) peer 203.0.113.1 dev \(name)",
            "link set \(name) up")
        try waitUntilUp(name)
        // As with PPP, IPv6 gets its addresses after the link is up.
        if let addressIPv6 {
            try wan.ip("addr add 2001:db8::1 peer \(addressIPv6) dev \(peer) nodad")
            try router.ip(
                "addr add \(addressIPv6) peer 2001:db8::1 dev \(name) nodad",
                "route replace ::/0 dev \(name)")
            try Self.waitUntilLocal("2001:db8::1", in: wan)
            try Self.waitUntilLocal(addressIPv6, in: router)
        }
        if destinations.isEmpty {
            // The client's other network is one that the world knows.
            try wan.ip("route replace 172.20.0.0/24 dev \(peer)")
            try router.ip("route replace default dev \(name)")
        }
        for destination in destinations { try router.ip("route replace \(destination) dev \(name)") }
    }

    /// Waits until both ends of an uplink carry packets, after somebody has set it up.
    public func waitUntilUp(_ name: String = "ppp0", dialedAs dialed: String? = nil) throws {
        try Self.waitUntilRunning("isp-\(dialed ?? name)", in: wan)
        try Self.waitUntilRunning(name, in: router)
    }

    /// Gives the uplink its routes again, which go with an address and when the link is switched off.
    public func restoreRoutes(_ name: String = "ppp0") throws {
        try router.ip("route replace default dev \(name)")
        let router = router
        try eventually("IPv6's default route") {
            let command = Command("ip", "-6", "route", "replace", "default", "dev", name)
            return try command.run(in: router).status == 0
        }
    }

    /// Takes the uplink away, as pppd does when the line is lost.
    public func hangUp(_ name: String = "ppp0") throws {
        try router.ip("link del \(name)")
    }

    /// Asks the server over a new connection or flow which source it sees; throws when no answer comes.
    public func seenSource(
        _ transport: Conversation.Transport, from source: String? = nil, to server: Endpoint = Gateway.server,
        limit: Duration = .seconds(10)
    ) throws -> Endpoint {
        let source = source.map { Endpoint($0) }
        return try Conversation(transport, from: lan, source: source, to: server, limit: limit).ask(
            limit: limit)
    }

    /// The same with an echo request to the world's server.
    public func seenPingSource(from source: String? = nil, to server: Endpoint = Gateway.server) throws
        -> String
    {
        try Conversation.ping(internet, at: server.address, from: lan, source: source)
    }

    /// Whether a new connection or flow from the client gets an answer.
    public func isAnswered(
        _ transport: Conversation.Transport, from source: String? = nil, to server: Endpoint = Gateway.server,
        limit: Duration = .seconds(10)
    ) throws -> Bool {
        try answer { try seenSource(transport, from: source, to: server, limit: limit) } != nil
    }

    /// Whether it gets none, for as long as it is worth waiting for what is not to come.
    public func isUnanswered(
        _ transport: Conversation.Transport, from source: String? = nil, to server: Endpoint = Gateway.server
    ) throws -> Bool {
        try !isAnswered(transport, from: source, to: server, limit: .unanswered)
    }

    /// Waits until the kernel takes an IPv6 address for its own, which a worker does after `addr add` has returned.
    private static func waitUntilLocal(_ address: String, in namespace: NetworkNamespace) throws {
        try eventually("\(address) is local") {
            let answer = try Command("ip", "-6", "route", "get", address).run(in: namespace)
            return answer.status == 0 && answer.standardOutput.contains("local \(address)")
        }
    }

    /// Sets IPv6's default route; a worker of the kernel may still be busy with the address that it leans on.
    private static func addDefaultRoute(via peer: String, dev name: String, in namespace: NetworkNamespace)
        throws
    {
        try eventually("\(peer) is a gateway") {
            let command = Command("ip", "-6", "route", "replace", "default", "via", peer, "dev", name)
            return try command.run(in: namespace).status == 0
        }
    }

    /// Waits until the link carries packets.
    ///
    /// The kernel notices a carrier up to a second late; to ask for that very link makes it look at once.
    private static func waitUntilRunning(_ name: String, in namespace: NetworkNamespace) throws {
        try eventually("\(name) is running") {
            let listing = try Command("ip", "-o", "link", "show", "dev", name).run(in: namespace)
            return try listing.expectSuccess().standardOutput.contains("state UP")
        }
    }
}
