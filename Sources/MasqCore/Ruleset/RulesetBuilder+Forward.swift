// SPDX-License-Identifier: GPL-3.0-or-later

extension RulesetBuilder {
    /// The how-to's second half, and nobody else's traffic: with `policy accept` what is not masqueraded passes.
    ///
    /// Every packet of a translated connection under way, in either direction, is decided by the first rule. What comes
    /// behind it costs an established connection nothing, however many blocks and networks there are.
    var forwardChain: Ruleset.Chain {
        let forward = configuration.forward
        var rules = flowtableRules + connectionRules
        rules += dispatch(.output, to: .outward, "toward an uplink")
        // Behind `outward`: an established connection that goes untranslated toward an uplink is a leak.
        rules.append(
            Rule(
                [.state([.established, .related])], .accept, comment: comment("what belongs to a connection"))
        )
        if looksInward {
            rules += dispatch(.input, to: .inward, "from an uplink")
            rules += dispatch(.inputInVRF, to: .inward, "from an uplink in a VRF")
        }
        // A connection's first packet is held back behind the nat chain, where an administrator's own source NAT comes before.
        rules += unnamedUplinkRules(when: [.state([.invalid, .untracked])])
        if forward.policy == .drop {
            rules.append(
                Rule(
                    [.destinationTranslated], .accept,
                    comment: comment("forwarded on purpose", line: forward.policyLine)))
            // Two hosts of a bridge meet here too, where br_netfilter is loaded and net.bridge.bridge-nf-call-iptables 1.
            rules.append(
                Rule(
                    [Self.withinOneInterface], .accept,
                    comment: comment("within one interface", line: forward.policyLine)))
            rules += policyRules
        }
        return .init("forward", base: .forward(policy: forward.policy), rules)
    }

    /// What comes in and goes out by the same interface, which is no uplink.
    static let withinOneInterface = Rule.Match.interfacePairIn(set: "same_interface")

    /// The set for ``withinOneInterface``, where a rule asks for it.
    var sameInterface: Ruleset.NamedSet? {
        guard
            configuration.forward.policy == .drop || configuration.portForwards.contains(where: \.reflection)
        else { return nil }
        // An interface of the private network's may be one that connections come in by.
        return .init("same_interface", following: .linksBesideThemselves(but: uplinks.map(\.pattern)))
    }

    /// What the blocks' sources may send toward this uplink.
    func outwardChain(_ uplink: Uplink) -> Ruleset.Chain {
        var rules: [Rule] = []
        for block in uplink.blocks.map({ blocks[$0] }) {
            let line = block.block.line
            for family in block.families {
                let source = Rule.Match.address(family, .source, set: block.source(family))
                // It would be translated and sent back, with the gateway's address on it. What IPsec brings was told from
                // a stranger's by its key, and may well go out again by the same uplink.
                for match in arrives(by: block) + arrives(by: block, .inputInVRF) {
                    rules.append(
                        Rule(
                            [match, source, .cameInClear], counter: "spoofed", drop(.spoofedSource),
                            comment: comment("spoofed source", line: line)))
                }
                rules += admissionRules(source, line: line)
                rules += exclusionRules(block, family)
                if block.isRouted { rules += trackingRule([.unconfirmed, source], outwardTracking) }
                rules.append(
                    Rule([source], block.isRouted ? .accept : .jump("guard"), comment: comment(block)))
            }
        }
        return .init(uplink.chainName(.outward), rules)
    }

    /// What the gateway itself may send toward this uplink with an address that is not its own there.
    ///
    /// The chain for what it forwards can't be used: how a packet came in may not be asked at hook output.
    func ownChain(_ uplink: Uplink) -> Ruleset.Chain {
        var rules: [Rule] = []
        for block in uplink.blocks.map({ blocks[$0] }) {
            for family in block.families {
                let source = Rule.Match.address(family, .source, set: block.source(family))
                rules += exclusionRules(block, family)
                rules.append(
                    Rule([source], block.isRouted ? .accept : .jump("guard"), comment: comment(block)))
            }
        }
        return .init(uplink.chainName(.own), rules)
    }

    /// Where a block's sources may send as they are.
    func exclusionRules(_ block: BlockNames, _ family: AddressFamily) -> [Rule] {
        guard block.hasExclusions(family) else { return [] }
        let source = Rule.Match.address(family, .source, set: block.source(family))
        let excluded = Rule.Match.address(family, .destination, set: block.exclude(family))
        return [Rule([source, excluded], .accept, comment: comment("exclude", line: block.block.line))]
    }

    /// Nothing with a masqueraded source leaves untranslated.
    ///
    /// "Not confirmed" is a connection's first packet, which the nat chain is about to see; `ct state new` in
    /// its place would let a connection that once began untranslated leak for ever. INVALID and untracked packets
    /// have no connection, so only the last rule, without any match, can hold them back.
    ///
    /// A connection that leaks will leak for ever; the alarm makes masqd look for it and delete it.
    var guardChain: Ruleset.Chain {
        let alarm = Rule([.confirmed], .raise(Ruleset.leakAlarm), comment: comment("wake masqd"))
        return .init(
            "guard",
            trackingRule([.unconfirmed], outwardTracking) + [
                Rule([.unconfirmed], .accept, comment: comment("first packet: it will be translated")),
                Rule([.leavesThroughIPsec], .accept, comment: comment("IPsec keeps its source")),
                Rule([.replyDirection], .accept, comment: comment("answer to what was let in")),
            ] + (configuration.conntrack.repair ? [alarm] : []) + [
                Rule(
                    [], counter: "leak_guard", drop(.untranslated),
                    comment: comment("untranslated: never let out"))
            ])
    }

