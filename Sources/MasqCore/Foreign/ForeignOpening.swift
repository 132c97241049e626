// SPDX-License-Identifier: GPL-3.0-or-later

/// Where masqd's rule has to stand in one base chain, or in what that leads to, so that masqueraded traffic passes.
///
/// It overrides a final drop only: a policy, or a drop or reject without a condition that is reached without one.
/// Whatever an owner says about some packets in particular stays in force.
struct ForeignOpening: Sendable {
    /// The base chain with the rule where it has to be, and nowhere else.
    private(set) var overlay: ForeignOverlay
    /// The base chain without the rule.
    let bare: ForeignOverlay
    private let hook: ForeignRuleset.Hook
    private let survey: ForeignSurvey
    private let mark: UInt32
    private var places: [(place: Place, reason: ForeignVerdict.Place)] = []
    private var finalPlaces: [ForeignVerdict.Place: Place?] = [:]

    /// Where the rule stands: before a rule of the owner's, by its number, or at the end.
    struct Place: Hashable, Sendable {
        let chain: ForeignName
        let before: Int?
    }

    /// More places than these in one base chain are not worth the trouble.
    private static let maximumPlaces = 8

    /// Begins to look for places, of which there is none yet.
    init(_ survey: ForeignSurvey, of hook: ForeignRuleset.Hook, mark: UInt32) {
        self.hook = hook
        self.survey = survey
        self.mark = mark
        bare = ForeignOverlay(mark: mark, removes: true)
        overlay = bare
    }

    /// Whether masqd may change anything there, and its mark is known there.
    static func isPossible(in hook: ForeignRuleset.Hook, _ survey: ForeignSurvey) -> Bool {
        // firewall-cmd --reload would take it away each time, and firewalld has a way that lasts.
        hook.backend == .nftables && ForeignOwner(hook, nil) != .firewalld
            && hook.priority > BaseChain.permit.priority && hook.priority < BaseChain.permitEnd.priority
            // A chain that was not read may lead to any other, on whatever condition.
            && survey.isWhole
    }

    /// Whether another place would be taken.
    var isFull: Bool { places.count >= Self.maximumPlaces }

    /// The place that would have to be opened for what is dropped somewhere, where it is not among those that are known.
    mutating func candidate(for reason: ForeignVerdict.Place) -> Place? {
        let place = finalPlaces[reason] ?? finalPlace(reason)
        finalPlaces[reason] = .some(place)
        guard let place, !places.contains(where: { $0.place == place }) else { return nil }
        return place
    }

    /// The base chain with one place more.
    func overlay(with place: Place) -> ForeignOverlay {
        var overlay = overlay
        overlay.insertions[place.chain, default: []].insert(place.before)
        return overlay
    }

    /// Takes a place that helps.
    mutating func open(_ place: Place, because reason: ForeignVerdict.Place) {
        overlay = overlay(with: place)
        places.append((place, reason))
    }

    /// The place where everything that is dropped there, and nothing that is not, comes by.
    ///
    /// A chain that some packets are sent to, as many have one that logs and drops, is no such place: then it is
    /// before the unconditional jump to it.
    private func finalPlace(_ reason: ForeignVerdict.Place) -> Place? {
        guard let number = reason.rule else { return Place(chain: hook.chain, before: nil) }
        guard let index = index(of: number, in: reason.chain),
            hook.chains[reason.chain]?[index].conditions.isEmpty == true
        else { return nil }
        var failed: Set<ForeignName> = []
        return finalPlace(before: number, in: reason.chain, depth: 0, &failed)
    }

    private func finalPlace(
        before number: Int, in chain: ForeignName, depth: Int, _ failed: inout Set<ForeignName>
    ) -> Place? {
        if survey.reachesUnconditionally(chain) { return Place(chain: chain, before: number) }
        // From a chain that was tried already no other way leads further.
        guard depth < ForeignWalk.maximumDepth, failed.insert(chain).inserted else { return nil }
        let callers = survey.calls[chain] ?? [:]
        for caller in callers.keys.sorted() {
            guard let number = callers[caller]?.last else { continue }
            if let place = finalPlace(before: number, in: caller, depth: depth + 1, &failed) { return place }
        }
        return nil
    }

    /// What is missing or too much; and what the deletion of the rules would be that are where they have to be.
    func edits() -> (needed: [ForeignEdit], kept: Set<ForeignEdit>) {
        var needed: [ForeignEdit] = []
        var kept: Set<ForeignEdit> = []
        for (place, reason) in places {
            let rules = hook.chains[place.chain] ?? []
            let next = place.before.flatMap { index(of: $0, in: place.chain) } ?? rules.endIndex
            if next > 0, rules[next - 1].passedMark == mark {
                kept.insert(deletion(of: rules[next - 1], from: place.chain))
                continue
            }
            let handle = next < rules.endIndex ? rules[next].handle : nil
            let owner = ForeignOwner(hook, reason)
            needed.append(
                .init(
                    hook.family, table: hook.table, chain: place.chain, .insert(mark: mark, before: handle),
                    baseChain: hook.title, reason: "\(hook.title) (\(owner)): \(hook.reason(reason))"))
        }
        for (chain, index) in survey.own.sorted(by: { ($0.chain, $0.index) < ($1.chain, $1.index) }) {
            guard let rule = hook.chains[chain]?[index] else { continue }
            let deletion = deletion(of: rule, from: chain)
            if !kept.contains(deletion) { needed.append(deletion) }
        }
        return (needed, kept)
    }

    private func deletion(of rule: ForeignRuleset.Rule, from chain: ForeignName) -> ForeignEdit {
        .init(hook.family, table: hook.table, chain: chain, .delete(handle: rule.handle))
    }

    /// Where the rule with a number is; their numbers ascend.
    private func index(of number: Int, in chain: ForeignName) -> Int? {
        guard let rules = hook.chains[chain] else { return nil }
        let index = rules.indices.firstIndex(fromWhichOn: { (rules[$0].number ?? $0 + 1) >= number })
        return index < rules.count && (rules[index].number ?? index + 1) == number ? index : nil
    }
}
