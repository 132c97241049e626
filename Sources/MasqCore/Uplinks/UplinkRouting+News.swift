// SPDX-License-Identifier: GPL-3.0-or-later

// What people are told.
extension UplinkRouting {
    /// A few words for a status line: by which uplink new connections leave, and which ones do not answer.
    var summary: String? {
        var parts = told.filter { $0.value == .unanswered }.keys.sorted().map {
            "\($0) has no answer to its probes"
        }
        if let failure { parts.append(failure) }
        if let preferred { parts.append("new connections leave by \(preferred)") }
        return parts.isEmpty ? nil : parts.joined(separator: "; ")
    }

    /// The lines about what changed, and whether connections are to be deleted for it.
    mutating func news(
        of plan: RoutingPlan, _ configuration: Configuration
    ) -> (lines: [Action], losesAny: Bool) {
        let ranked = Array(zip(configuration.uplinks, plan.conditions))
        let best = ranked.first { $0.1 == .usable } ?? ranked.first { $0.1 == .unanswered }
        // Without one of its rules nobody knows.
        let hasRules = !refused.contains { if case .addRule = $0 { true } else { false } }
        let newPreferred = configuration.failsOver && hasRules ? best?.0.interface : nil
        let isFirstLook = told.isEmpty
        var actions: [Action] = []
        var mustDelete = false
        for (uplink, condition) in ranked where told[uplink.interface] != condition {
            let name = uplink.interface
            if condition == .usable {
                let isNew = told[name] != .withoutRoute && alive.insert(name).inserted
                lost.remove(uplink.number)
                let order = newPreferred.map { $0 == name ? "" : ", behind \($0)" } ?? ""
                if isNew, !isFirstLook { actions.append(.log(.notice, "uplink \(name) is usable\(order)")) }
            } else if condition == .withoutRoute {
                // Perhaps for a moment only: what belongs to it lives on.
                if alive.contains(name) {
                    actions.append(.log(.notice, "uplink \(name) has no default route"))
                }
            } else if alive.remove(name) != nil {
                let isDropped = uplink.onLoss == .drop
                if isDropped { lost.insert(uplink.number) }
                mustDelete = mustDelete || isDropped
                let why = condition.reason(uplink, configuration.policyRouting)
                let fate = isDropped ? "deleted" : "kept"
                actions.append(.log(.warning, "uplink \(name) is lost, \(why): its connections are \(fate)"))
            }
        }
        told = Dictionary(uniqueKeysWithValues: ranked.map { ($0.0.interface, $0.1) })
        alive.formIntersection(told.keys)
        if newPreferred != preferred, let newPreferred {
            actions.append(.log(.notice, "new connections leave by \(newPreferred)"))
        }
        preferred = newPreferred
        return (actions, mustDelete)
    }

    /// Says what to type where an interface drops what arrives by it, since the way back leads elsewhere.
    mutating func warnings(
        _ configuration: Configuration, _ links: Links, _ state: RoutingState
    ) -> [Action] {
        var now: Set<InterfaceName> = []
        for uplink in configuration.uplinks {
            guard let link = links.named(uplink.interface) else { continue }
            // The stricter of the two counts (ip-sysctl in the kernel's documentation), and 2 is loose.
            let filter = max(state.reversePathFilters[-1] ?? 0, state.reversePathFilters[link.index] ?? 0)
            if filter == 1 { now.insert(uplink.interface) }
        }
        defer { strict = now }
        return now.subtracting(strict).sorted().map { name in
            .log(
                .warning,
                """
                rp_filter of \(name) is strict: what comes in by it is dropped while another uplink is preferred; \
                to permit it: sysctl -w \(name.shellWord(from: "net/ipv4/conf/", to: "/rp_filter"))=2
                """)
        }
    }

    /// What comes of the changes that the kernel refused, as it goes on behind the reason.
    func loss(_ configuration: Configuration) -> String {
        var left: Set<InterfaceName> = []
        for change in refused {
            guard case .setRoute(let route) = change,
                let uplink = configuration.uplinks.first(where: { $0.routingTable == route.table })
            else { return "connections may leave by the wrong uplink" }
            left.insert(uplink.interface)
        }
        return
            "\(left.sorted().map(\.description).joined(separator: ", ")) is left out of [[uplink]] until the kernel takes it"
    }
}

extension UplinkCondition {
    fileprivate func reason(_ uplink: UplinkBlock, _ routing: Configuration.PolicyRouting) -> String {
        switch self {
        case .absent: "it is gone"
        case .down: "it is down"
        case .withoutCarrier: "it has no carrier"
        case .withoutAddress: "it has no address"
        case .withoutRoute: "it has no default route"
        case .unanswered:
            "no answer from \(uplink.probe.map(\.description).joined(separator: ", ")) to \(routing.probeFailures) probes"
        case .usable: "it is usable"
        }
    }
}
