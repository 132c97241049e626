// SPDX-License-Identifier: GPL-3.0-or-later

/// One message to the kernel; a list of them in order makes one atomic batch.
public enum Change: Equatable, Sendable {
    case addTable(flags: UInt32)
    case deleteTable
    case addObject(Snapshot.StatefulObject)
    case deleteObject(Snapshot.StatefulObject)
    case addFlowtable(String, Snapshot.FlowtableState)
    case addDevices(flowtable: String, Snapshot.FlowtableState, Set<InterfaceName>)
    case deleteDevices(flowtable: String, Snapshot.FlowtableState, Set<InterfaceName>)
    case deleteFlowtable(String)
    case addSet(String, Snapshot.SetShape)
    case deleteSet(String)
    case flushSet(String)
    case addElements(set: String, Ruleset.Elements)
    case deleteElements(set: String, Ruleset.Elements)
    case addChain(String, BaseChain?)
    case setPolicy(chain: String, BaseChain)
    case flushChain(String)
    case addRule(chain: String, Snapshot.RuleBytes)
    case deleteChain(String)
}

extension Change: CustomStringConvertible {
    /// The object that the message is about, as an error names it.
    public var description: String {
        switch self {
        case .addTable, .deleteTable: "table inet \(Ruleset.tableName)"
        case .addObject(let object), .deleteObject(let object): "\(object)"
        case .addFlowtable(let name, _), .deleteFlowtable(let name): "flowtable \(name)"
        case .addDevices(let name, _, let devices), .deleteDevices(let name, _, let devices):
            "devices \(devices.sorted().map(\.description).joined(separator: ", ")) of flowtable \(name)"
        case .addSet(let name, _), .deleteSet(let name): "set \(name)"
        case .addElements(let set, _), .deleteElements(let set, _), .flushSet(let set):
            "elements of set \(set)"
        case .addChain(let name, _), .setPolicy(let name, _), .flushChain(let name), .deleteChain(let name):
            "chain \(name)"
        case .addRule(let chain, _): "a rule of chain \(chain)"
        }
    }
}

extension Change {
    /// What the kernel lacks if it refuses this change as unknown, where the gateway can do without.
    public var feature: KernelFeature? {
        switch self {
        case .addObject(let object): KernelFeature(object)
        case .addFlowtable: .flowOffload
        // Nothing else is done in those chains.
        case .addRule(let chain, _) where DropReason(chain: chain) != nil: .log
        default: nil
        }
    }
}

/// What turns one snapshot into another, in an order that the kernel accepts as one batch.
public enum Difference {
    /// Lists the changes; none where the two are equal.
    ///
    /// The table is never deleted and made again: that would lose connections and leak private addresses, even
    /// inside one batch. A chain whose rules differ is flushed and filled again; sets change element by element.
    public static func changes(from current: Snapshot, to desired: Snapshot) -> [Change] {
        guard let desiredFlags = desired.tableFlags else {
            return current.tableFlags == nil ? [] : [.deleteTable]
        }
        let sets = SetChanges(from: current, to: desired)
        let objects = ObjectChanges(from: current, to: desired)
        // What is replaced must be free of rules, and which ones refer to it can't be told from their bytes.
        let flowtables = FlowtableChanges(from: current, to: desired)
        let refillsAll =
            !sets.recreated.isEmpty || !objects.replaced.isEmpty || !flowtables.replaced.isEmpty
        let chains = ChainChanges(from: current, to: desired, refillsAll: refillsAll)

        var changes: [Change] = []
        if current.tableFlags != desiredFlags { changes.append(.addTable(flags: desiredFlags)) }
        changes += objects.added
        changes += flowtables.made
        changes += chains.made
        // Elements and rules hold references: what is to be deleted must be free of them first.
        changes += chains.flushed
        changes += sets.elementsDeleted
        changes += chains.replaced
        changes += sets.deleted
        changes += objects.replaced
        changes += flowtables.replaced
        changes += flowtables.tied
        changes += sets.made
        // Behind the sets, which their rules refer to, and before the elements, which refer to chains by name.
        changes += chains.filled
        changes += sets.elementsAdded
        changes += chains.deleted
        changes += flowtables.deleted
        changes += objects.deleted
        return changes
    }
}

/// What happens to counters and other named objects.
private struct ObjectChanges {
    var added: [Change] = []
    /// Objects of another content than wanted, each deleted and made anew: most kinds can't be changed, and the kernel
    /// says nothing where it ignores the wish (`nf_tables_newobj` in net/netfilter/nf_tables_api.c).
    var replaced: [Change] = []
    var deleted: [Change] = []

    init(from current: Snapshot, to desired: Snapshot) {
        let surplus = current.objects.subtracting(desired.objects).sorted { $0.key < $1.key }
        let missing = desired.objects.subtracting(current.objects).sorted { $0.key < $1.key }
        let others = Dictionary(surplus.map { ($0.key, $0) }) { first, _ in first }
        for object in missing {
            if let old = others[object.key] {
                replaced += [.deleteObject(old), .addObject(object)]
            } else {
                added.append(.addObject(object))
            }
        }
        let kept = Set(missing.map(\.key))
        deleted = surplus.filter { !kept.contains($0.key) }.map(Change.deleteObject)
    }
}

