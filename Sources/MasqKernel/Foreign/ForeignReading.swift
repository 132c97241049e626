// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// What is known of others' tables while they are read, which question comes next, and what becomes of its answer.
///
/// It lists the chains, and then the rules of those chains only that lead on from a hook in question: with Docker and
/// Kubernetes most rules are elsewhere. Whatever is beyond a bound stays unknown, and nobody takes it for nothing.
struct ForeignReading {
    /// A table by family and name.
    struct Table: Hashable {
        let family: ForeignRuleset.Family
        let name: ForeignName
    }

    /// A question to the kernel.
    enum Question {
        case generation
        case chains
        case tables
        case rules(of: ForeignName, Table)
        case set(ForeignName, Table)
        case elements(of: ForeignName, Table)
    }

    /// The bounds, beyond which nothing is kept: rules, sets inside of rules, and their elements, in all of them together.
    struct Limits {
        var rules = 100_000
        var sets = 4096
        var elements = 65_536
        var hooks = 256
    }

    /// The generation that the reading began at.
    private(set) var generation: UInt32 = 0

    private let scope: ForeignScope?
    private var limits: Limits
    private var question: Question?
    private var phase = Phase.generation
    private var hooks: [ForeignRuleset.Hook] = []
    private var markers = Markers()
    private var dormant: Set<Table> = []
    private var isComplete = true
    /// Bits of the mark that somebody may have set at another hook, as far as is known.
    private var earlierMarks: UInt32 = 0
    private var looksAtMark = false

    /// The chains that are still to be read: of the hook under way, or those that may change marks.
    private var waiting: [ForeignName] = []
    private var visited: Set<ForeignName> = []
    private var hookIndex = 0
    private var isHookBegun = false
    private var legacy: [ForeignRuleset.Hook] = []
    private var known: [Table: [ForeignName: Chain]] = [:]
    private var waitingMarkers: [Place] = []
    private var seenMarkers: Set<Place> = []
    private var chain: ForeignChainReading?

    private enum Phase { case generation, chains, tables, hooks, markers, over }

    /// A chain that was read.
    private struct Chain {
        /// Its rules; nothing where they were too many.
        let rules: [ForeignRuleset.Rule]?
        let targets: Set<ForeignName>
    }

    private struct Place: Hashable {
        let table: Table
        let chain: ForeignName
    }

    /// Base chains at other hooks than forward that a packet comes by, on its way there or behind it.
    private struct Markers {
        var chains: [Place] = []
        /// Whether there is none in a family that is not read: `netdev` and `bridge` have marks too.
        var areReadable = true
    }

    /// Begins; without a scope every rule counts.
    init(for scope: ForeignScope?, limits: Limits = Limits()) {
        self.scope = scope
        self.limits = limits
    }

    /// Adds what iptables-legacy has, which comes from elsewhere.
    mutating func add(_ findings: LegacyReader.Findings) {
        legacy = findings.hooks
        isComplete = isComplete && findings.isComplete
        earlierMarks |= findings.earlierMarks
        looksAtMark = looksAtMark || findings.looksAtMark
    }

    /// What was read, and its rules by chain, each once.
    var result: (ruleset: ForeignRuleset, rules: [[ForeignRuleset.Rule]]) {
        var ruleset = ForeignRuleset(hooks + legacy)
        ruleset.generation = generation
        ruleset.isComplete = isComplete
        ruleset.earlierMarks = looksAtMark ? earlierMarks : 0
        return (ruleset, known.values.flatMap { $0.values.compactMap(\.rules) })
    }

    /// The next question; nothing where all is known.
    mutating func next() -> Question? {
        question = upcoming()
        return question
    }

    private mutating func upcoming() -> Question? {
        switch phase {
        case .generation: .generation
        case .chains: .chains
        case .tables: .tables
        case .hooks: nextOfHooks()
        case .markers: nextOfMarkers()
        case .over: nil
        }
    }

    /// Takes in a message of the answer.
    mutating func take(_ message: NetlinkMessage) {
        let attributes = message.attributes(after: 4)
        switch question {
        case .generation: generation = attributes.number(NFTA_GEN_ID.rawValue) ?? generation
        case .chains: takeChain(message, attributes)
        case .tables: if let table = Table(dormant: message) { dormant.insert(table) }
        case .rules: chain?.takeRule(attributes, &limits)
        case .set: chain?.takeSet(attributes)
        case .elements: chain?.takeElements(attributes, &limits)
        case nil: break
        }
    }

