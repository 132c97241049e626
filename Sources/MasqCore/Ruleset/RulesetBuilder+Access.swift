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
                rules += limitRules(.newConnections(rate), "rate", family, to: &page)
            }
            if let count = limits.maximumConnections {
                rules += limitRules(.connections(count), "connections", family, to: &page)
            }
        }
        page.chains = [.init(Self.admission, rules)]
        return page
    }

    /// Appends the recordings of a limit, and returns the rules that refuse what is beyond.
    ///
    /// A recording that is full takes nobody in, and then `update` and `add` match nothing (`nft_dynset_eval`): whoever
    /// claims to be 65 536 others would free everybody from the limit. So a client without an element is counted along
    /// with its network, of which there are few enough; nobody can keep out others than those of that network.
    private func limitRules(
        _ limit: Rule.ClientLimit, _ name: String, _ family: AddressFamily, to page: inout Ruleset
    ) -> [Rule] {
        // A rate is forgotten when it can't matter any more; a count knows its own connections.
        var timeout: UInt32 = 0
        var reason = DropReason.tooManyConnections
        if case .newConnections(let rate) = limit {
            timeout = UInt32(clamping: max(60, rate.recovery + 1))
            reason = .tooManyNewConnections
        }
        func refuse(_ matches: [Rule.Match], _ reason: DropReason) -> Rule {
            Rule(
                matches, counter: "refused", drop(reason),
                comment: comment("a client's limit", line: configuration.clients.line))
        }
        func record(_ set: String, size: UInt32) {
            let type = ElementType(key: [.address(family)])
            page.sets.append(.init(set, .recorded(Recording(type, size: size, timeout: timeout))))
        }
        let limits = configuration.clientLimits
        let (client, clients) = (limits.key(family), "client_\(name)\(family.suffix)")
        record(clients, size: limits.maximumClients)
        var uncounted = [Rule.Match.uncounted(client, set: clients)]
        var rules = [refuse([.exceeds(limit, client, set: clients)], reason)]
        if let network = networkKey(family) {
            // As large as there may be networks, so that other sources at a reload don't make it another set.
            let networks = "network_\(name)\(family.suffix)"
            record(networks, size: Self.maximumNetworks)
            rules.append(refuse(uncounted + [.exceeds(limit, network, set: networks)], .tooManyClients))
            uncounted.append(.uncounted(network, set: networks))
        }
        return rules + [refuse(uncounted, .tooManyClients)]
    }

    /// What clients are counted by that have no element of their own; absent where there is one for everybody.
    private func networkKey(_ family: AddressFamily) -> Rule.ClientKey? {
        let limits = configuration.clientLimits
        let (sources, client) = (sources(family), limits.key(family))
        guard sources.count(prefixLength: client.prefixLength) > limits.maximumClients else { return nil }
        let longest = family == .ipv4 ? 24 : max(0, client.prefixLength - 16)
        // Of the shortest there is but one.
        let length =
            (0...longest).last { sources.count(prefixLength: $0) <= UInt128(Self.maximumNetworks) } ?? 0
        return .init(family, prefixLength: length)
    }

    /// The most networks that clients beyond ``ClientLimits/maximumClients`` are counted by.
    private static let maximumNetworks: UInt32 = 65536

    /// All addresses that clients can have.
    private func sources(_ family: AddressFamily) -> AddressRanges {
        AddressRanges(family: family, networks: configuration.outbound.flatMap(\.source))
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
