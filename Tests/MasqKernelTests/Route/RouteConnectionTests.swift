// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import TestSupport
import Testing

@testable import MasqKernel

@Suite struct RouteConnectionTests {
    /// A namespace with the link `uplink`, whose other end `peer` is in the same one.
    private func scenery() throws -> (NetworkNamespace, index: Int32) {
        let namespace = try NetworkNamespace()
        try namespace.ip("link add uplink type veth peer name peer")
        return (namespace, Int32(try #require(namespace.interfaceIndex("uplink"))))
    }

    private func links(in namespace: NetworkNamespace) throws -> Links {
        var connection = try namespace.run { try RouteConnection() }
        return try connection.links()
    }

    @Test("Links are known by index, with their name and whether they are up")
    func names() throws {
        let (namespace, index) = try scenery()
        let down = try links(in: namespace)
        #expect(Set(down.byIndex.values.map(\.name)) == ["lo", "uplink", "peer"])
        var uplink = Link(index: index, name: "uplink", isUp: false)
        uplink.hasCarrier = false
        #expect(down.byIndex[index] == uplink)
        #expect(down.named("lo")?.isUp == true)

        // No carrier: up all the same.
        try namespace.ip("link set uplink up")
        #expect(try links(in: namespace).byIndex[index]?.isUp == true)
        #expect(try links(in: namespace).byIndex[index]?.hasCarrier == false)
        try namespace.ip("link set uplink down", "link set uplink name wan@1")
        let renamed = try links(in: namespace)
        uplink.name = "wan@1"
        #expect(renamed.byIndex[index] == uplink)
        #expect(renamed.named("uplink") == nil)
        try namespace.ip("link del wan@1")
        #expect(try links(in: namespace).byIndex.count == 1)
    }

    @Test("Both ends up is a carrier, and a link on which nobody asks for the next hop needs no gateway")
    func carrier() throws {
        let (namespace, index) = try scenery()
        try namespace.ip("link set uplink arp off up", "link set peer up")
        try eventually("uplink has a carrier") {
            try self.links(in: namespace).byIndex[index]?.hasCarrier == true
        }
        let links = try links(in: namespace)
        #expect(links.byIndex[index]?.resolvesNeighbours == false)
        #expect(links.named("peer")?.resolvesNeighbours == true)
    }

    @Test("Addresses belong to the link's index, whatever label they have")
    func addresses() throws {
        let (namespace, index) = try scenery()
        try namespace.ip(
            "addr add 203.0.113.7/24 dev uplink label uplink:1", "addr add 203.0.113.8/24 dev uplink",
            "addr add 2001:db8::7/64 dev uplink nodad", "addr add 192.168.0.1/16 dev peer",
            "link set uplink name wan")
        let links = try links(in: namespace)
        #expect(
            links.byIndex[index]?.addresses.map { "\($0)" }.sorted() == [
                "2001:db8::7", "203.0.113.7", "203.0.113.8",
            ])
        #expect(links.named("peer")?.addresses.map { "\($0)" } == ["192.168.0.1"])
        try namespace.ip("addr del 203.0.113.7/24 dev wan")
        #expect(try self.links(in: namespace).byIndex[index]?.addresses.count != 3)
    }

    @Test("On a link with a peer address, as every ppp link is, the own address counts")
    func peers() throws {
        let (namespace, index) = try scenery()
        try namespace.ip(
            "addr add 203.0.113.7 peer 198.51.100.1/32 dev uplink",
            "addr add 2001:db8::7 peer 2001:db8::1/128 dev uplink nodad")
        let addresses = try links(in: namespace).byIndex[index]?.addresses.map { "\($0)" }
        #expect(addresses?.sorted() == ["2001:db8::7", "203.0.113.7"])
    }

    @Test("A listing of many datagrams is complete")
    func many() throws {
        let (namespace, index) = try scenery()
        let commands = (0..<2000).map { "addr add 10.0.\($0 / 250).\($0 % 250 + 1)/32 dev uplink\n" }.joined()
        try Command("ip", "-batch", "-").run(in: namespace, input: commands).expectSuccess()
        let addresses = try links(in: namespace).byIndex[index]?.addresses
        #expect(Set(addresses ?? []).count == 2000)
    }

    @Test("A link has a carrier, an MTU, and neighbours to ask for")
    func properties() throws {
        let (namespace, index) = try scenery()
        try namespace.ip("link set uplink mtu 1492 arp off up")
        let alone = try #require(try links(in: namespace).byIndex[index])
        #expect(alone.mtu == 1492)
        #expect(!alone.hasCarrier)
        #expect(!alone.resolvesNeighbours)
        try namespace.ip("link set peer up")
        let both = try links(in: namespace)
        #expect(both.byIndex[index]?.hasCarrier == true)
        #expect(both.named("peer")?.resolvesNeighbours == true)
        #expect(both.named("peer")?.mtu == 1500)
    }

    @Test("Routes of all tables and both families are listed, a multipath's ways one by one")
    func routes() throws {
        let (namespace, uplink) = try scenery()
        let peer = Int32(try #require(namespace.interfaceIndex("peer")))
        try namespace.ip(
            "link set uplink up", "link set peer up", "addr add 203.0.113.7/24 dev uplink",
            "addr add 10.0.0.1/24 dev peer", "addr add 2001:db8::7/64 dev uplink nodad",
            "route add default via 203.0.113.1 metric 50",
            "route add 198.51.100.0/24 table 1000 nexthop via 203.0.113.2 nexthop via 10.0.0.2",
            "route add blackhole 192.168.0.0/16", "route add unreachable default metric 4000",
            "route add 172.16.0.0/12 via inet6 fe80::1 dev peer",
            "route add ::/0 via 2001:db8::1 dev uplink")
        var connection = try namespace.run { try RouteConnection() }
        let routes = Set(try connection.routes().filter { $0.destination.address.scope != .linkLocal })
        let expected = try [
            Route(
                IPNetwork("0.0.0.0/0"), link: uplink, gateway: IPAddress("203.0.113.1"), metric: 50),
            Route(IPNetwork("203.0.113.0/24"), link: uplink, isConnected: true),
            Route(IPNetwork("10.0.0.0/24"), link: peer, isConnected: true),
            Route(IPNetwork("198.51.100.0/24"), link: uplink, gateway: IPAddress("203.0.113.2"), table: 1000),
            Route(IPNetwork("198.51.100.0/24"), link: peer, gateway: IPAddress("10.0.0.2"), table: 1000),
            Route(IPNetwork("172.16.0.0/12"), link: peer, gateway: IPAddress("fe80::1")),
            Route(IPNetwork("2001:db8::/64"), link: uplink, metric: 256, isConnected: true),
            Route(IPNetwork("::/0"), link: uplink, gateway: IPAddress("2001:db8::1"), metric: 1024),
        ]
        #expect(routes.subtracting(expected) == [])
        #expect(Set(expected).subtracting(routes) == [])

        try namespace.ip("link set peer down")
        #expect(try connection.routes().allSatisfy { $0.link != peer })
    }

    @Test("Thousands of routes are listed to the end")
    func manyRoutes() throws {
        let (namespace, index) = try scenery()
        let commands = (0..<3000).map { "route add 10.\($0 / 250).\($0 % 250).0/24 dev uplink\n" }.joined()
        try namespace.ip("link set uplink up")
        try Command("ip", "-batch", "-").run(in: namespace, input: commands).expectSuccess()
        var connection = try namespace.run { try RouteConnection() }
        let routes = try connection.routes().filter { $0.destination.family == .ipv4 }
        #expect(Set(routes.map(\.destination)).count == 3000)
        #expect(routes.allSatisfy { $0.link == index })
    }
}
