// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import MasqCore

/// The rules of one chain of others', while they and the sets inside of them are read.
struct ForeignChainReading {
    let name: ForeignName
    let table: ForeignReading.Table
    /// The rules that may apply; nothing where they are not kept, or too many.
    private(set) var rules: [ForeignRuleset.Rule]?
    /// The chains that the rules lead to.
    private(set) var targets: Set<ForeignName> = []
    /// The bits of the mark that a rule may set.
    private(set) var marks: UInt32 = 0
    /// Whether a rule decides by the mark.
    private(set) var looksAtMark = false

    private let scope: ForeignScope?
    private let keepsRules: Bool
    private var isBegun = false
    private var number = 0
    /// Rules with sets that are still to be read; of the last one so many names are done, with what was found.
    private var pending: [Pending] = []
    private var done = 0
    private var sets: [ForeignName: ForeignSet] = [:]
    private var reading = SetReading.notYet
    private var elementCount = 0

    private struct Pending {
        let parser: ForeignRuleParser
        let number: Int
        /// Where it is to stand among the rules.
        let index: Int
        let names: [ForeignName]
    }

    private enum SetReading {
        case notYet
        case header(ForeignSet?)
        case elements(ForeignSet?)
    }

    /// Begins a chain; without a scope every rule counts, and where they are not kept, only what they set and lead to.
    init(
        _ name: ForeignName, _ table: ForeignReading.Table, for scope: ForeignScope?, keepsRules: Bool
    ) {
        self.name = name
        self.table = table
        self.scope = scope
        self.keepsRules = keepsRules
        rules = keepsRules ? [] : nil
    }

    /// The next question; nothing where all is known.
    mutating func next() -> ForeignReading.Question? {
        guard isBegun else {
            isBegun = true
            return .rules(of: name, table)
        }
        while let rule = pending.last {
            if done < rule.names.count {
                if let question = next(rule.names[done]) { return question }
                continue
            }
            note(rule.parser.rule(sets, number: rule.number), at: rule.index)
            pending.removeLast()
            (done, sets, elementCount) = (0, [:], 0)
        }
        return nil
    }

    private mutating func next(_ set: ForeignName) -> ForeignReading.Question? {
        switch reading {
        case .notYet:
            reading = .header(nil)
            return .set(set, table)
        case .header(let header?):
            reading = .elements(header)
            return .elements(of: set, table)
        case .header(nil): break
        case .elements(let read): sets[set] = read
        }
        reading = .notYet
        done += 1
        return nil
    }

    mutating func takeRule(_ attributes: Attributes, _ limits: inout ForeignReading.Limits) {
        if keepsRules, rules == nil { return }
        var parser = ForeignRuleParser(family: table.family, for: scope)
        switch parser.read(attributes, of: name) {
        // Before Linux 4.9 the kernel lists all chains all the same.
        case .stray: return
        case .ruledOut: number += 1
        case .complete:
            number += 1
            parser.close()
            append(parser, &limits)
        }
    }

    private mutating func append(_ parser: ForeignRuleParser, _ limits: inout ForeignReading.Limits) {
        if keepsRules {
            guard limits.rules > 0 else {
                limits.rules += rules?.count ?? 0
                (rules, pending) = (nil, [])
                return
            }
            limits.rules -= 1
        }
        let index = rules?.count ?? 0
        let rule = parser.rule([:], number: number)
        rules?.append(rule)
        let names = keepsRules ? parser.setNames : parser.mapName.map { [$0] } ?? []
        if names.isEmpty || names.count > limits.sets {
            note(rule, at: index)
        } else {
            limits.sets -= names.count
            pending.append(.init(parser: parser, number: number, index: index, names: names))
        }
    }

    private mutating func note(_ rule: ForeignRuleset.Rule, at index: Int) {
        marks |= rule.markChange?.settable ?? 0
        looksAtMark = looksAtMark || rule.looksAtMark
        for target in rule.effect.targets { targets.insert(target) }
        if rules != nil { rules?[index] = rule }
    }

    mutating func takeSet(_ attributes: Attributes) { reading = .header(ForeignSet(attributes)) }

    mutating func takeElements(_ attributes: Attributes, _ limits: inout ForeignReading.Limits) {
        guard case .elements(var set?) = reading else { return }
        reading = .elements(nil)
        let before = set.count
        set.read(attributes)
        let more = set.count - before
        elementCount += more
        limits.elements -= more
        // A rule takes no more of them than one set may have; else it would take long to read.
        guard elementCount <= ForeignSet.maximumCount, limits.elements >= 0 else {
            limits.elements = max(0, limits.elements)
            return
        }
        reading = .elements(set)
    }
}
