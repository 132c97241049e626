// SPDX-License-Identifier: GPL-3.0-or-later

extension RulesetBuilder {
    /// Counts what the forward chain has let pass between the blocks' sources and the uplinks.
    ///
    /// In base chains of their own, without which no packet pays for it.
    var accountingPage: Ruleset {
        var page = Ruleset()
        guard configuration.accounting.isOn else { return page }
        for way in Way.allCases {
            let rules = forwardCountingRules(way, to: &page) + blockCountingRules(way, to: &page)
            page.chains.append(.init(way.page.rawValue, base: .accounting, rules))
        }
        return page
    }

    /// Which of a connection's two directions, seen from inside.
    private enum Way: String, CaseIterable {
        case sent, received

        /// The chains for each uplink, and the map that leads to them.
        var page: Page { self == .sent ? .accountingSent : .accountingReceived }
        /// The side on which the uplink is.
        var direction: Rule.Direction { self == .sent ? .output : .input }
        /// The side on which the client or server is.
        var inside: Rule.AddressSide { self == .sent ? .source : .destination }
    }

    /// How long a client's counters stay without a packet: a week, in seconds.
    private static let memory: UInt32 = 7 * 24 * 3600

    private var accountingComment: String { comment("accounting", line: configuration.accounting.line) }

    /// A packet is the first block's that its address is a source of, as everywhere, and is counted once.
    private func blockCountingRules(_ way: Way, to page: inout Ruleset) -> [Rule] {
        let accounting = configuration.accounting
        guard accounting.blocks || accounting.clients else { return [] }
        if accounting.blocks { page.counters += blocks.map { "\($0.counter)_\(way.rawValue)" } }
        for family in AddressFamily.allCases
        where accounting.clients && blocks.contains(where: { $0.families.contains(family) }) {
            let type = ElementType(key: [.address(family)], countsPackets: true)
            let recording = Recording(type, size: accounting.maximumClients, timeout: Self.memory)
            page.sets.append(.init("clients_\(way.rawValue)\(family.suffix)", .recorded(recording)))
        }
        page.chains += chains(way.page) { countingChain($0, way) }
        if !exactUplinks.isEmpty { page.sets.append(jumps(way.page)) }
        return dispatch(way.direction, to: way.page, "accounting", line: accounting.line)
    }

    private func countingChain(_ uplink: Uplink, _ way: Way) -> Ruleset.Chain {
        let accounting = configuration.accounting
        var rules: [Rule] = []
        for (index, block) in uplink.blocks.map({ ($0, blocks[$0]) }) {
            for family in block.families {
                let clients = "clients_\(way.rawValue)\(family.suffix)"
                rules.append(
                    Rule(
                        [.address(family, way.inside, set: block.source(family))],
                        counter: accounting.blocks ? "\(block.counter)_\(way.rawValue)" : nil,
                        accounting.clients ? .record(family, way.inside, set: clients) : .accept,
                        comment: accountingComment))
                // A set that is full takes nobody in and decides nothing; a later block must not count the packet again.
                if accounting.clients,
                    blocks[(index + 1)...].contains(where: { $0.families.contains(family) })
                {
                    rules.append(
                        Rule(
                            [.address(family, way.inside, set: block.source(family))], .accept,
                            comment: accountingComment))
                }
            }
        }
        return .init(uplink.chainName(way.page), rules)
    }

    /// Only what this file forwards: others' connections, and the errors about one's own, fill no set.
    private func forwardCountingRules(_ way: Way, to page: inout Ruleset) -> [Rule] {
        guard configuration.accounting.forwards else { return [] }
        return AddressFamily.allCases.flatMap { family -> [Rule] in
            let forwards = configuration.portForwards.filter { $0.address.family == family }
            guard !forwards.isEmpty else { return [] }
            let set = "forwards_\(way.rawValue)\(family.suffix)"
            let servers = PortForward.servers(of: forwards, family, countingPackets: true)
            page.sets.append(.init(set, .entries(servers)))
            let patterns = Uplink.all(of: forwards.map(\.inInterfaces)).map(\.pattern)
            // Of patterns that mean the same interface one only, so that a packet is counted once.
            return patterns.filter { pattern in
                !patterns.contains { $0 != pattern && $0.covers(pattern) }
            }.map {
                Rule(
                    [.interface(way.direction, $0), .destinationTranslated],
                    .count(family, way.inside, set: set), comment: accountingComment)
            }
        }
    }
}
