// SPDX-License-Identifier: GPL-3.0-or-later

/// Where masqd's rule has to stand in one base chain, or in what that leads to, so that masqueraded traffic passes.
///
/// It overrides a final drop only: a policy, or a drop or reject without a condition that is reached without one.
/// Whatever an owner says about some packets in particular stays in force.
struct ForeignOpening {
    /// The base chain with the rule where it has to be, and nowhere else.
    private(set) var opened: ForeignRuleset.Hook
    /// The packets that would be dropped without the rule, and pass with it.
    private(set) var permission: Permission = []
    /// What is missing, or too much.
    private(set) var edits: [ForeignEdit] = []
    /// What the deletion of the rules would be that are where they have to be.
    private(set) var kept: Set<ForeignEdit> = []

    private let mark: UInt32
    /// The base chain as it is without masqd's rule.
    private let bare: ForeignRuleset.Hook

    /// Where the rule stands: before a rule of the owner's, by its number, or at the end.
    private struct Place: Hashable {
        let chain: String
        let before: Int?
    }

    /// More places than these in one base chain are not worth the trouble.
    private static let maximumPlaces = 8

    /// Finds the places for traffic, given by its packets as they come to the base chain, without the mark and with it.
    init(
        _ hook: ForeignRuleset.Hook, for packets: [(bare: ForeignPacket, marked: ForeignPacket)],
        mark: UInt32
    ) {
        let hook = hook.numbered
        self.mark = mark
        bare = hook.removing(mark)
        opened = bare
        let dropped = packets.filter { bare.verdict(on: $0.bare).outcomes == .drop }.map(\.marked)
        var places: [(place: Place, reason: ForeignVerdict.Place)] = []
        for marked in dropped where places.count < Self.maximumPlaces {
            let verdict = opened.verdict(on: marked)
            guard verdict.outcomes == .drop, let reason = verdict.place,
                let place = Self.finalPlace(reason, in: bare),
                !places.contains(where: { $0.place == place })
            else { continue }
            let candidate = Self.inserting(places.map(\.place) + [place], of: mark, into: bare)
            guard candidate.verdict(on: marked).outcomes != .drop else { continue }
            opened = candidate
            places.append((place, reason))
        }
        for packet in dropped where opened.verdict(on: packet).outcomes != .drop {
            permission.formUnion(packet.stage.permission)
        }
        for (place, reason) in places { require(place, because: reason, in: hook) }
        removeOthers(from: hook)
    }

    /// Whether masqd may change anything there, and its mark is known there.
    static func isPossible(in hook: ForeignRuleset.Hook) -> Bool {
        // firewall-cmd --reload would take it away each time, and firewalld has a way that lasts.
        hook.backend == .nftables && ForeignOwner(hook, nil) != .firewalld
            && hook.priority > BaseChain.permit.priority && hook.priority < BaseChain.permitEnd.priority
    }

    /// The place where everything that is dropped there, and nothing that is not, comes by.
    ///
    /// A chain that some packets are sent to, as many have one that logs and drops, is no such place: then it is
    /// before the unconditional jump to it.
    private static func finalPlace(
        _ verdict: ForeignVerdict.Place, in hook: ForeignRuleset.Hook, depth: Int = 0
    ) -> Place? {
        guard let number = verdict.rule else { return Place(chain: hook.chain, before: nil) }
        guard depth < 16, let rule = hook.rule(number, of: verdict.chain), rule.conditions.isEmpty else {
            return nil
        }
        if hook.isReachedUnconditionally(verdict.chain) { return Place(chain: verdict.chain, before: number) }
        for (chain, rules) in hook.chains.sorted(by: { $0.key < $1.key }) {
            let jump = rules.last { $0.conditions.isEmpty && $0.effect.onlyTarget == verdict.chain }
            guard let number = jump?.number else { continue }
            let outer = ForeignVerdict.Place(chain: chain, rule: number, word: "")
            if let place = finalPlace(outer, in: hook, depth: depth + 1) { return place }
        }
        return nil
    }

    private static func inserting(
        _ places: [Place], of mark: UInt32, into hook: ForeignRuleset.Hook
    ) -> ForeignRuleset.Hook {
        var hook = hook
        let pass = ForeignRuleset.Rule([.mark(mark, mask: mark)], .accept, number: 0)
        for place in places {
            guard var rules = hook.chains[place.chain] else { continue }
            let index = rules.firstIndex { $0.number == place.before && $0.number != 0 } ?? rules.endIndex
            rules.insert(pass, at: index)
            hook.chains[place.chain] = rules
        }
        return hook
    }

    private mutating func require(
        _ place: Place, because reason: ForeignVerdict.Place, in hook: ForeignRuleset.Hook
    ) {
        let rules = hook.chains[place.chain] ?? []
        let next = rules.firstIndex { $0.number == place.before } ?? rules.endIndex
        if next > 0, rules[next - 1].passedMark == mark {
            kept.insert(deletion(of: rules[next - 1], from: place.chain, in: hook))
            return
        }
        let handle = next < rules.endIndex ? rules[next].handle : nil
        let owner = ForeignOwner(hook, reason)
        edits.append(
            .init(
                hook.family, table: hook.table, chain: place.chain, .insert(mark: mark, before: handle),
                baseChain: hook.title, reason: "\(hook.title) (\(owner)): \(hook.reason(reason))"))
    }

    private mutating func removeOthers(from hook: ForeignRuleset.Hook) {
        for (chain, rules) in hook.chains.sorted(by: { $0.key < $1.key }) {
            for rule in rules where rule.passedMark == mark {
                let deletion = deletion(of: rule, from: chain, in: hook)
                if !kept.contains(deletion) { edits.append(deletion) }
            }
        }
    }

    private func deletion(
        of rule: ForeignRuleset.Rule, from chain: String, in hook: ForeignRuleset.Hook
    ) -> ForeignEdit {
        .init(hook.family, table: hook.table, chain: chain, .delete(handle: rule.handle))
    }
}

extension ForeignRuleset.Effect {
    /// The chain that every packet goes to.
    fileprivate var onlyTarget: String? {
        switch self {
        case .jump(let chain), .goto(let chain): chain
        case .none, .accept, .drop, .reject, .return, .translate, .choose, .unknown: nil
        }
    }
}

extension ForeignRuleset.Hook {
    /// With a number for every rule.
    fileprivate var numbered: Self {
        var hook = self
        for (chain, rules) in chains {
            hook.chains[chain] = rules.enumerated().map { index, rule in
                var rule = rule
                rule.number = rule.number ?? index + 1
                return rule
            }
        }
        return hook
    }

    /// Without the rules that accept this mark.
    fileprivate func removing(_ mark: UInt32) -> Self {
        var hook = self
        hook.chains = chains.mapValues { $0.filter { $0.passedMark != mark } }
        return hook
    }

    fileprivate func rule(_ number: Int, of chain: String) -> ForeignRuleset.Rule? {
        chains[chain]?.first { $0.number == number }
    }

    /// Whether no rule on any way to a chain has a condition.
    fileprivate func isReachedUnconditionally(_ name: String, depth: Int = 0) -> Bool {
        if name == chain { return true }
        guard depth < 16 else { return false }
        for (chain, rules) in chains {
            for rule in rules where rule.effect.targets.contains(name) {
                guard rule.conditions.isEmpty, rule.effect.onlyTarget == name,
                    isReachedUnconditionally(chain, depth: depth + 1)
                else { return false }
            }
        }
        return true
    }
}
