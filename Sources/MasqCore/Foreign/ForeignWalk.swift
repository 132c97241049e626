// SPDX-License-Identifier: GPL-3.0-or-later

/// One packet's way through one base chain; it stops wherever it is told to, and goes on from there.
///
/// What a chain does to a packet depends on the packet and on what is known of its mark where it comes in, and on nothing
/// else: so each chain is walked once for each state of the mark. That state only ever loses bits, so this is
/// rules × 33 at the worst, however chains jump to each other, and nearly always once.
struct ForeignWalk: Sendable {
    private(set) var packet: ForeignPacket
    private let hook: ForeignRuleset.Hook
    private let overlay: ForeignOverlay
    private var known: [ForeignName: Known] = [:]
    /// The chains that the packet is in, the innermost one last.
    private var frames: [Frame] = []

    /// `NFT_JUMP_STACK_SIZE` in net/netfilter/nf_tables.h of the kernel; iptables-legacy has more, and nobody uses it.
    static let maximumDepth = 16

    /// What a chain did to the packet.
    private struct Known {
        /// The bits of the mark that were not known where the packet came in, and where it went out.
        let before: UInt32
        let after: UInt32
        let verdict: ForeignVerdict
    }

    private enum Progress {
        /// The step is over.
        case pauses
        /// The packet goes to this chain, and may come back.
        case calls(ForeignName)
        /// That is what the chain does.
        case ends(ForeignVerdict)
    }

    init(
        _ packet: ForeignPacket, through hook: ForeignRuleset.Hook, with overlay: ForeignOverlay = .init()
    ) {
        self.packet = packet
        self.hook = hook
        self.overlay = overlay
    }

    /// Begins, or goes on.
    ///
    /// - Returns: what the base chain does to the packet, once that is known; then ``packet`` has the mark that it leaves with.
    mutating func run(_ meter: inout ForeignMeter) -> ForeignVerdict? {
        if frames.isEmpty, let verdict = enter(hook.chain) { return concluded(verdict) }
        while var frame = frames.popLast() {
            switch walk(&frame, &meter) {
            case .pauses:
                frames.append(frame)
                return nil
            case .calls(let chain):
                frames.append(frame)
                if let verdict = enter(chain) { frames[frames.count - 1].returned = verdict }
            case .ends(let verdict):
                known[frame.chain] = Known(
                    before: frame.unknownBefore, after: packet.mark.unknown, verdict: verdict)
                guard !frames.isEmpty else { return concluded(verdict) }
                frames[frames.count - 1].returned = verdict
            }
        }
        return nil
    }

    /// What reaches the end of the base chain is the policy's.
    private func concluded(_ walked: ForeignVerdict) -> ForeignVerdict {
        var verdict = walked
        guard verdict.outcomes.contains(.through) else { return verdict }
        verdict.outcomes.remove(.through)
        if hook.dropsByPolicy {
            verdict.outcomes.insert(.drop)
            verdict.place = .init(chain: hook.chain, rule: nil, word: "drop")
        } else {
            verdict.outcomes.insert(.pass)
        }
        return verdict
    }

    /// Enters a chain.
    ///
    /// - Returns: what it does, where that is known; else nothing, and the chain is the last of the frames.
    private mutating func enter(_ name: ForeignName) -> ForeignVerdict? {
        if let known = known[name], known.before == packet.mark.unknown {
            packet.mark.forget(known.after)
            return known.verdict
        }
        // The kernel refuses loops and deeper ways, and of too many rules some are not read.
        guard frames.count <= Self.maximumDepth, let rules = hook.chains[name],
            !frames.contains(where: { $0.chain == name })
        else {
            packet.mark.forget(.max)
            return ForeignVerdict(outcomes: .anything)
        }
        frames.append(
            Frame(
                chain: name, rules: rules, insertions: overlay.insertions[name],
                unknownBefore: packet.mark.unknown))
        return nil
    }

    /// Goes on in one chain.
    private mutating func walk(_ frame: inout Frame, _ meter: inout ForeignMeter) -> Progress {
        while true {
            if let verdict = frame.returned {
                frame.returned = nil
                if frame.comesBack(verdict) { return .ends(frame.verdict) }
                continue
            }
            if meter.isExhausted { return .pauses }
            meter.spend()
            let rule = frame.index < frame.rules.count ? frame.rules[frame.index] : nil
            if !frame.isBehindInsertion {
                frame.isBehindInsertion = true
                if passes(before: rule, in: &frame) { return .ends(frame.verdict) }
            }
            guard let rule else {
                frame.verdict.outcomes.insert(.through)
                return .ends(frame.verdict)
            }
            if overlay.removes, rule.passedMark == overlay.mark {
                frame.next()
                continue
            }
            if frame.choice == nil {
                guard let isMet = meets(rule, &frame, &meter) else { return .pauses }
                guard isMet else {
                    frame.next()
                    continue
                }
                if let change = rule.markChange { packet.mark.mayChange(change) }
            }
            if let progress = perform(rule, &frame, &meter) { return progress }
        }
    }

    /// Whether masqd's rule that is thought before another one lets the packet pass for certain.
    private func passes(before rule: ForeignRuleset.Rule?, in frame: inout Frame) -> Bool {
        guard let insertions = frame.insertions else { return false }
        let number = rule.map { $0.number ?? frame.index + 1 }
        guard insertions.contains(number) else { return false }
        switch packet.meets(.mark(overlay.mark, mask: overlay.mark)) {
        case false?: return false
        case true?:
            frame.verdict.outcomes.insert(.pass)
            return true
        case nil:
            frame.verdict.outcomes.insert(.pass)
            return false
        }
    }

