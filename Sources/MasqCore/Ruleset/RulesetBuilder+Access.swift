// SPDX-License-Identifier: GPL-3.0-or-later

extension RulesetBuilder {
    /// Whether every client may connect to everything.
    var admitsAll: Bool {
        configuration.clients.isOpen && configuration.destinations.isOpen
            && configuration.clientLimits.isEmpty
    }

    /// Who may begin connections, and where to: what is refused goes no further.
    ///
    /// Established connections never come here. Those that a reload forbids are deleted by connection repair.
    var accessPage: Ruleset {
        var page = Ruleset()
        guard !admitsAll else { return page }
        page.counters = ["refused"]
        var rules: [Rule] = []
        for (list, side, name, blockedReason, notAllowedReason) in [
            (
                configuration.clients, Rule.AddressSide.source, "clients", DropReason.blockedClient,
                DropReason.clientNotAllowed
            ),
            (
                configuration.destinations, .destination, "destinations", .blockedDestination,
                .destinationNotAllowed
            ),
        ] {
            for blocked in list.blocked.families where !blocked.isEmpty {
                let set = "blocked_\(name)\(blocked.family.suffix)"
                page.sets.append(.init(set, .addresses(blocked)))
                rules.append(
                    Rule(
                        [.address(blocked.family, side, set: set)], counter: "refused",
                        drop(blockedReason),
                        comment: comment("blocked \(name)", line: list.line)))
            }
            for allowed in list.allowed?.families ?? [] {
                let set = "allowed_\(name)\(allowed.family.suffix)"
                page.sets.append(.init(set, .addresses(allowed)))
                rules.append(
                    Rule(
                        [.addressNot(allowed.family, side, set: set)], counter: "refused",
                        drop(notAllowedReason),
                        comment: comment("not among the allowed \(name)", line: list.line)))
            }
        }
        // Last, so that what is refused anyway counts for no limit.
        let limits = configuration.clientLimits
        for family in AddressFamily.allCases {
            if let rate = limits.newConnections {
                rules.append(limit(.newConnections(rate), "client_rate", family, to: &page))
            }
            if let count = limits.maximumConnections {
                rules.append(limit(.connections(count), "client_connections", family, to: &page))
            }
        }
        page.chains = [.init(Self.admission, rules)]
        return page
    }

    /// Appends the recording of a limit, and returns the rule that refuses what is beyond.
    private func limit(
        _ limit: Rule.ClientLimit, _ name: String, _ family: AddressFamily, to page: inout Ruleset
    ) -> Rule {
        let set = name + family.suffix
        var timeout: UInt32 = 0
        var reason = DropReason.tooManyConnections
        // A rate is forgotten when it can't matter any more; a count knows its own connections.
        if case .newConnections(let rate) = limit {
            reason = .tooManyNewConnections
            timeout = UInt32(clamping: max(60, rate.recovery + 1))
        }
        let type = ElementType(key: [.address(family)])
        page.sets.append(.init(set, .recorded(Recording(type, size: 65536, timeout: timeout))))
        return Rule(
            [.exceeds(limit, family, set: set)], counter: "refused", drop(reason),
            comment: comment("a client's limit", line: configuration.clients.line))
    }

    /// The name of the chain that refuses connections.
    static let admission = "admission"

    /// Leads a source's first packets to where they may be refused.
    func admissionRules(_ source: Rule.Match, line: Int) -> [Rule] {
        if admitsAll { return [] }
        return [
            Rule(
                [source, .unconfirmed], .jump(Self.admission), comment: comment("may it connect?", line: line)
            )
        ]
    }
}
