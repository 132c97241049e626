// SPDX-License-Identifier: GPL-3.0-or-later

import TestSupport

@testable import MasqCore

/// A packet's way through a base chain without anything remembered: exponential in the number of jumps, and easy to read.
struct ForeignReference {
    var packet: ForeignPacket
    let hook: ForeignRuleset.Hook

    static func verdict(
        on packet: ForeignPacket, in hook: ForeignRuleset.Hook
    ) -> (verdict: ForeignVerdict, mark: ForeignMark) {
        var walk = ForeignReference(packet: packet, hook: hook)
        var verdict = walk.verdict(of: hook.chain)
        guard verdict.outcomes.remove(.through) != nil else { return (verdict, walk.packet.mark) }
        verdict.outcomes.insert(hook.dropsByPolicy ? .drop : .pass)
        if hook.dropsByPolicy { verdict.place = .init(chain: hook.chain, rule: nil, word: "drop") }
        return (verdict, walk.packet.mark)
    }

    private mutating func verdict(of name: ForeignName) -> ForeignVerdict {
        var verdict = ForeignVerdict(outcomes: [])
        for (index, rule) in (hook.chains[name] ?? []).enumerated() {
            guard let isCertain = isMet(rule.conditions) else { continue }
            if let change = rule.markChange { packet.mark.mayChange(change) }
            let step = step(rule.effect) {
                ForeignVerdict.Place(
                    chain: name, rule: rule.number ?? index + 1, word: $0, handle: rule.handle)
            }
            verdict.outcomes.formUnion(step.verdict.outcomes)
            verdict.place = step.verdict.place ?? verdict.place
            if isCertain, !step.goesOn { return verdict }
        }
        verdict.outcomes.insert(.through)
        return verdict
    }

    private func isMet(_ conditions: [ForeignRuleset.Condition]) -> Bool? {
        let met = conditions.map { packet.meets($0) }
        return met.contains(false) ? nil : met.allSatisfy { $0 == true }
    }

    private mutating func step(
        _ effect: ForeignRuleset.Effect, at place: (String) -> ForeignVerdict.Place
    ) -> (verdict: ForeignVerdict, goesOn: Bool) {
        switch effect {
        case .none: return (.init(outcomes: []), true)
        case .accept: return (.init(outcomes: .pass), false)
        case .drop: return (.init(outcomes: .drop, place: place("drop")), false)
        case .reject: return (.init(outcomes: .drop, place: place("reject")), false)
        case .translate(let word): return (.init(outcomes: .translate, place: place(word)), false)
        case .return: return (.init(outcomes: .through), false)
        case .goto(let chain): return (verdict(of: chain), false)
        case .jump(let chain):
            var verdict = verdict(of: chain)
            let returns = verdict.outcomes.remove(.through) != nil
            return (verdict, returns)
        case .choose(let choices):
            var all = ForeignVerdict(outcomes: [])
            var goesOn = false
            for choice in choices {
                guard let isCertain = isMet([choice.condition]) else { continue }
                let step = step(choice.effect, at: place)
                all.outcomes.formUnion(step.verdict.outcomes)
                all.place = step.verdict.place ?? all.place
                goesOn = goesOn || step.goesOn
                if isCertain { return (all, goesOn) }
            }
            return (all, true)
        case .unknown: return (.init(outcomes: .anything), true)
        }
    }
}

/// Others' rules, made at random: few chains with few rules, but of every kind.
struct RandomForeignRules {
    var random: SplitMix64

    private static let links: [InterfaceName] = ["lan0", "lan1", "mv7", "ppp0", "other"]

    mutating func ruleset() -> ForeignRuleset {
        var ruleset = ForeignRuleset((0..<Int.random(in: 1...3, using: &random)).map { hook($0) })
        if Bool.random(using: &random) { ruleset.earlierMarks = 4 }
        return ruleset
    }

    mutating func hook(_ number: Int = 0) -> ForeignRuleset.Hook {
        let count = Int.random(in: 1...5, using: &random)
        var chains: [ForeignName: [ForeignRuleset.Rule]] = [:]
        for chain in 0..<count {
            let rules = Int.random(in: 0...5, using: &random)
            chains[Self.name(chain)] = (0..<rules).map { _ in rule(of: chain, count) }
        }
        return ForeignRuleset.Hook(
            [.ip, .inet, .ip6].randomElement(using: &random) ?? .ip, table: ForeignName("t\(number)"),
            chain: Self.name(0), at: .forward,
            priority: [-200, -5, 0, 0, 7].randomElement(using: &random) ?? 0,
            dropsByPolicy: Bool.random(using: &random), chains: chains)
    }

    private static func name(_ chain: Int) -> ForeignName { ForeignName("c\(chain)") }

    private mutating func rule(of chain: Int, _ count: Int) -> ForeignRuleset.Rule {
        let conditions = (0..<Int.random(in: 0...2, using: &random)).map { _ in condition() }
        let change: ForeignRuleset.MarkChange? =
            Int.random(in: 0..<6, using: &random) == 0
            ? .init(keep: .random(in: 0...15, using: &random), flip: .random(in: 0...15, using: &random))
            : nil
        let isMap = Int.random(in: 0..<6, using: &random) == 0
        let deed =
            isMap
            ? ForeignRuleset.Effect.choose(
                (0..<3).map { _ in .init(condition(), effect(of: chain, count)) }) : effect(of: chain, count)
        return .init(conditions, deed, markChange: change, handle: .random(in: 1...99, using: &random))
    }

    private mutating func effect(of chain: Int, _ count: Int) -> ForeignRuleset.Effect {
        let next = Int.random(in: chain + 1...count, using: &random)
        switch Int.random(in: 0..<12, using: &random) {
        case 0: return .accept
        case 1: return .drop
        case 2: return .reject
        case 3: return .return
        case 4: return .unknown
        case 5, 6, 7, 8: return next < count ? .jump(Self.name(next)) : .none
        case 9, 10: return next < count ? .goto(Self.name(next)) : .none
        default: return .none
        }
    }

    private mutating func condition() -> ForeignRuleset.Condition {
        let side: ForeignRuleset.Side = Bool.random(using: &random) ? .source : .destination
        let link = Self.links.randomElement(using: &random) ?? "lan0"
        switch Int.random(in: 0..<11, using: &random) {
        case 0: return .unknown
        case 1: return .link(side, .name(link))
        case 2: return .link(side, .prefix(InterfaceName(link.bytes.prefix(2))))
        case 3: return .linkIndex(side, .random(in: 1...6, using: &random))
        case 4: return .state(Bool.random(using: &random) ? 8 : 6)
        case 5, 6:
            let bits = UInt32.random(in: 1...7, using: &random)
            return .mark(Bool.random(using: &random) ? bits : 0, mask: bits)
        case 7:
            let first = UInt128(0x0a00_0000) + UInt128(UInt8.random(in: 0...3, using: &random)) << 16
            let size = UInt128(1) << Int.random(in: 8...18, using: &random)
            return .address(
                side, AddressRanges(family: .ipv4, merging: [.init(first: first, last: first + size)]))
        case 8: return .family(Bool.random(using: &random) ? .ipv4 : .ipv6)
        case 9: return .not(condition())
        default: return .any([condition(), condition()])
        }
    }
}