    /// The chains from the uplinks: before what any block permits comes what every one forbids.
    var inwardChains: [Ruleset.Chain] {
        let permitting = chains(.inward, inwardChain)
        guard blocks.contains(where: \.isRouted) else { return permitting }
        var forbidding: [Ruleset.Chain] = []
        var first: [String: [Rule]] = [:]
        if sharedLists == nil {
            for uplink in uplinks { first[uplink.chainName(.inward)] = spoofedChain(uplink).rules }
        } else {
            // Chains of their own, so that those of blocks in common have them all before them.
            forbidding = chains(.inwardSpoofed, spoofedChain)
            for uplink in uplinks {
                let jump = Rule.Action.jump(uplink.chainName(.inwardSpoofed))
                first[uplink.chainName(.inward)] = [Rule([], jump, comment: comment("spoofed sources"))]
            }
        }
        return forbidding + permitting.map { .init($0.name, (first[$0.name] ?? []) + $0.rules) }
    }

    private func spoofedChain(_ uplink: Uplink) -> Ruleset.Chain {
        .init(uplink.chainName(.inwardSpoofed), uplink.blocks.flatMap { spoofedInward(blocks[$0]) })
    }

    /// What may come from this uplink into the blocks' networks, beside what belongs to a connection.
    private func inwardChain(_ uplink: Uplink) -> Ruleset.Chain {
        var rules: [Rule] = []
        for block in uplink.blocks.map({ blocks[$0] }) {
            let line = block.block.line
            for family in block.families {
                let inside = Rule.Match.address(family, .destination, set: block.source(family))
                guard dropsUnsolicited(block) else {
                    rules += trackingRule([inside], inwardTracking)
                    let unsolicitedLine = block.isRouted ? nil : configuration.forward.unsolicitedLine
                    rules.append(
                        Rule(
                            [inside], .accept,
                            comment: comment("unsolicited", line: unsolicitedLine ?? line)))
                    continue
                }
                if block.hasExclusions(family) {
                    let excluded = Rule.Match.address(family, .source, set: block.exclude(family))
                    rules.append(Rule([inside, excluded], .accept, comment: comment("exclude", line: line)))
                }
                rules += pingInward(block, family, inside)
                rules.append(Rule([inside], .jump("unsolicited"), comment: comment(block)))
            }
        }
        return .init(uplink.chainName(.inward), rules)
    }

    /// A network's own addresses are not outside of it (RFC 6092, section 3.1), unless the network is everything.
    private func spoofedInward(_ block: BlockNames) -> [Rule] {
        guard block.isRouted, !block.block.source.contains(where: { $0.prefixLength == 0 }) else { return [] }
        return block.families.map { family in
            Rule(
                [.cameInClear, .address(family, .source, set: block.source(family))], counter: "spoofed",
                drop(.spoofedSource),
                comment: comment("spoofed source", line: block.block.line))
        }
    }

    /// Pings are no danger where networks are too large to be searched (RFC 4890, section 4.3.1).
    ///
    /// The error messages that must pass belong to a connection, and the forward chain has let them pass already.
    private func pingInward(
        _ block: BlockNames, _ family: AddressFamily, _ inside: Rule.Match
    ) -> [Rule] {
        guard case .routed(let routing) = block.block.translation, routing.echoRequest == .accept,
            family == .ipv6
        else { return [] }
        let text = comment("echo_request", line: block.block.line)
        return [Rule([inside, .echoRequestOverIPv6], .accept, comment: text)]
    }

    /// New connections from an uplink into a masqueraded network.
    var unsolicitedChain: Ruleset.Chain {
        let line = configuration.forward.unsolicitedLine
        return .init(
            "unsolicited",
            trackingRule([], inwardTracking) + [
                Rule(
                    [.destinationTranslated], .accept, comment: comment("forwarded on purpose", line: line)),
                Rule([.cameThroughIPsec], .accept, comment: comment("came through IPsec", line: line)),
                Rule(
                    [], counter: "unsolicited", drop(.unsolicited),
                    comment: comment("unsolicited", line: line)),
            ])
    }

    /// What the gateway itself sends does not pass the forward hook.
    ///
    /// An answer to an INVALID packet, say a RST with the LAN's address, is invalid too, and so is not translated.
    /// Packets with an address of the uplink's own are right as they are, neighbour discovery among them.
    var outputChain: Ruleset.Chain {
        .init(
            "output", base: .output,
            dispatch(
                .output, to: .own,
                when: [.state([.invalid, .untracked]), .sourceForeignToOutInterface],
                "the gateway's own, untranslatable"))
    }

    func arrives(by block: BlockNames, _ direction: Rule.Direction = .input) -> [Rule.Match] {
        var matches: [Rule.Match] = []
        if !block.exactInterfaces.isEmpty { matches.append(.interfaceIn(direction, set: block.interfaces)) }
        for case .prefix(let prefix) in block.block.outInterfaces {
            matches.append(.interface(direction, .prefix(prefix)))
        }
        return matches
    }
}
