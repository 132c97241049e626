// SPDX-License-Identifier: GPL-3.0-or-later

extension RulesetBuilder {
    /// Whether every client may connect to everything.
    var admitsAll: Bool { configuration.clients.isOpen && configuration.destinations.isOpen }

    /// Who may begin connections, and where to: what is refused goes no further.
    ///
    /// Established connections never come here. Those that a reload forbids are deleted by connection repair.
    var accessPage: Ruleset {
        var page = Ruleset()
        guard !admitsAll else { return page }
        page.counters = ["refused"]
        var rules: [Rule] = []
        for (list, side, name) in [
            (configuration.clients, Rule.AddressSide.source, "clients"),
            (configuration.destinations, .destination, "destinations"),
        ] {
            for blocked in list.blocked.families where !blocked.isEmpty {
                let set = "blocked_\(name)\(Self.suffix(blocked.family))"
                page.sets.append(.init(set, .addresses(blocked)))
                rules.append(
                    Rule(
                        [.address(blocked.family, side, set: set)], counter: "refused", .drop,
                        comment: comment("blocked \(name)", line: list.line)))
            }
            for allowed in list.allowed?.families ?? [] {
                let set = "allowed_\(name)\(Self.suffix(allowed.family))"
                page.sets.append(.init(set, .addresses(allowed)))
                rules.append(
                    Rule(
                        [.addressNot(allowed.family, side, set: set)], counter: "refused", .drop,
                        comment: comment("not among the allowed \(name)", line: list.line)))
            }
        }
        page.chains = [.init(Self.admission, rules)]
        return page
    }

    private static func suffix(_ family: AddressFamily) -> String { family == .ipv4 ? "" : "_ipv6" }

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
