// SPDX-License-Identifier: GPL-3.0-or-later

import Testing

@testable import MasqCore

/// A gateway with nothing wrong: 192.168.1.0/24 and fd00:1::/64 on lan0, behind ppp0.
struct HealthyGateway {
    var configuration: Configuration? = .masquerading("ppp0", "192.168.0.0/16", "fd00:1::/64")
    var diagnostics: [Diagnostic] = []
    var origin = Configuration.Origin.file("/etc/masqd.toml")
    var observations: Observations

    static let lan: Int32 = 2
    static let ppp: Int32 = 7
    static let other: Int32 = 8

    init() throws {
        var seen = Observations()
        seen.holder = .seen(LockHolder(process: 4711, unit: "masqd.service"))
        seen.forwarding = .seen([.ipv4: true, .ipv6: true])
        var ppp = Link.link("ppp0", Self.ppp, up: true, "203.0.113.7", "2001:db8::7")
        ppp.resolvesNeighbours = false
        seen.links = .seen(
            Links([
                .link("lo", 1, up: true, "127.0.0.1"),
                .link("lan0", Self.lan, up: true, "192.168.1.1", "fd00:1::1", "fe80::1"), ppp,
            ]))
        for name: InterfaceName in ["lo", "lan0", "ppp0"] {
            seen.linkSettings[name] = LinkSettings(
                reversePathFilter: 0, isForwarding: true, acceptsAdvertisements: 1)
        }
        seen.routes = .seen([
            try Route("0.0.0.0/0", Self.ppp), try Route("::/0", Self.ppp),
            try Route("192.168.1.0/24", Self.lan, connected: true),
            try Route("fd00:1::/64", Self.lan, connected: true),
            try Route("203.0.113.1/32", Self.ppp, connected: true),
            try Route("fe80::/64", Self.lan, connected: true),
        ])
        seen.table = .seen(TableComparison(isThere: true, changes: []))
        seen.foreign = .seen(ForeignReport())
        seen.segmentClamps = .seen(["inet masqd mss"])
        seen.conntrack = .seen(
            ConntrackLoad(count: 100, maximum: 262_144, buckets: 262_144, memory: 4 << 30))
        seen.savedRuleset = .seen(nil)
        observations = seen
        answerWays()
    }

    var links: Links {
        get { observations.links.value ?? Links() }
        set { observations.links = .seen(newValue) }
    }

    var routes: [Route] {
        get { observations.routes.value ?? [] }
        set { observations.routes = .seen(newValue) }
    }

    /// Changes one link.
    mutating func link(_ index: Int32, _ change: (inout Link) -> Void) {
        var link = links.byIndex[index] ?? Link(index: index, name: "new0", isUp: true)
        change(&link)
        links.byIndex[index] = link
    }

    /// The kernel sends everything out of this link.
    mutating func answerWays(_ link: Int32? = HealthyGateway.ppp) {
        guard let configuration else { return }
        var ways = Way.questions(configuration, links, routes)
        for index in ways.indices { ways[index].outputLink = link }
        observations.ways = .seen(ways)
    }

    /// What is IPv6 is mapped to the prefix of a link.
    mutating func mapPrefix(from name: InterfaceName) {
        guard let block = configuration?.outbound[0] else { return }
        var snat = SourceNAT(to: [.uplinkPrefix])
        snat.prefixFrom = name
        var mapped = block
        mapped.translation = .snat(snat)
        mapped.source = block.source.filter { $0.family == .ipv6 }
        configuration?.outbound[0].source = block.source.filter { $0.family == .ipv4 }
        configuration?.outbound.append(mapped)
        answerWays()
    }

    /// The table is as this kernel can have it.
    mutating func lack(_ feature: KernelFeature) {
        var table = TableComparison(isThere: true, changes: [])
        table.lacking = [feature]
        observations.table = .seen(table)
    }

    /// ppp0 becomes an `[[uplink]]`, and policy routing is as that wants it.
    mutating func addUplinkBlock() throws {
        var uplink = UplinkBlock(line: 8, interface: "ppp0", number: 1)
        uplink.probe = [SocketAddress(address: try #require(IPAddress("192.0.2.1")), port: 53)]
        configuration?.uplinks = [uplink]
        answerRouting()
    }

    /// Policy routing is as it should be.
    mutating func answerRouting(unanswered: Set<Int> = []) {
        guard let configuration else { return }
        var state = RoutingState()
        state.families = [.ipv4, .ipv6]
        state.foreignRoutes = Set(routes)
        let plan = RoutingPlan(configuration, links, state, unanswered: unanswered)
        state.rules = plan.rules
        state.routes = plan.routes
        observations.routing = .seen(state)
    }

    mutating func changeRouting(_ change: (inout RoutingState) -> Void) {
        guard var state = observations.routing.value else { return }
        change(&state)
        observations.routing = .seen(state)
    }

    /// What the doctor says.
    var examination: Examination {
        let reading = Configuration.Reading(configuration: configuration, diagnostics: diagnostics)
        return Examination(reading, from: origin, observations)
    }

    /// What is not as it should be, in the doctor's words.
    var complaints: [String] {
        examination.findings.filter { $0.severity != .ok }.map(\.description)
    }
}

extension Route {
    init(_ destination: String, _ link: Int32, connected: Bool = false) throws {
        self.init(try IPNetwork(destination), link: link, isConnected: connected)
    }
}
