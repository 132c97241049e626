// SPDX-License-Identifier: GPL-3.0-or-later

// What keeps a private address inside where no translation would hide it (decision 23).
extension RulesetBuilder {
    /// What the kernel could give a private address to: uplinks that something is masqueraded to, while they have none.
    ///
    /// By index, and not by name: a link that comes back while nobody is there to follow it is none of these.
    func withoutAddress(_ family: AddressFamily) -> String { "without_address\(family.suffix)" }

    /// The links that a default route leaves by.
    func defaultRoute(_ family: AddressFamily) -> String { "default_route\(family.suffix)" }

    /// The sets for both.
    var leakSets: [Ruleset.NamedSet] {
        let masquerading = configuration.outbound.filter { $0.kind == .masquerade }
        let without = AddressFamily.allCases.compactMap { family -> Ruleset.NamedSet? in
            let blocks = masquerading.filter { $0.families.contains(family) }
            guard !blocks.isEmpty else { return nil }
            var patterns: [InterfacePattern] = []
            for pattern in blocks.flatMap(\.outInterfaces) where !patterns.contains(pattern) {
                patterns.append(pattern)
            }
            let sources = configuration.outbound.filter(\.translation.hidesSource).flatMap(\.source)
            let hidden = AddressRanges(family: family, networks: sources)
            return .init(
                withoutAddress(family), following: .withoutAddress(family, patterns, hidden: hidden))
        }
        return without + hiddenFamilies.map { .init(defaultRoute($0), following: .carryingDefaultRoute($0)) }
    }

    /// The families that no source may leave with where no block says how; none where the file accepts it.
    private var hiddenFamilies: [AddressFamily] {
        guard configuration.forward.unnamedUplink == .drop else { return [] }
        return AddressFamily.allCases.filter { family in
            configuration.outbound.contains {
                $0.translation.hidesSource && $0.families.contains(family)
            }
        }
    }

    /// Whether the chain is there.
    var holdsBackUnnamed: Bool { !hiddenFamilies.isEmpty }

    /// The rules that lead what no block said anything about to ``unnamedUplinkChain``.
    func unnamedUplinkRules(when matches: [Rule.Match] = []) -> [Rule] {
        hiddenFamilies.map { family in
            Rule(
                matches + [.family(family), .outputIndexIn(set: defaultRoute(family))],
                .jump("unnamed_uplink"),
                comment: comment("toward an unnamed uplink", line: configuration.forward.unnamedUplinkLine))
        }
    }

    /// A block's sources on their way out of a link with a default route, where no block has translated them.
    ///
    /// So it does not matter whether the link has a name in the file: a route that fell back on another link, an uplink that
    /// somebody renamed, and a reload that names another one all come here, and with the packet itself.
    var unnamedUplinkChain: Ruleset.Chain {
        var rules = [Rule([.leavesThroughIPsec], .accept, comment: comment("IPsec keeps its source"))]
        for block in blocks {
            // What goes to another private network does not go outside.
            for family in block.families
            where !block.block.source.contains(where: { $0.family == family && $0.prefixLength == 0 }) {
                rules.append(
                    Rule(
                        [.address(family, .destination, set: block.source(family))], .accept,
                        comment: comment("stays inside", line: block.block.line)))
            }
        }
        for block in blocks {
            for family in block.families {
                let source = Rule.Match.address(family, .source, set: block.source(family))
                rules += exclusionRules(block, family)
                if block.isRouted {
                    rules.append(Rule([source], .accept, comment: comment(block)))
                } else {
                    // The gateway's own packets leave by its own address there: it may be a host of the network inside.
                    rules.append(
                        Rule(
                            [source, .sourceForeignToOutInterface], counter: "unnamed_uplink",
                            drop(.unnamedUplink),
                            comment: comment("unnamed uplink", line: block.block.line)))
                }
            }
        }
        return .init("unnamed_uplink", rules)
    }
}
