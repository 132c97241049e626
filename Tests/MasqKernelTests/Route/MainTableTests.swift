// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import TestSupport
import Testing

@testable import MasqKernel

/// What is known of a main table, small or large.
@Suite struct MainTableTests {
    private func scenery() throws -> (namespace: NetworkNamespace, link: Int32) {
        let namespace = try NetworkNamespace()
        try namespace.ip(
            "link add uplink type veth peer name peer", "addr add 203.0.113.7/24 dev uplink",
            "addr add 2001:db8::7/64 dev uplink nodad", "link set uplink up", "link set peer up")
        return (namespace, Int32(try #require(namespace.interfaceIndex("uplink"))))
    }

    private func wide(_ table: borrowing MainTable) -> Set<Route> { table.routes.filter(\.leadsAnywhere) }

    private func route(_ destination: String, via gateway: String, _ link: Int32, metric: UInt32 = 0) throws
        -> Route
    {
        Route(try IPNetwork(destination), link: link, gateway: IPAddress(gateway), metric: metric)
    }

    @Test(
        "Of a small table one look tells default routes of any metric, halves, and what is on a link; of both families"
    )
    func small() throws {
        let (namespace, link) = try scenery()
        try namespace.ip(
            "route add default via 203.0.113.1", "route add default via 203.0.113.2 metric 900",
            "route add 128.0.0.0/1 via 203.0.113.3", "route add 198.51.100.0/24 via 203.0.113.4",
            "route add default via 203.0.113.5 table 77",
            "route add default via 203.0.113.6 metric 7 proto 109",
            "route add default via 2001:db8::1 dev uplink metric 5")
        var table = try namespace.run { try MainTable() }
        #expect(try table.look(milliseconds: 1000))
        let found = wide(table)
        let expected: Set = [
            try route("0.0.0.0/0", via: "203.0.113.1", link),
            try route("0.0.0.0/0", via: "203.0.113.2", link, metric: 900),
            try route("128.0.0.0/1", via: "203.0.113.3", link),
            try route("::/0", via: "2001:db8::1", link, metric: 5),
        ]
        #expect(found == expected)
        let onLink = table.routes.filter { $0.gateway == nil && $0.destination.address.family == .ipv4 }
        let network = try IPNetwork("203.0.113.0/24")
        #expect(onLink.map(\.destination) == [network])
    }

    @Test("Of a large table the first datagram tells IPv4's default routes, and pieces the rest")
    func large() throws {
        let (namespace, link) = try scenery()
        let many = (0..<4000).map { "route add 198.\($0 / 250).\($0 % 250).0/24 via 203.0.113.1" }
        try namespace.ip(many.joined(separator: "\n"), "route add default via 203.0.113.1")
        var table = try namespace.run { try MainTable() }
        var pieces = 1
        while try !table.list(milliseconds: 0) { pieces += 1 }
        #expect(pieces > 5)
        #expect(table.routes.contains { $0.destination.prefixLength == 24 && $0.gateway == nil })
        try namespace.ip(
            "route replace default via 203.0.113.2", "route add default via 203.0.113.3 metric 5")
        let isWhole = try table.look(milliseconds: 0)
        #expect(!isWhole)
        let found = wide(table)
        let expected: Set = [
            try route("0.0.0.0/0", via: "203.0.113.2", link),
            try route("0.0.0.0/0", via: "203.0.113.3", link, metric: 5),
        ]
        #expect(found == expected)
        #expect(table.routes.contains { $0.destination.prefixLength == 24 && $0.gateway == nil })
    }
}