    /// The answer is complete.
    mutating func ended() {
        switch question {
        case .generation: phase = .chains
        case .chains: phase = hooks.isEmpty ? .hooks : .tables
        case .tables:
            hooks.removeAll { dormant.contains(Table($0)) }
            markers.chains.removeAll { dormant.contains($0.table) }
            phase = .hooks
        case .rules, .set, .elements, nil: break
        }
        question = nil
    }

    private mutating func takeChain(_ message: NetlinkMessage, _ attributes: Attributes) {
        if let hook = ForeignRuleset.Hook(message) {
            if hooks.count < limits.hooks {
                hooks.append(hook)
            } else {
                // What it does to anything is not known, its marks included.
                isComplete = false
                earlierMarks = .max
            }
        }
        guard let base = Snapshot.ChainState(attributes).base else { return }
        guard let family = ForeignRuleset.Family(message) else {
            // NFPROTO_ARP is 3.
            if message.payload.first != 3 { markers.areReadable = false }
            return
        }
        let table = Table(family: family, name: attributes.name(NFTA_CHAIN_TABLE.rawValue))
        guard !table.isOwn else { return }
        switch base.hook {
        // NF_INET_PRE_ROUTING, NF_INET_POST_ROUTING; NF_INET_INGRESS is 5.
        case 0, 4:
            markers.chains.append(.init(table: table, chain: attributes.name(NFTA_CHAIN_NAME.rawValue)))
        case 5: markers.areReadable = false
        default: break
        }
    }

    private mutating func nextOfHooks() -> Question? {
        while hookIndex < hooks.count {
            if let question = nextOfChain() { return question }
            if !isHookBegun {
                isHookBegun = true
                waiting = [hooks[hookIndex].chain]
                visited = []
            }
            guard let name = waiting.popLast() else {
                hookIndex += 1
                isHookBegun = false
                continue
            }
            guard !visited.contains(name) else { continue }
            let table = Table(hooks[hookIndex])
            if let read = known[table]?[name] {
                visited.insert(name)
                if let rules = read.rules { hooks[hookIndex].chains[name] = rules }
                waiting += read.targets
            } else {
                waiting.append(name)
                chain = ForeignChainReading(name, table, for: scope, keepsRules: true)
            }
        }
        // What is set elsewhere matters only where somebody looks.
        guard looksAtMark else {
            phase = .over
            return nil
        }
        if !markers.areReadable { earlierMarks = .max }
        waitingMarkers = markers.areReadable ? markers.chains : []
        phase = .markers
        return nextOfMarkers()
    }

    /// The bits that any rule sets which these chains lead to, whatever its conditions: at other hooks addresses and links
    /// are not what they are at forward.
    private mutating func nextOfMarkers() -> Question? {
        while true {
            if let question = nextOfChain() { return question }
            guard let place = waitingMarkers.popLast() else {
                phase = .over
                return nil
            }
            guard seenMarkers.insert(place).inserted else { continue }
            chain = ForeignChainReading(place.chain, place.table, for: nil, keepsRules: false)
        }
    }

    /// Goes on with the chain under way, or takes in what it came to.
    private mutating func nextOfChain() -> Question? {
        guard var chain else { return nil }
        self.chain = nil
        if let question = chain.next() {
            self.chain = chain
            return question
        }
        if phase == .hooks {
            looksAtMark = looksAtMark || chain.looksAtMark
            if chain.rules == nil { earlierMarks = .max }
            known[chain.table, default: [:]][chain.name] = Chain(rules: chain.rules, targets: chain.targets)
        } else {
            earlierMarks |= chain.marks
            waitingMarkers += chain.targets.map { Place(table: chain.table, chain: $0) }
        }
        return nil
    }
}

extension ForeignReading.Table {
    init(_ hook: ForeignRuleset.Hook) { self.init(family: hook.family, name: hook.table) }

    /// Reads a table of a listing (NFT_MSG_NEWTABLE); nothing for one that is attached to its hooks.
    init?(dormant message: NetlinkMessage) {
        guard let family = ForeignRuleset.Family(message) else { return nil }
        let attributes = message.attributes(after: 4)
        let flags = attributes.number(NFTA_TABLE_FLAGS.rawValue) ?? 0
        guard flags & NFT_TABLE_F_DORMANT.rawValue != 0 else { return nil }
        self.init(family: family, name: attributes.name(NFTA_TABLE_NAME.rawValue))
    }

    /// Whether it is masqd's own.
    var isOwn: Bool { family == .inet && name == ForeignName(Ruleset.tableName) }
}
