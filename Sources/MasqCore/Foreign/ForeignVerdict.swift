// SPDX-License-Identifier: GPL-3.0-or-later

/// What one base chain does to a packet, as far as that is certain.
public struct ForeignVerdict: Equatable, Sendable {
    /// What can become of the packet; more than one where a condition is not known.
    public var outcomes: Outcomes
    /// The place that drops or translates; where there are several, the last one that the packet comes to.
    public var place: Place?

    /// Makes a verdict.
    public init(outcomes: Outcomes, place: Place? = nil) {
        self.outcomes = outcomes
        self.place = place
    }

    /// What can become of a packet in a base chain.
    public struct Outcomes: OptionSet, Sendable {
        /// One bit for each.
        public let rawValue: UInt8

        /// Makes a set of its bits.
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// It goes on to the next base chain.
        public static let pass = Outcomes(rawValue: 1)
        /// It is dropped or rejected.
        public static let drop = Outcomes(rawValue: 2)
        /// Its source is translated.
        public static let translate = Outcomes(rawValue: 4)
        /// It comes to the end of the chain in question, and what called that goes on.
        static let through = Outcomes(rawValue: 8)

        static let anything: Outcomes = [.pass, .drop, .translate, .through]
    }

    /// A rule, or a base chain's policy.
    public struct Place: Equatable, Sendable {
        /// The chain that the rule is in.
        public var chain: String
        /// The rule's number, from 1; absent where it is the policy.
        public var rule: Int?
        /// What it does: `drop`, `reject`, `masquerade`.
        public var word: String
        /// The number by which nft deletes the rule; 0 where it has none.
        public var handle: UInt64

        /// Makes a place.
        public init(chain: String, rule: Int?, word: String, handle: UInt64 = 0) {
            self.chain = chain
            self.rule = rule
            self.word = word
            self.handle = handle
        }
    }
}

extension ForeignRuleset.Hook {
    /// Walks a packet through the base chain.
    public func verdict(on packet: ForeignPacket) -> ForeignVerdict {
        var packet = packet
        return verdict(on: &packet)
    }

    /// The same, for a packet that may come out of it with another mark.
    func verdict(on packet: inout ForeignPacket) -> ForeignVerdict {
        var walk = ForeignWalk(packet: packet, chains: chains)
        var verdict = walk.verdict(of: chain, depth: 0)
        packet = walk.packet
        guard verdict.outcomes.contains(.through) else { return verdict }
        verdict.outcomes.remove(.through)
        if dropsByPolicy {
            verdict.outcomes.insert(.drop)
            verdict.place = .init(chain: chain, rule: nil, word: "drop")
        } else {
            verdict.outcomes.insert(.pass)
        }
        return verdict
    }
}

/// One packet's way through one base chain.
private struct ForeignWalk {
    private(set) var packet: ForeignPacket
    let chains: [String: [ForeignRuleset.Rule]]
    /// Each chain is walked once, however many rules jump to it: the packet is the same.
    private var known: [String: ForeignVerdict] = [:]

    /// `NFT_JUMP_STACK_SIZE` in net/netfilter/nf_tables.h of the kernel; iptables-legacy has more, and nobody uses it.
    private static let maximumDepth = 16

    init(packet: ForeignPacket, chains: [String: [ForeignRuleset.Rule]]) {
        self.packet = packet
        self.chains = chains
    }

    mutating func verdict(of name: String, depth: Int) -> ForeignVerdict {
        if let verdict = known[name] { return verdict }
        guard depth <= Self.maximumDepth, let rules = chains[name] else {
            return ForeignVerdict(outcomes: .anything)
        }
        var verdict = ForeignVerdict(outcomes: [])
        for (index, rule) in rules.enumerated() {
            guard let isCertain = isMet(rule.conditions) else { continue }
            // What was learnt about chains with more knowledge of the mark holds no more.
            if let change = rule.markChange, packet.mark.mayChange(change) { known = [:] }
            let step = step(rule.effect, depth: depth) {
                ForeignVerdict.Place(
                    chain: name, rule: rule.number ?? index + 1, word: $0, handle: rule.handle)
            }
            verdict.outcomes.formUnion(step.verdict.outcomes)
            verdict.place = step.verdict.place ?? verdict.place
            if isCertain, !step.goesOn {
                known[name] = verdict
                return verdict
            }
        }
        verdict.outcomes.insert(.through)
        known[name] = verdict
        return verdict
    }

    /// Whether a rule certainly applies; nothing where it certainly does not.
    private func isMet(_ conditions: [ForeignRuleset.Condition]) -> Bool? {
        var isCertain = true
        for condition in conditions {
            switch packet.meets(condition) {
            case true?: continue
            case false?: return nil
            case nil: isCertain = false
            }
        }
        return isCertain
    }

    /// What a rule's effect leads to, and whether the next rule may be reached behind it.
    private mutating func step(
        _ effect: ForeignRuleset.Effect, depth: Int, at place: (String) -> ForeignVerdict.Place
    ) -> (verdict: ForeignVerdict, goesOn: Bool) {
        switch effect {
        case .none: return (ForeignVerdict(outcomes: []), true)
        case .accept: return (ForeignVerdict(outcomes: .pass), false)
        case .drop: return (ForeignVerdict(outcomes: .drop, place: place("drop")), false)
        case .reject: return (ForeignVerdict(outcomes: .drop, place: place("reject")), false)
        case .translate(let word): return (ForeignVerdict(outcomes: .translate, place: place(word)), false)
        case .return: return (ForeignVerdict(outcomes: .through), false)
        case .goto(let chain): return (verdict(of: chain, depth: depth + 1), false)
        case .jump(let chain):
            var verdict = verdict(of: chain, depth: depth + 1)
            let returns = verdict.outcomes.contains(.through)
            verdict.outcomes.remove(.through)
            return (verdict, returns)
        case .choose(let choices): return choose(choices, depth: depth, at: place)
        case .unknown: return (ForeignVerdict(outcomes: .anything), true)
        }
    }

    private mutating func choose(
        _ choices: [ForeignRuleset.Choice], depth: Int, at place: (String) -> ForeignVerdict.Place
    ) -> (verdict: ForeignVerdict, goesOn: Bool) {
        var all = ForeignVerdict(outcomes: [])
        var goesOn = false
        for choice in choices {
            guard let isCertain = isMet([choice.condition]) else { continue }
            let step = step(choice.effect, depth: depth, at: place)
            all.outcomes.formUnion(step.verdict.outcomes)
            all.place = step.verdict.place ?? all.place
            goesOn = goesOn || step.goesOn
            if isCertain { return (all, goesOn) }
        }
        return (all, true)
    }
}
