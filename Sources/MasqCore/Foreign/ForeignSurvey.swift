// SPDX-License-Identifier: GPL-3.0-or-later

/// What one pass over a base chain's rules, and those of all that it leads to, tells about them; it stops where it is told to.
struct ForeignSurvey: Sendable {
    /// What the rules can tell packets apart by.
    private(set) var vocabulary: ForeignVocabulary
    /// The bits of the mark that some rule may change.
    private(set) var touchedMarks: UInt32 = 0
    /// Whether any rule decides by the mark.
    private(set) var looksAtMark = false
    /// The rules that accept the mark of the audit, by chain and index: masqd's own.
    private(set) var own: [(chain: ForeignName, index: Int)] = []
    /// Whether all chains are there that rules lead to.
    private(set) var isWhole = true
    /// By the chain that is led to, and the one that leads there.
    private(set) var calls: [ForeignName: [ForeignName: Call]] = [:]

    private let hook: ForeignRuleset.Hook
    private let mark: UInt32?
    private var chain: Dictionary<ForeignName, [ForeignRuleset.Rule]>.Index
    private var rule = 0
    /// Chains that are reached unconditionally, with the number of jumps, of which the last ones are still to be followed.
    private var levels: [ForeignName: Int] = [:]
    private var waiting: [ForeignName] = []
    /// How many chains that lead to one are not among ``levels``.
    private var missing: [ForeignName: Int] = [:]
    private var called: [ForeignName: [ForeignName]] = [:]
    /// How many of those that the last one of ``waiting`` leads to were followed.
    private var followed = 0
    /// The most jumps that were found so far on any way to a chain.
    private var deepest: [ForeignName: Int] = [:]
    private var reached: [ForeignName] = []
    private var hasStarts = false

    /// How one chain leads to another.
    struct Call: Sendable {
        /// The last rule that does so without a condition, by its number.
        var last: Int?
        /// Whether there is no other rule that does.
        var isUnconditional = true
    }

    init(_ hook: ForeignRuleset.Hook, for audit: ForeignAudit) {
        self.hook = hook
        mark = audit.mark
        vocabulary = ForeignVocabulary(audit)
        chain = hook.chains.startIndex
        if hook.chains[hook.chain] == nil { lack() }
    }

    /// A chain was not read, since there are too many rules: it may do anything.
    private mutating func lack() {
        isWhole = false
        touchedMarks = .max
    }

    /// Goes on.
    ///
    /// - Returns: whether it is over.
    mutating func run(_ meter: inout ForeignMeter) -> Bool {
        while chain < hook.chains.endIndex {
            let (name, rules) = hook.chains[chain]
            while rule < rules.count {
                if meter.isExhausted { return false }
                meter.spend()
                read(rules[rule], of: name, &meter)
                rule += 1
            }
            hook.chains.formIndex(after: &chain)
            rule = 0
        }
        return mark == nil || follow(&meter)
    }

    private mutating func read(
        _ rule: ForeignRuleset.Rule, of name: ForeignName, _ meter: inout ForeignMeter
    ) {
        for condition in rule.conditions { vocabulary.add(condition, &meter) }
        touchedMarks |= rule.markChange?.touched ?? 0
        looksAtMark = looksAtMark || rule.looksAtMark
        if let mark, rule.passedMark == mark { own.append((name, self.rule)) }
        switch rule.effect {
        case .jump(let target), .goto(let target):
            call(target, from: name, rule.conditions.isEmpty ? rule.number ?? self.rule + 1 : nil)
        case .choose(let choices):
            for choice in choices {
                vocabulary.add(choice.condition, &meter)
                for target in choice.effect.targets { call(target, from: name, nil) }
            }
        case .none, .accept, .drop, .reject, .return, .translate, .unknown: break
        }
    }

    /// Takes in that a rule leads to a chain: the rule with this number without a condition, or one with any.
    private mutating func call(_ target: ForeignName, from name: ForeignName, _ number: Int?) {
        if hook.chains[target] == nil { lack() }
        guard mark != nil else { return }
        let known = calls[target]?[name]
        var call = known ?? Call()
        if let number { call.last = number } else { call.isUnconditional = false }
        calls[target, default: [:]][name] = call
        if known == nil { called[name, default: []].append(target) }
    }

    /// Whether no rule on any way to a chain has a condition; known when the survey is over.
    ///
    /// A chain is, when all that lead there are, and lead there by such rules alone: so chains are followed from the base, each
    /// once, and a loop is never reached.
    func reachesUnconditionally(_ name: ForeignName) -> Bool { levels[name] != nil }

    private mutating func follow(_ meter: inout ForeignMeter) -> Bool {
        if !hasStarts {
            hasStarts = true
            for name in hook.chains.keys where name == hook.chain || calls[name] == nil {
                levels[name] = 0
                waiting.append(name)
            }
        }
        while let name = waiting.last {
            let targets = called[name] ?? []
            while followed < targets.count {
                if meter.isExhausted { return false }
                meter.spend()
                follow(targets[followed], from: name)
                followed += 1
            }
            waiting.removeLast()
            followed = 0
            waiting += reached
            reached = []
        }
        return true
    }

    /// Takes in that a chain that is reached unconditionally leads to another one.
    private mutating func follow(_ target: ForeignName, from name: ForeignName) {
        guard target != hook.chain, calls[target]?[name]?.isUnconditional == true else { return }
        let left = (missing[target] ?? calls[target]?.count ?? 0) - 1
        missing[target] = left
        let depth = max(deepest[target] ?? 0, (levels[name] ?? 0) + 1)
        deepest[target] = depth
        guard left == 0, depth <= ForeignWalk.maximumDepth else { return }
        levels[target] = depth
        reached.append(target)
    }
}
