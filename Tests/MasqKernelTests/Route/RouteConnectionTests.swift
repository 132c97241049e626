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
        #expect(down.byIndex[index] == Link(index: index, name: "uplink", isUp: false))
        #expect(down.named("lo")?.isUp == true)

        // No carrier: up all the same.
        try namespace.ip("link set uplink up")
        #expect(try links(in: namespace).byIndex[index]?.isUp == true)
        try namespace.ip("link set uplink down", "link set uplink name wan@1")
        let renamed = try links(in: namespace)
        #expect(renamed.byIndex[index] == Link(index: index, name: "wan@1", isUp: false))
        #expect(renamed.named("uplink") == nil)
        try namespace.ip("link del wan@1")
        #expect(try links(in: namespace).byIndex.count == 1)
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
}