/// What happens to sets and their elements.
private struct SetChanges {
    var made: [Change] = []
    var deleted: [Change] = []
    var elementsDeleted: [Change] = []
    var elementsAdded: [Change] = []
    /// Sets of another shape than wanted: deleted and made anew in the batch.
    var recreated: Set<String> = []

    init(from current: Snapshot, to desired: Snapshot) {
        for (name, old) in current.sets.sorted(by: { $0.key < $1.key }) {
            if let new = desired.sets[name] {
                guard old.shape != new.shape || old.elements == nil else { continue }
                recreated.insert(name)
            }
            // A map's elements hold chains, which may be deleted in the same batch.
            if let elements = old.elements, elements.leadToChains, !elements.isEmpty {
                elementsDeleted.append(.deleteElements(set: name, elements))
            }
            deleted.append(.deleteSet(name))
        }
        for (name, new) in desired.sets.sorted(by: { $0.key < $1.key }) {
            guard let wanted = new.elements else { continue }
            guard let old = current.sets[name], !recreated.contains(name), let present = old.elements else {
                made.append(.addSet(name, new.shape))
                if !wanted.isEmpty { elementsAdded.append(.addElements(set: name, wanted)) }
                continue
            }
            if old.isFragmented {
                elementsDeleted.append(.flushSet(name))
                if !wanted.isEmpty { elementsAdded.append(.addElements(set: name, wanted)) }
                continue
            }
            guard present != wanted else { continue }
            let surplus = present.subtracting(wanted)
            let missing = wanted.subtracting(present)
            if !surplus.isEmpty { elementsDeleted.append(.deleteElements(set: name, surplus)) }
            if !missing.isEmpty { elementsAdded.append(.addElements(set: name, missing)) }
        }
    }
}

/// What happens to chains and their rules.
private struct ChainChanges {
    var made: [Change] = []
    var flushed: [Change] = []
    /// Chains of another hook or priority than wanted: deleted and made anew in the batch.
    var replaced: [Change] = []
    var filled: [Change] = []
    var deleted: [Change] = []

    init(from current: Snapshot, to desired: Snapshot, refillsAll: Bool) {
        for (name, old) in current.chains.sorted(by: { $0.key < $1.key }) {
            let new = desired.chains[name]
            let isKept = new.map { Self.canBecome(old.base, $0.base) } ?? false
            if !old.rules.isEmpty, !isKept || refillsAll || old.rules != new?.rules {
                flushed.append(.flushChain(name))
            }
            if new == nil { deleted.append(.deleteChain(name)) }
        }
        for (name, new) in desired.chains.sorted(by: { $0.key < $1.key }) {
            guard let old = current.chains[name] else {
                made.append(.addChain(name, new.base))
                filled += new.rules.map { .addRule(chain: name, $0) }
                continue
            }
            let isKept = Self.canBecome(old.base, new.base)
            if !isKept {
                replaced += [.deleteChain(name), .addChain(name, new.base)]
            } else if let base = new.base, base != old.base {
                made.append(.setPolicy(chain: name, base))
            }
            if !isKept || refillsAll || old.rules != new.rules {
                filled += new.rules.map { .addRule(chain: name, $0) }
            }
        }
    }

    /// Only the policy of a chain can change in place (`nf_tables_updchain` in net/netfilter/nf_tables_api.c).
    private static func canBecome(_ old: BaseChain?, _ new: BaseChain?) -> Bool {
        guard var old, let new else { return old == new }
        old.policy = new.policy
        return old == new
    }
}

extension Ruleset.Elements {
    /// The elements that the other set does not have; all of them where it is of another type.
    ///
    /// Ranges are compared whole: one that grew is gone, and another is there.
    func subtracting(_ other: Ruleset.Elements) -> Ruleset.Elements {
        switch (self, other) {
        case (.addresses(let own), .addresses(let others)) where own.family == others.family:
            .addresses(own.removingRanges(of: others))
        case (.interfaces(let own), .interfaces(let others)): .interfaces(own.subtracting(others))
        case (.jumps(let own), .jumps(let others)): .jumps(own.filter { others[$0.key] != $0.value })
        case (.addressJumps(let family, let own), .addressJumps(_, let others)):
            .addressJumps(family, own.filter { others[$0.key] != $0.value })
        case (.entries(let own), .entries(let others)): .entries(own.subtracting(others))
        case (.addresses, _), (.interfaces, _), (.jumps, _), (.addressJumps, _), (.entries, _),
            (.recorded, _):
            self
        }
    }

    /// Whether they hold references to chains.
    var leadToChains: Bool {
        switch self {
        case .jumps, .addressJumps: true
        case .addresses, .interfaces, .entries, .recorded: false
        }
    }
}