    /// Whether a rule may apply; nothing where the step is over before that is known.
    private func meets(
        _ rule: ForeignRuleset.Rule, _ frame: inout Frame, _ meter: inout ForeignMeter
    ) -> Bool? {
        while frame.condition < rule.conditions.count {
            let condition = rule.conditions[frame.condition]
            meter.spend(condition.weight)
            switch packet.meets(condition) {
            case true?: break
            case false?: return false
            case nil: frame.isCertain = false
            }
            frame.condition += 1
            if meter.isExhausted, frame.condition < rule.conditions.count { return nil }
        }
        return true
    }

    /// Does what a rule does whose conditions may hold.
    private func perform(
        _ rule: ForeignRuleset.Rule, _ frame: inout Frame, _ meter: inout ForeignMeter
    ) -> Progress? {
        guard case .choose(let choices) = rule.effect else {
            return perform(rule.effect, of: rule, &frame)
        }
        var choice = frame.choice ?? Frame.Choice()
        while choice.index < choices.count {
            meter.spend(choices[choice.index].condition.weight)
            let isMet = packet.meets(choices[choice.index].condition)
            guard isMet != false else {
                choice.index += 1
                guard meter.isExhausted else { continue }
                frame.choice = choice
                return .pauses
            }
            choice.isCertain = isMet == true
            frame.choice = choice
            return perform(choices[choice.index].effect, of: rule, &frame)
        }
        frame.choice = nil
        return frame.finishRule(choice.all, goesOn: true) ? .ends(frame.verdict) : nil
    }

    private func perform(
        _ effect: ForeignRuleset.Effect, of rule: ForeignRuleset.Rule, _ frame: inout Frame
    ) -> Progress? {
        var verdict = ForeignVerdict(outcomes: [])
        var goesOn = false
        func place(_ word: String) -> ForeignVerdict.Place {
            .init(
                chain: frame.chain, rule: rule.number ?? frame.index + 1, word: word, handle: rule.handle)
        }
        switch effect {
        case .none: goesOn = true
        case .accept: verdict.outcomes = .pass
        case .drop: verdict = .init(outcomes: .drop, place: place("drop"))
        case .reject: verdict = .init(outcomes: .drop, place: place("reject"))
        case .translate(let word): verdict = .init(outcomes: .translate, place: place(word))
        case .return: verdict.outcomes = .through
        case .jump(let chain):
            frame.isJump = true
            return .calls(chain)
        case .goto(let chain):
            frame.isJump = false
            return .calls(chain)
        // A map's element has a verdict, and no map.
        case .unknown, .choose:
            verdict.outcomes = .anything
            goesOn = true
        }
        return frame.take(verdict, goesOn: goesOn) ? .ends(frame.verdict) : nil
    }
}

/// A chain that a packet is in, and how far it has come.
private struct Frame: Sendable {
    let chain: ForeignName
    let rules: [ForeignRuleset.Rule]
    /// Before which rules masqd's own is to be thought.
    let insertions: ForeignOverlay.Insertions?
    let unknownBefore: UInt32
    /// The rule, and the condition of it, that come next.
    var index = 0
    var condition = 0
    /// What is to be thought before the rule was looked at.
    var isBehindInsertion = false
    /// Whether all conditions of the rule so far certainly hold.
    var isCertain = true
    /// The place in a verdict map, where the packet is in one.
    var choice: Choice?
    /// Whether the packet left for another chain by a jump: then it may come back to the next rule.
    var isJump = false
    /// What that chain does.
    var returned: ForeignVerdict?
    var verdict = ForeignVerdict(outcomes: [])

    struct Choice {
        var index = 0
        var isCertain = true
        var all = ForeignVerdict(outcomes: [])
        var goesOn = false
    }

    /// To the next rule.
    mutating func next() {
        index += 1
        condition = 0
        isBehindInsertion = false
        isCertain = true
        choice = nil
    }

    /// The packet is through another chain.
    ///
    /// - Returns: whether this one is over, as in the functions below.
    mutating func comesBack(_ verdict: ForeignVerdict) -> Bool {
        guard isJump else { return take(verdict, goesOn: false) }
        var verdict = verdict
        let returns = verdict.outcomes.remove(.through) != nil
        return take(verdict, goesOn: returns)
    }

    /// Takes in what a rule, or an element of its map, comes to, and whether what follows may be reached behind it.
    mutating func take(_ verdict: ForeignVerdict, goesOn: Bool) -> Bool {
        guard var choice else { return finishRule(verdict, goesOn: goesOn) }
        choice.all.add(verdict)
        choice.goesOn = choice.goesOn || goesOn
        choice.index += 1
        self.choice = choice
        return choice.isCertain && finishRule(choice.all, goesOn: choice.goesOn)
    }

    mutating func finishRule(_ step: ForeignVerdict, goesOn: Bool) -> Bool {
        verdict.add(step)
        if isCertain, !goesOn { return true }
        next()
        return false
    }
}

extension ForeignVerdict {
    fileprivate mutating func add(_ other: ForeignVerdict) {
        outcomes.formUnion(other.outcomes)
        place = other.place ?? place
    }
}

extension ForeignRuleset.Condition {
    /// How many evaluations it may take.
    fileprivate var weight: Int {
        switch self {
        case .any(let conditions): max(1, conditions.count)
        case .not(let other): other.weight
        case .link, .linkIndex, .address, .family, .transport, .state, .status, .isReply, .mark, .unknown: 1
        }
    }
}

extension ForeignRuleset.Hook {
    /// Walks a packet through the base chain.
    public func verdict(on packet: ForeignPacket) -> ForeignVerdict {
        var walk = ForeignWalk(packet, through: self)
        var meter = ForeignMeter()
        while true {
            if let verdict = walk.run(&meter) { return verdict }
        }
    }
}
