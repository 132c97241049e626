// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import TestSupport
import Testing

@testable import MasqKernel

/// What rings. The kernel has queued every notification when the command that caused it returns.
@Suite struct RouteMonitorTests {
    private func scenery() throws -> NetworkNamespace {
        let namespace = try NetworkNamespace()
        // IPv6 brings addresses and routes of its own, at moments of its own.
        try namespace.setSysctl("ipv6/conf/all/disable_ipv6", to: "1")
        try namespace.setSysctl("ipv6/conf/default/disable_ipv6", to: "1")
        try namespace.ip("link add uplink type veth peer name peer", "link set uplink up", "link set peer up")
        // The carrier is reported some time after the link was set up, under the lock that the next command takes.
        try eventually("both ends have a carrier") {
            let listing = try Command("ip", "-o", "link", "show", "up").run(in: namespace).standardOutput
            return listing.split(separator: "\n").count { $0.contains(" state UP ") } == 2
        }
        try namespace.ip("addr add 203.0.113.7/24 dev uplink")
        return namespace
    }

    /// Something done, and what rings.
    struct Ring: CustomTestStringConvertible, Sendable {
        let command: String
        let bells: RouteMonitor.Bells
        var testDescription: String { command }
    }

    static let happenings = [
        Ring(command: "link add other type veth", bells: .links),
        Ring(command: "link set uplink mtu 1492", bells: .links),
        Ring(command: "addr add 203.0.113.8/24 dev uplink", bells: .links),
        Ring(command: "addr del 203.0.113.7/24 dev uplink", bells: .links),
        Ring(command: "route add default via 203.0.113.1", bells: .routes),
        Ring(command: "route add default via 203.0.113.1 table 100", bells: .otherRoutes),
        Ring(command: "route add 128.0.0.0/1 via 203.0.113.1", bells: .routes),
        Ring(command: "route add 198.51.100.0/24 via 203.0.113.1", bells: []),
        Ring(command: "neigh add 203.0.113.9 lladdr 02:00:00:00:00:01 dev uplink", bells: []),
    ]

    @Test("What happens to links, addresses and default routes rings its bell", arguments: happenings)
    func rings(when ring: Ring) throws {
        let namespace = try scenery()
        let monitor = try namespace.run { try RouteMonitor() }
        let before = try monitor.drain().bells
        #expect(before == [])
        try namespace.ip(ring.command)
        // Whether a new link's netconf message comes is the kernel's matter.
        let bells = try monitor.drain().bells.subtracting(ring.bells == .links ? .forwarding : [])
        #expect(bells == ring.bells)
        let after = try monitor.drain().bells
        #expect(after == [])
    }

    @Test("A full table of routes that are no default ones is not even read")
    func keepsOut() throws {
        let namespace = try scenery()
        let monitor = try namespace.run { try RouteMonitor() }
        let routes = (0..<500).map { "route add 198.\(18 + $0 / 250).\($0 % 250).0/24 via 203.0.113.1" }
        try namespace.ip(routes.joined(separator: "\n"))
        #expect(!isReadable(monitor.descriptor))
        try namespace.ip("route add 192.0.2.0/24 via 203.0.113.1 proto 109")
        let bells = try monitor.drain().bells
        #expect(bells == .policy)
    }

    @Test("The links that rang are told by their indexes")
    func tellsWhich() throws {
        let namespace = try scenery()
        let monitor = try namespace.run { try RouteMonitor() }
        try namespace.ip(
            "link add late index 77 type veth peer name etal", "addr add 203.0.113.8/24 dev uplink")
        let links = try namespace.run { try RouteConnection() }
        let news = try monitor.drain()
        let indexes = try Set(
            Self.read(links).byIndex.values.filter { ["late", "etal", "uplink"].contains($0.name) }.map(
                \.index))
        #expect(news.links == indexes)
        #expect(news.links.contains(77))
        #expect(!news.isIncomplete)
    }

    private static func read(_ connection: consuming RouteConnection) throws -> Links {
        try connection.links()
    }

    @Test("An IPv6 default route rings")
    func ringsForIPv6() throws {
        let namespace = try NetworkNamespace()
        try namespace.ip("link add uplink type veth peer name peer", "link set uplink up", "link set peer up")
        let monitor = try namespace.run { try RouteMonitor() }
        try namespace.ip("route add ::/0 dev uplink")
        let bells = try monitor.drain().bells
        #expect(bells.contains(.routes))
    }

    @Test(
        "A forwarding switch that somebody sets rings",
        arguments: ["ipv4/ip_forward", "ipv6/conf/all/forwarding"])
    func ringsForForwarding(name: String) throws {
        let namespace = try NetworkNamespace()
        let monitor = try namespace.run { try RouteMonitor() }
        _ = try monitor.drain().bells
        try namespace.setSysctl(name, to: "1")
        let bells = try monitor.drain().bells
        #expect(bells.contains(.forwarding))
        #expect(!bells.contains(.routes))
    }

    @Test("The descriptor is readable when something rang, and not before")
    func wakes() throws {
        let namespace = try scenery()
        let monitor = try namespace.run { try RouteMonitor() }
        #expect(!isReadable(monitor.descriptor))
        try namespace.ip("link set uplink mtu 1492")
        #expect(isReadable(monitor.descriptor))
        _ = try monitor.drain().bells
        #expect(!isReadable(monitor.descriptor))
    }

    @Test("When messages were lost, everything rings")
    func losesMessages() throws {
        let namespace = try scenery()
        let monitor = try namespace.run { try RouteMonitor() }
        // Neither a default route nor a forwarding switch among them: only the loss can say `.all`.
        let commands = (0..<12_000).map { "link set uplink mtu \(1400 + $0 % 2)\n" }.joined()
        try Command("ip", "-batch", "-").run(in: namespace, input: commands, limit: .seconds(60))
            .expectSuccess()
        let news = try monitor.drain()
        #expect(news.bells == .all)
        #expect(news.isIncomplete)
        // What is left is read a bounded number of messages at a time.
        var turns = 1
        while isReadable(monitor.descriptor) {
            let bells = try monitor.drain().bells
            #expect(bells == .links)
            turns += 1
        }
        #expect(turns > 3)
    }

    @Test("Nothing rings when nothing happened since the last look")
    func silence() throws {
        let namespace = try scenery()
        let monitor = try namespace.run { try RouteMonitor() }
        let after = try monitor.drain().bells
        #expect(after == [])
    }
}
