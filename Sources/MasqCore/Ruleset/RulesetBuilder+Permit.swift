// SPDX-License-Identifier: GPL-3.0-or-later

// foreign_drop = "open": what a rule in others' chains lets pass by its mark.
//
// The mark says "from a masqueraded source out of its uplink, or the answer to that, or forwarded to a server by the
// file", and no more: what of it masqd does not permit is dropped by its own forward chain, and a drop is final whatever
// others accept.
extension RulesetBuilder {
    /// The packets that carry the mark.
    var permission: Permission {
        configuration.forward.foreignDrop == .open ? memory.permission : []
    }

    /// Adds the chain that sets the mark before others see the packet, and the one that takes it away behind them.
    ///
    /// So nobody meets the bit outside of hook forward: not routing, not a queueing discipline, not another
    /// machine's tables. It is cleared first, so that whatever set it before opens nothing.
    func addPermit(to ruleset: inout Ruleset) {
        let mark = configuration.forward.mark
        let clear = Rule([], .unmark(mark), comment: comment("the mark is masqd's"))
        var rules: [Rule] = []
        if permission == .firstPackets {
            rules.append(Rule([.confirmed], .accept, comment: comment("others let pass what is established")))
        } else if permission == .laterPackets {
            rules.append(Rule([.unconfirmed], .accept, comment: comment("others let pass first packets")))
        }
        rules.append(clear)
        ruleset.chains += chains(.permitOutward, permitOutwardChain)
        if !exactUplinks.isEmpty { ruleset.sets.append(jumps(.permitOutward)) }
        rules += dispatch(.output, to: .permitOutward, "toward an uplink")
        if permission.contains(.laterPackets) {
            ruleset.chains += chains(.permitInward, permitInwardChain)
            if !exactUplinks.isEmpty { ruleset.sets.append(jumps(.permitInward)) }
            rules += dispatch(.input, to: .permitInward, "from an uplink")
            rules += dispatch(.inputInVRF, to: .permitInward, "from an uplink in a VRF")
        }
        rules += forwardedRules(&ruleset)
        ruleset.chains.append(.init("permit", base: .permit, rules))
        ruleset.chains.append(.init("permit_end", base: .permitEnd, [clear]))
    }

    private func permitOutwardChain(_ uplink: Uplink) -> Ruleset.Chain {
        .init(uplink.chainName(.permitOutward), marks(uplink, .source, when: []))
    }

    /// Connections to the file's own servers, wherever these are: what others forward is for them to permit.
    private func forwardedRules(_ ruleset: inout Ruleset) -> [Rule] {
        let mark = Rule.Action.mark(configuration.forward.mark)
        var rules: [Rule] = []
        for family in AddressFamily.allCases {
            let forwards = configuration.portForwards.filter { $0.address.family == family }
            guard let first = forwards.first else { continue }
            let set = "permitted\(family.suffix)"
            let servers = PortForward.servers(of: forwards, family, countingPackets: false)
            ruleset.sets.append(.init(set, .entries(servers)))
            let sides: [Rule.AddressSide] =
                permission.contains(.laterPackets) ? [.destination, .source] : [.destination]
            rules += sides.map {
                Rule(
                    [.destinationTranslated, .serviceIn(family, $0, set: set)], mark,
                    comment: comment("permit port forwards", line: first.line))
            }
        }
        for block in blocks {
            rules += block.inboundFamilies.map {
                Rule(
                    [.destinationTranslated, .address($0, .destination, set: block.source($0))], mark,
                    comment: comment("permit inbound", line: block.block.line))
            }
        }
        return rules
    }

    /// Answers only: what else comes unasked is for those to permit who drop it.
    private func permitInwardChain(_ uplink: Uplink) -> Ruleset.Chain {
        .init(
            uplink.chainName(.permitInward),
            marks(uplink, .destination, when: [.state([.established, .related])]))
    }

    private func marks(
        _ uplink: Uplink, _ side: Rule.AddressSide, when matches: [Rule.Match]
    ) -> [Rule] {
        uplink.blocks.map { blocks[$0] }.flatMap { block in
            block.families.map { family in
                Rule(
                    matches + [.address(family, side, set: block.source(family))],
                    .mark(configuration.forward.mark), comment: comment("permit", line: block.block.line))
            }
        }
    }
}
