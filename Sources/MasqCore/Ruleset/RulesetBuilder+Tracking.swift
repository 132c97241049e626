// SPDX-License-Identifier: GPL-3.0-or-later

// What connection tracking is told about a connection by its first packet, while it is not confirmed yet. In the forward
// hook nobody else's packets pay for it, and it is early enough: the source is translated later, and the helper has
// to be known by then (`nf_nat_setup_info` in net/netfilter/nf_nat_core.c).
extension RulesetBuilder {
    /// The objects that `[conntrack] helpers` asks for.
    var helpers: [Ruleset.Helper] {
        var seen: Set<String> = []
        return trackers.filter { seen.insert($0.object).inserted }.map {
            Ruleset.Helper(
                $0.object, type: $0.type, transport: $0.transport, isForBothFamilies: $0.isForBothFamilies)
        }
    }

    /// The objects that `[conntrack] timeouts` and its like ask for.
    var timeouts: [Ruleset.Timeout] {
        guard !lacking.contains(.timeouts) else { return [] }
        return [("timeout_tcp", Rule.TransportProtocol.tcp), ("timeout_udp", .udp)].compactMap {
            name, transport in
            let conntrack = configuration.conntrack
            let own = conntrack.timeouts.filter { $0.key.transport == transport }
            guard !own.isEmpty else { return nil }
            // An object has all states of its protocol.
            let others = conntrack.systemTimeouts.filter { $0.key.transport == transport }
            return .init(name, transport: transport, seconds: others.merging(own) { _, own in own })
        }
    }

    /// The chain for the first packet of a connection toward an uplink, if there is anything to say about it.
    var outwardTracking: String? { trackers.isEmpty ? inwardTracking : "helpers" }

    /// The same, from an uplink: no helper, which would let strangers announce connections into the private network.
    var inwardTracking: String? { timeouts.isEmpty ? nil : "timeouts" }

    /// Those two chains, the second one reached from the first.
    var trackingChains: [Ruleset.Chain] {
        var chains: [Ruleset.Chain] = []
        if !timeouts.isEmpty { chains.append(.init("timeouts", timeouts.map(timeoutRule))) }
        if !trackers.isEmpty {
            let text = comment("helper", line: configuration.conntrack.helpersLine)
            var rules = trackers.map {
                Rule([.destinationPort($0.transport, $0.port)], .help($0.object), comment: text)
            }
            if let inwardTracking { rules.append(Rule([], .jump(inwardTracking), comment: timeoutComment)) }
            chains.append(.init("helpers", rules))
        }
        return chains
    }

    /// The rule that sends a connection's first packet there.
    func trackingRule(_ matches: [Rule.Match], _ chain: String?) -> [Rule] {
        chain.map { [Rule(matches, .jump($0), comment: comment("new connection", line: trackingLine))] } ?? []
    }

    /// A DNS query needs no longer time: with two minutes it would fill the table, and RFC 4787 lets it (REQ-5 a).
    private func timeoutRule(_ timeout: Ruleset.Timeout) -> Rule {
        let matches: [Rule.Match] =
            timeout.transport == .udp
            ? [.otherDestinationPort(.udp, 53)] : [.transport(timeout.transport)]
        return Rule(matches, .expire(timeout.name), comment: timeoutComment)
    }

    private var trackers: [TrackedProtocol.Tracker] {
        configuration.conntrack.helpers.flatMap(\.trackers).filter { !lacking.contains(.helper($0.object)) }
    }

    private var timeoutComment: String { comment("timeouts", line: configuration.conntrack.timeoutsLine) }

    private var trackingLine: Int? {
        configuration.conntrack.helpersLine ?? configuration.conntrack.timeoutsLine
    }
}
