// SPDX-License-Identifier: GPL-3.0-or-later

extension Ruleset {
    /// Adds a page: objects that belong together and that nothing on other pages refers to.
    mutating func append(_ page: Ruleset) {
        counters += page.counters
        alarms += page.alarms
        sets += page.sets
        chains += page.chains
    }
}

extension RulesetBuilder {
    /// What becomes of connections to the gateway and to mapped addresses before they are routed.
    var preroutingPage: Ruleset {
        var page = Ruleset()
        let rules = mappingRules + portForwardRules(&page)
        if !rules.isEmpty { page.chains.append(.init("prerouting", base: .prerouting, rules)) }
        return page
    }

    /// Where connections to forwarded ports come in, and the servers behind them.
    ///
    /// One look-up finds the interface's chain, and one in there the server, however many forwards there are.
    private func portForwardRules(_ page: inout Ruleset) -> [Rule] {
        let forwards = configuration.portForwards
        guard !forwards.isEmpty else { return [] }
        let arrivals = Uplink.withoutCovered(
            Uplink.all(of: forwards.map(\.inInterfaces)), beyond: longestSeparateLists)
        var rules: [Rule] = []
        let disguises = disguiseRules(at: arrivals, &page)
        for (arrival, disguises) in zip(arrivals, disguises) {
            let own = arrival.blocks.map { forwards[$0] }
            append(.portForward, of: arrival, own, disguises, to: &page)
        }
        if arrivals.contains(where: \.isExact) {
            page.sets.append(jumps(.portForward, of: arrivals))
            rules.append(
                Rule(
                    [], .dispatch(.input, map: Page.portForward.rawValue),
                    comment: comment("port forwards", line: forwards[0].line)))
        }
        for arrival in arrivals where !arrival.isExact {
            rules.append(
                Rule(
                    [.interface(.input, arrival.pattern)], .jump(arrival.chainName(.portForward)),
                    comment: comment("port forwards", line: forwards[arrival.blocks[0]].line)))
        }
        return rules + reflect(arrivals, page: &page)
    }

    /// What comes from inside to an address of an interface is forwarded as if it had come in there.
    private func reflect(_ arrivals: [Uplink], page: inout Ruleset) -> [Rule] {
        let forwards = configuration.portForwards
        guard let first = forwards.first(where: \.reflection) else { return [] }
        var chains: [LinkSource.ChainOfLinks] = []
        for arrival in arrivals {
            let own = arrival.blocks.map { forwards[$0] }
            let reflected = own.filter(\.reflection)
            guard !reflected.isEmpty else { continue }
            // Mostly all of them are, and then their chain serves for both.
            let kind = reflected.count == own.count ? Page.portForward : .reflection
            if kind == .reflection { append(kind, of: arrival, reflected, [], to: &page) }
            chains.append(.init(pattern: arrival.pattern, chain: arrival.chainName(kind)))
        }
        let text = comment("reflection", line: first.line)
        var rules: [Rule] = []
        let outside = Uplink.all(of: [
            configuration.outbound.flatMap(\.outInterfaces) + arrivals.map(\.pattern)
        ])
        let names = outside.compactMap { if case .name(let name) = $0.pattern { name } else { nil } }
        if !names.isEmpty {
            page.sets.append(.init("outside", .interfaces(Set(names))))
            rules.append(Rule([.interfaceIn(.input, set: "outside")], .accept, comment: text))
        }
        for glob in outside where !glob.isExact {
            rules.append(Rule([.interface(.input, glob.pattern)], .accept, comment: text))
        }
        for family in AddressFamily.allCases
        where forwards.contains(where: { $0.reflection && $0.address.family == family }) {
            let map = "reflection" + family.suffix
            page.sets.append(.init(map, following: .chainsByAddress(family, chains)))
            rules.append(Rule([], .dispatchDestination(family, map: map), comment: text))
        }
        return rules
    }

    /// For each interface: nobody is let in to a server who comes in by an uplink and claims to be inside.
    private func disguiseRules(at arrivals: [Uplink], _ page: inout Ruleset) -> [[Rule]] {
        let disguised = arrivals.map { arrival in
            Uplink(
                pattern: arrival.pattern,
                blocks: blocks.indices.filter { index in
                    blocks[index].block.outInterfaces.contains {
                        $0.covers(arrival.pattern) || arrival.pattern.covers($0)
                    }
                })
        }
        let sharedLists = SharedLists(of: disguised, beyond: longestSeparateLists)
        let chains = chains(.disguised, of: disguised, sharedLists) { arrival in
            let rules = arrival.blocks.flatMap { index in
                blocks[index].families.flatMap { disguiseRules(blocks[index], $0) }
            }
            return .init(arrival.chainName(.disguised), rules)
        }
        guard sharedLists != nil else { return chains.map(\.rules) }
        page.chains += chains
        return arrivals.map {
            [Rule([], .jump($0.chainName(.disguised)), comment: comment("spoofed sources"))]
        }
    }

