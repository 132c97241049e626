// SPDX-License-Identifier: GPL-3.0-or-later

extension RulesetBuilder {
    /// The how-to's first line. Only a connection's first packet passes here.
    var postroutingChain: Ruleset.Chain {
        .init(
            "postrouting", base: .postrouting,
            [
                // A translated packet would no longer match its IPsec policy, and leave in clear.
                Rule([.leavesThroughIPsec], .accept, comment: comment("IPsec keeps its source"))
            ] + reflectedSourceRules + dispatch(.output, to: .translate, "toward an uplink")
                + unnamedUplinkRules())
    }

    /// The translation of what leaves by this uplink: the first block that the source belongs to decides.
    func translateChain(_ uplink: Uplink) -> Ruleset.Chain {
        var rules: [Rule] = []
        for block in uplink.blocks.map({ blocks[$0] }) {
            let line = block.block.line
            for family in block.families {
                let source = Rule.Match.address(family, .source, set: block.source(family))
                if block.hasExclusions(family) {
                    let excluded = Rule.Match.address(family, .destination, set: block.exclude(family))
                    rules.append(Rule([source, excluded], .accept, comment: comment("exclude", line: line)))
                }
                rules += translation(block, family, source)
            }
        }
        return .init(uplink.chainName(.translate), rules)
    }

    private func translation(
        _ block: BlockNames, _ family: AddressFamily, _ source: Rule.Match
    ) -> [Rule] {
        switch block.block.translation {
        case .masquerade(let options):
            // The kernel would take any other link's address, the private network's own.
            let hasAddress = Rule.Match.outputIndexNotIn(set: withoutAddress(family))
            return translation(block, family, source, options, when: [hasAddress]) { .masquerade($0) } + [
                Rule(
                    [source], counter: "leak_guard", drop(.noAddress),
                    comment: comment("no address yet", line: block.block.line))
            ]
        case .routed:
            return [Rule([source], counter: block.counter, .accept, comment: comment(block))]
        case .snat(let snat):
            switch snat.target(family) {
            case nil: return []  // the reader refuses it
            case .uplinkPrefix: return prefixRules(block, source)
            case .fixed(let target):
                // Where each source has an address of its own there is nothing to choose.
                let options = snat.target(family)?.isOneToOne == true ? NATOptions() : snat.options
                return translation(block, family, source, options) { .sourceNAT(target.inRules, $0) }
            }
        }
    }

    /// `ports` is for protocols that have any, and ICMP's identifiers; everything else has none to choose.
    private func translation(
        _ block: BlockNames, _ family: AddressFamily, _ source: Rule.Match, _ options: NATOptions,
        when matches: [Rule.Match] = [], _ action: (NATOptions) -> Rule.Action
    ) -> [Rule] {
        var plain = options
        plain.ports = nil
        let text = comment(block)
        let rest = Rule([source] + matches, counter: block.counter, action(plain), comment: text)
        guard options.ports != nil else { return [rest] }

        let protocols: [Rule.TransportProtocol] = [.tcp, .udp, family == .ipv4 ? .icmp : .icmpv6, .sctp]
        return protocols.map {
            Rule([.transport($0), source] + matches, counter: block.counter, action(options), comment: text)
        } + [rest]
    }
}
