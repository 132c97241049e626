// SPDX-License-Identifier: GPL-3.0-or-later

extension RulesetBuilder {
    /// Counts what the forward chain has let pass between the blocks' sources and the uplinks, in both directions.
    ///
    /// In a base chain of its own: without `[accounting]` no packet pays for it.
    var accountingPage: Ruleset {
        var page = Ruleset()
        let accounting = configuration.accounting
        guard accounting.isOn else { return page }
        var rules: [Rule] = []
        for family in AddressFamily.allCases where blocks.contains(where: { $0.families.contains(family) }) {
            let suffix = family == .ipv4 ? "" : "_ipv6"
            if accounting.clients {
                let type = ElementType(key: [.address(family)], countsPackets: true)
                for name in ["clients_sent", "clients_received"] {
                    let recording = Recording(type, size: accounting.maximumClients, timeout: Self.memory)
                    page.sets.append(.init(name + suffix, .recorded(recording)))
                }
            }
            guard accounting.forwards else { continue }
            let type = ElementType(key: [.address(family), .protocol, .service], countsPackets: true)
            for (name, direction, side) in [
                ("forwards_received", Rule.Direction.input, Rule.AddressSide.destination),
                ("forwards_sent", .output, .source),
            ] {
                page.sets.append(
                    .init(name + suffix, .recorded(Recording(type, size: 65536, timeout: Self.memory))))
                for match in throughUplinks(direction) {
                    rules.append(
                        Rule(
                            [match, .destinationTranslated],
                            .record(family, .endpoint(side), set: name + suffix),
                            comment: comment("accounting", line: accounting.line)))
                }
            }
        }
        for block in blocks { account(block, rules: &rules, page: &page) }
        page.chains = [.init("accounting", base: .accounting, rules)]
        return page
    }

    /// How long a client's or server's counters stay without a packet: a week, in seconds.
    private static let memory: UInt32 = 7 * 24 * 3600

    private func account(_ block: BlockNames, rules: inout [Rule], page: inout Ruleset) {
        let accounting = configuration.accounting
        guard accounting.blocks || accounting.clients else { return }
        for (name, direction, side) in [
            ("sent", Rule.Direction.output, Rule.AddressSide.source), ("received", .input, .destination),
        ] {
            let counter = accounting.blocks ? "\(block.counter)_\(name)" : nil
            if let counter { page.counters.append(counter) }
            for family in block.families {
                let suffix = family == .ipv4 ? "" : "_ipv6"
                for match in uplinkMatches(block, direction) {
                    rules.append(
                        Rule(
                            [match, .address(family, side, set: block.source(family))], counter: counter,
                            accounting.clients
                                ? .record(family, .address(side), set: "clients_\(name)\(suffix)") : .accept,
                            comment: comment("accounting", line: accounting.line)))
                }
            }
        }
    }

    /// The ways to be one of a block's uplinks: its whole names at once, and each of its globs.
    private func uplinkMatches(_ block: BlockNames, _ direction: Rule.Direction) -> [Rule.Match] {
        var matches: [Rule.Match] = []
        if !block.exactInterfaces.isEmpty { matches.append(.interfaceIn(direction, set: block.interfaces)) }
        for case .prefix(let prefix) in block.block.outInterfaces {
            matches.append(.interface(direction, .prefix(prefix)))
        }
        return matches
    }

    private func throughUplinks(_ direction: Rule.Direction) -> [Rule.Match] {
        uplinks.map { .interface(direction, $0.pattern) }
    }
}
