// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import TestSupport
import Testing

@testable import MasqKernel

@Suite struct PolicyRoutingTests {
    /// A namespace with the link `uplink` up, an address on it, and masqd's socket.
    private struct Scenery: ~Copyable {
        let namespace: NetworkNamespace
        let link: Int32
        var routing: PolicyRouting

        init() throws {
            let namespace = try NetworkNamespace()
            try namespace.ip(
                "link add uplink type veth peer name peer", "addr add 203.0.113.7/24 dev uplink",
                "addr add 2001:db8::7/64 dev uplink nodad", "link set uplink up", "link set peer up")
            let link = Int32(try #require(namespace.interfaceIndex("uplink")))
            let routing = try namespace.run { try PolicyRouting() }
            self.namespace = namespace
            self.link = link
            self.routing = routing
        }

        func ip(_ arguments: String...) throws -> [String] {
            try Command("ip", arguments).run(in: namespace).expectSuccess().standardOutput
                .split(separator: "\n").map { $0.trimmed }
        }
    }

    private static let rules: [RoutingRule] = AddressFamily.allCases.flatMap { family -> [RoutingRule] in
        [
            RoutingRule(
                family: family, priority: 20001, mark: .init(value: 0x20, mask: 0xe0),
                .lookUp(table: 7001, withoutDefault: false)),
            RoutingRule(
                family: family, priority: 20021, mark: .init(value: 0x8000_0000, mask: 0x8000_0000),
                .unreachable),
            RoutingRule(
                family: family, priority: 20041, outInterface: "fifteen-bytes-x",
                .lookUp(table: 4_294_967_295, withoutDefault: false)),
            RoutingRule(family: family, priority: 20060, .lookUp(table: 254, withoutDefault: true)),
        ]
    }

    private func route(
        _ destination: String, via gateway: String? = nil, _ link: Int32, onLink: Bool = false
    ) throws -> Route {
        var route = Route(
            try IPNetwork(destination), link: link, gateway: gateway.flatMap { IPAddress($0) }, metric: 1024,
            table: 7001)
        route.isOnLink = onLink
        return route
    }

    @Test("Rules of every kind read back as they were written, as `ip rule` prints them, and go again")
    func rules() throws {
        var scenery = try Scenery()
        _ = try scenery.routing.apply(Self.rules.map(RoutingChange.addRule))
        let state = try scenery.routing.state(tables: [])
        #expect(state.rules == Set(Self.rules))
        #expect(state.families == [.ipv4, .ipv6])
        let printed = [
            "20001:\tfrom all fwmark 0x20/0xe0 lookup 7001 proto 109",
            "20021:\tfrom all fwmark 0x80000000/0x80000000 unreachable proto 109",
            "20041:\tfrom all oif fifteen-bytes-x [detached] lookup 4294967295 proto 109",
            "20060:\tfrom all lookup main suppress_prefixlength 0 proto 109",
        ]
        #expect(try scenery.ip("rule").filter { $0.contains("proto 109") } == printed)
        #expect(try scenery.ip("-6", "rule").filter { $0.contains("proto 109") } == printed)
        // A second time nothing is there twice, and nothing fails.
        _ = try scenery.routing.apply(Self.rules.map(RoutingChange.addRule))
        #expect(try scenery.ip("rule").filter { $0.contains("proto 109") } == printed)
        for _ in 1...2 { _ = try scenery.routing.apply(Self.rules.map(RoutingChange.deleteRule)) }
        #expect(try scenery.routing.state(tables: []).rules.isEmpty)
    }

    @Test("Routes of both families read back as they were written, and one takes another's place")
    func routes() throws {
        var scenery = try Scenery()
        var routes = [
            try route("203.0.113.0/24", scenery.link),
            try route("0.0.0.0/0", via: "203.0.113.1", scenery.link),
            try route("2001:db8::/64", scenery.link), try route("::/0", via: "fe80::1", scenery.link),
        ]
        _ = try scenery.routing.apply(routes.map(RoutingChange.setRoute))
        #expect(try scenery.routing.state(tables: []).routes == Set(routes))
        #expect(
            try scenery.ip("route", "show", "table", "7001") == [
                "default via 203.0.113.1 dev uplink proto 109 metric 1024",
                "203.0.113.0/24 dev uplink proto 109 scope link metric 1024",
            ])
        // A gateway that no route leads to, and one of the other family.
        routes[1] = try route("0.0.0.0/0", via: "10.9.9.9", scenery.link, onLink: true)
        routes[3] = try route("::/0", scenery.link)
        _ = try scenery.routing.apply([.setRoute(routes[1]), .setRoute(routes[3])])
        #expect(try scenery.routing.state(tables: []).routes == Set(routes))
        routes[1] = try route("0.0.0.0/0", via: "2001:db8::1", scenery.link)
        _ = try scenery.routing.apply([.setRoute(routes[1])])
        #expect(try scenery.routing.state(tables: []).routes == Set(routes))
        for _ in 1...2 { _ = try scenery.routing.apply(routes.map(RoutingChange.deleteRoute)) }
        #expect(try scenery.routing.state(tables: []).routes.isEmpty)
    }