    /// Drops what comes in by an uplink of the block with a source of the block's that is behind another interface.
    ///
    /// The sources may well have in them what is behind the uplink too: the provider's own network, or a routed VPN.
    func disguiseRules(
        _ block: BlockNames, _ family: AddressFamily, when matches: [Rule.Match] = []
    ) -> [Rule] {
        // With several uplinks the way to everybody leads out of one of them only.
        guard !block.isRouted, !block.block.source.contains(where: { $0.prefixLength == 0 }) else {
            return []
        }
        return arrives(by: block).map {
            Rule(
                [$0, .address(family, .source, set: block.source(family))] + matches
                    + [.cameInClear, .sourceBehindOtherInterface],
                counter: "spoofed", drop(.spoofedSource),
                comment: comment("spoofed source", line: block.block.line))
        }
    }

    /// A server that is on its client's own network would answer past the gateway.
    var reflectedSourceRules: [Rule] {
        guard let first = configuration.portForwards.first(where: \.reflection) else { return [] }
        return [
            Rule(
                [.destinationTranslated, Self.withinOneInterface],
                .masquerade(NATOptions()),
                comment: comment("reflection within one network", line: first.line))
        ]
    }

    /// Appends the chain of one interface's forwards, and its maps.
    private func append(
        _ kind: Page, of arrival: Uplink, _ forwards: [PortForward], _ disguises: [Rule],
        to page: inout Ruleset
    ) {
        let chain = arrival.chainName(kind)
        var rules = [
            Rule(
                [.destinationNotLocal], .accept,
                comment: comment("not for the gateway", line: forwards.first?.line))
        ]
        rules += disguises
        for family in AddressFamily.allCases {
            let own = forwards.filter { $0.address.family == family }
            // Those for some sources only are the more exact ones.
            for transport in [Rule.TransportProtocol.tcp, .udp] {
                let limited = own.filter { !$0.source.isEmpty && $0.transports.contains(transport) }
                guard let first = limited.first else { continue }
                let map = "\(chain)_\(transport.text)_source\(family.suffix)"
                page.sets.append(.init(map, .entries(PortForward.elements(of: limited, family, transport))))
                rules.append(
                    Rule(
                        [], .translateDestination(family, .sourceAndPort(transport), map: map),
                        comment: comment("port forwards for some sources", line: first.line)))
            }
            let open = own.filter(\.source.isEmpty)
            guard let first = open.first else { continue }
            let map = chain + family.suffix
            page.sets.append(.init(map, .entries(PortForward.elements(of: open, family))))
            rules.append(
                Rule(
                    [.family(family)], .translateDestination(family, .port, map: map),
                    comment: comment("port forwards", line: first.line)))
        }
        page.chains.append(.init(chain, rules))
    }
}

extension PortForward {
    /// `192.168.5.10 . tcp . 8443` for every port of every server.
    static func servers(
        of forwards: [PortForward], _ family: AddressFamily, countingPackets: Bool
    ) -> PackedElements {
        var list = PackedElements.List()
        for forward in forwards {
            for transport in forward.transports {
                for port in forward.ports {
                    let server = forward.server(of: port)
                    list.append([server[0], .transport(transport), server[1]])
                }
            }
        }
        return PackedElements(
            ElementType(key: [.address(family), .protocol, .service], countsPackets: countingPackets), list)
    }

    /// `tcp . 443 : 192.168.5.10 . 8443` for every port of every forward.
    fileprivate static func elements(of forwards: [PortForward], _ family: AddressFamily) -> PackedElements {
        var list = PackedElements.List()
        for forward in forwards {
            for transport in forward.transports {
                for port in forward.ports {
                    list.append([.transport(transport), .port(port)], data: forward.server(of: port))
                }
            }
        }
        let data: [ElementType.Field] = [.address(family), .service]
        return PackedElements(
            ElementType(key: [.protocol, .service], data: data, countsPackets: true), list)
    }

    /// `198.51.100.0/24 . 443 : 192.168.5.10 . 8443` for every port of every forward, and what it gets of its sources.
    fileprivate static func elements(
        of forwards: [PortForward], _ family: AddressFamily, _ transport: Rule.TransportProtocol
    ) -> PackedElements {
        var list = PackedElements.List()
        divideSources(of: forwards, family, transport) { port, shares in
            for (index, share) in shares {
                let server = forwards[index].server(of: port)
                for range in share.ranges.ranges {
                    let (first, last) = (
                        IPAddress(family: family, value: range.first),
                        IPAddress(family: family, value: range.last)
                    )
                    list.append(
                        [.address(first), .port(port)], through: [.address(last), .port(port)], data: server)
                }
            }
        }
        let address = ElementType.Field.address(family)
        return PackedElements(
            ElementType(
                key: [address, .service], data: [address, .service], isInterval: true, countsPackets: true),
            list)
    }

    /// The address and the port that one of its ports leads to.
    private func server(of port: UInt16) -> [FieldValue] {
        [.address(address), .port(firstPort + (port - ports.lowerBound))]
    }
}
