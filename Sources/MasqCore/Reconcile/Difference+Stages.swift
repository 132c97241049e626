// SPDX-License-Identifier: GPL-3.0-or-later

extension Difference {
    /// Divides changes into batches, so that no packet meets a rule whose set is empty for it.
    ///
    /// The rules of a batch take effect all at once, and what their new sets hold can be found a moment later: the kernel
    /// first begins the new generation, and then goes through the batch set by set (`nf_tables_commit` in
    /// net/netfilter/nf_tables_api.c). In the same way a packet on its way through the old rules no longer finds what a
    /// map held that went along with them (`nft_map_deactivate`). So what rules look up comes a batch before them, and maps
    /// go a batch after them; in between nothing refers to either.
    ///
    /// - Parameter changes: those of a table that is there, in the order of ``changes(from:to:)``.
    public static func stages(of changes: [Change]) -> [[Change]] {
        let plan = Plan(changes)
        guard plan.isNeeded else { return [changes] }
        var stages: [[Change]] = [[], [], []]
        for change in changes { stages[plan.stage(of: change)].append(change) }
        return stages.filter { !$0.isEmpty }
    }
}

/// What can come before the rules, and go after them.
private struct Plan {
    private var changesRules = false
    private var newSets: Set<String> = []
    private var oldSets: Set<String> = []
    /// Those of the old sets that are maps to chains.
    private var oldMaps: Set<String> = []
    private var newChains: Set<String> = []
    private var oldChains: Set<String> = []
    /// The chains that new and old maps lead to: these come and go along with them.
    private var chainsOfNewMaps: Set<String> = []
    private var chainsOfOldMaps: Set<String> = []

    init(_ changes: [Change]) {
        for change in changes {
            switch change {
            case .addRule, .flushChain: changesRules = true
            case .addSet(let name, _): newSets.insert(name)
            case .deleteSet(let name): oldSets.insert(name)
            case .addChain(let name, _): newChains.insert(name)
            case .deleteChain(let name): oldChains.insert(name)
            default: break
            }
        }
        // What is replaced has to go before it comes.
        let replaced = newSets.intersection(oldSets)
        newSets.subtract(replaced)
        oldSets.subtract(replaced)
        for change in changes {
            switch change {
            case .addElements(let set, let elements) where newSets.contains(set):
                chainsOfNewMaps.formUnion(elements.chains)
            case .deleteElements(let set, let elements) where oldSets.contains(set):
                oldMaps.insert(set)
                chainsOfOldMaps.formUnion(elements.chains)
            default: break
            }
        }
    }

    /// Whether there is anything to divide, and it can be: a chain that is replaced must not be held by a map meanwhile.
    var isNeeded: Bool {
        let replaced = newChains.intersection(oldChains)
        return changesRules && !(newSets.isEmpty && oldMaps.isEmpty)
            && replaced.isDisjoint(with: chainsOfNewMaps.union(chainsOfOldMaps))
    }

    /// 0 before the rules, 1 along with them, 2 after them.
    func stage(of change: Change) -> Int {
        switch change {
        case .addSet(let name, _), .addElements(let name, _): newSets.contains(name) ? 0 : 1
        // A base chain would act at once, empty as it is.
        case .addChain(let name, nil): chainsOfNewMaps.contains(name) ? 0 : 1
        case .deleteSet(let name), .deleteElements(let name, _): oldMaps.contains(name) ? 2 : 1
        case .deleteChain(let name): chainsOfOldMaps.contains(name) ? 2 : 1
        default: 1
        }
    }
}

extension Ruleset.Elements {
    /// The chains that a map leads to.
    fileprivate var chains: Set<String> {
        switch self {
        case .jumps(let jumps): Set(jumps.values)
        case .addressJumps(_, let jumps): Set(jumps.values)
        case .addresses, .interfaces, .entries, .recorded: []
        }
    }
}