    @Test("What others have with the same words is not masqd's, and no deletion of masqd's takes it")
    func foreign() throws {
        var scenery = try Scenery()
        try scenery.namespace.ip(
            "rule add fwmark 0x20/0xe0 lookup 7001 priority 20001",
            "route add 203.0.113.0/24 dev uplink table 7001 metric 1024")
        #expect(try scenery.routing.state(tables: []).rules.isEmpty)
        #expect(try scenery.routing.state(tables: []).routes.isEmpty)
        _ = try scenery.routing.apply([
            .deleteRule(Self.rules[0]), .deleteRoute(try route("203.0.113.0/24", scenery.link)),
        ])
        #expect(try scenery.ip("rule").contains("20001:\tfrom all fwmark 0x20/0xe0 lookup 7001"))
        #expect(try scenery.ip("route", "show", "table", "7001").count == 1)
    }

    @Test(
        "Others' default routes and networks are read: of several next hops each one, of the tables asked for only"
    )
    func foreignRoutes() throws {
        var scenery = try Scenery()
        let (namespace, link) = (scenery.namespace, scenery.link)
        try namespace.ip(
            "addr add 198.51.100.7 peer 198.51.100.1 dev peer",
            "route add default metric 5 nexthop via 203.0.113.1 dev uplink nexthop via 203.0.113.2 dev uplink onlink",
            "route add default dev peer metric 6", "route add 192.0.2.0/24 via 203.0.113.1",
            "route add blackhole default metric 9", "route add default via 203.0.113.3 table 7001",
            "route add default dev peer table 7002", "route add default via 2001:db8::1 dev uplink metric 7")
        let peer = Int32(try #require(namespace.interfaceIndex("peer")))
        let found = try scenery.routing.state(tables: [7001, 4711]).foreignRoutes.filter {
            !$0.destination.address.isLinkLocal
        }
        func expected(
            _ destination: String, via gateway: String? = nil, _ link: Int32, table: UInt32 = 254,
            metric: UInt32,
            onLink: Bool = false
        ) throws -> Route {
            var route = try route(destination, via: gateway, link, onLink: onLink)
            (route.table, route.metric) = (table, metric)
            route.isConnected = !route.isDefault
            return route
        }
        #expect(
            try found == [
                expected("203.0.113.0/24", link, metric: 0),
                expected("198.51.100.1/32", peer, metric: 0),
                expected("0.0.0.0/0", via: "203.0.113.1", link, metric: 5),
                expected("0.0.0.0/0", via: "203.0.113.2", link, metric: 5, onLink: true),
                expected("0.0.0.0/0", peer, metric: 6),
                expected("0.0.0.0/0", via: "203.0.113.3", link, table: 7001, metric: 0),
                expected("2001:db8::/64", link, metric: 256),
                expected("::/0", via: "2001:db8::1", link, metric: 7),
            ])
        #expect(try scenery.routing.state(tables: []).foreignRoutes.isEmpty)
    }

    @Test("How strictly an interface checks the way back is read for each")
    func reversePathFilters() throws {
        var scenery = try Scenery()
        try scenery.namespace.setSysctl("ipv4/conf/uplink/rp_filter", to: "1")
        try scenery.namespace.setSysctl("ipv4/conf/all/rp_filter", to: "2")
        let filters = try scenery.routing.state(tables: [7001]).reversePathFilters
        #expect(filters[scenery.link] == 1)
        #expect(filters[-1] == 2)
    }

    @Test("A refusal names the object and the reason, and what is behind it is made all the same")
    func refusal() throws {
        var scenery = try Scenery()
        let unreachable = try route("0.0.0.0/0", via: "10.9.9.9", scenery.link)
        let network = try route("203.0.113.0/24", scenery.link)
        #expect(
            try scenery.routing.apply([.setRoute(unreachable), .setRoute(network), .addRule(Self.rules[0])])
                == [
                    RoutingRefusal(
                        .setRoute(unreachable),
                        reason:
                            "the kernel refused the route to 0.0.0.0/0 in table 7001: Network is unreachable")
                ])
        let state = try scenery.routing.state(tables: [])
        #expect(state.rules == [Self.rules[0]])
        #expect(state.routes == [network])
        #expect(try scenery.routing.removeAll() == [])
        #expect(try scenery.routing.state(tables: []).removal == [])
    }

    @Test("Others' rules, and others' hands on masqd's routes, ring; masqd's own changes do not")
    func bells() throws {
        var scenery = try Scenery()
        let monitor = try scenery.namespace.run { try RouteMonitor() }
        _ = try scenery.routing.apply([
            .addRule(Self.rules[0]), .setRoute(try route("203.0.113.0/24", scenery.link)),
            .setRoute(try route("0.0.0.0/0", scenery.link)),
        ])
        #expect(
            try monitor.drain(ownPort: scenery.routing.portID).bells.isDisjoint(with: [.policy, .routes]))
        try scenery.namespace.ip("rule del priority 20001 protocol 109")
        #expect(try monitor.drain(ownPort: scenery.routing.portID).bells.contains(.policy))
        try scenery.namespace.ip("route del 203.0.113.0/24 dev uplink table 7001")
        #expect(try monitor.drain(ownPort: scenery.routing.portID).bells.contains(.policy))
    }
}

extension Substring {
    fileprivate var trimmed: String {
        String(self[startIndex...(lastIndex { $0 != " " } ?? startIndex)])
    }
}
