// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// Reads others' tables as far as forwarded traffic can meet them; never changes them.
///
/// It lists the chains, and then the rules of those chains only that lead on from a hook in question: with Docker and
/// Kubernetes most rules are elsewhere. What iptables-legacy made is elsewhere too, and comes with it (``LegacyReader``).
public struct ForeignReader: ~Copyable {
    private var connection: NftablesConnection

    /// Opens the socket in the calling thread's network namespace.
    ///
    /// - Throws: ``NetlinkError``.
    public init() throws(NetlinkError) { connection = try NftablesConnection() }

    /// Reads the base chains in question and what they reach.
    ///
    /// - Parameter audit: the traffic in question; rules that can't apply to any of it are left out, and what only they
    ///   lead to. Absent: every rule counts.
    /// - Throws: ``NetlinkError``; `EINTR` when others never stop committing.
    public mutating func read(for audit: ForeignAudit? = nil) throws(NetlinkError) -> ForeignRuleset {
        // A look may take 0.2 s: not twenty of them, one after the other.
        try retrying(attempts: 5) { () throws(NetlinkError) in
            let generation = try connection.generation()
            let listing = Result { () throws(NetlinkError) in try self.ruleset(for: audit) }
            var read = try connection.undisturbed(listing, since: generation, "the rules of others")
            read.generation = generation
            return read
        }
    }

    private mutating func ruleset(for audit: ForeignAudit?) throws(NetlinkError) -> ForeignRuleset {
        var (hooks, markers) = try baseChains()
        let legacy = LegacyReader.read(for: audit)
        let dormant = hooks.isEmpty ? [] : try dormantTables()
        hooks.removeAll { dormant.contains(Table($0)) }
        var known: [Table: [String: [ForeignRuleset.Rule]]] = [:]
        for index in hooks.indices {
            let table = Table(hooks[index])
            var waiting = [hooks[index].chain]
            while let chain = waiting.popLast() {
                guard hooks[index].chains[chain] == nil else { continue }
                let rules: [ForeignRuleset.Rule]
                if let read = known[table]?[chain] {
                    rules = read
                } else {
                    rules = try self.rules(of: chain, in: table, for: audit)
                    known[table, default: [:]][chain] = rules
                }
                hooks[index].chains[chain] = rules
                for rule in rules { waiting += rule.effect.targets }
            }
        }
        hooks += legacy.hooks
        var ruleset = ForeignRuleset(hooks)
        ruleset.isComplete = legacy.isComplete
        // What is set elsewhere matters only where somebody looks.
        guard hooks.contains(where: \.looksAtMark) else { return ruleset }
        markers.chains.removeAll { dormant.contains($0.table) }
        ruleset.earlierMarks = markers.areReadable ? try marks(of: markers.chains) : .max
        ruleset.earlierMarks |= legacy.earlierMarks
        return ruleset
    }

    /// The bits that any rule sets which these chains lead to, whatever its conditions: at other hooks addresses and links
    /// are not what they are at forward.
    private mutating func marks(of chains: [Markers.Chain]) throws(NetlinkError) -> UInt32 {
        var marks: UInt32 = 0
        var seen: Set<Markers.Chain> = []
        var waiting = chains
        while let chain = waiting.popLast() {
            guard seen.insert(chain).inserted else { continue }
            for rule in try rules(of: chain.name, in: chain.table, for: nil) {
                marks |= rule.markChange?.settable ?? 0
                waiting += rule.effect.targets.map { Markers.Chain(table: chain.table, name: $0) }
            }
        }
        return marks
    }

    /// Base chains at other hooks than forward that a packet comes by, on its way there or behind it.
    private struct Markers {
        struct Chain: Hashable {
            let table: Table
            let name: String
        }

        var chains: [Chain] = []
        /// Whether there is none in a family that is not read: `netdev` and `bridge` have marks too.
        var areReadable = true

        mutating func append(_ message: NetlinkMessage) {
            let attributes = message.attributes(after: 4)
            guard let base = Snapshot.ChainState(attributes).base else { return }
            guard let family = ForeignRuleset.Family(message) else {
                // NFPROTO_ARP is 3.
                if message.payload.first != 3 { areReadable = false }
                return
            }
            let name = attributes.string(NFTA_CHAIN_TABLE.rawValue)
            guard family != .inet || name != Ruleset.tableName else { return }
            switch base.hook {
            // NF_INET_PRE_ROUTING, NF_INET_POST_ROUTING; NF_INET_INGRESS is 5.
            case 0, 4:
                chains.append(
                    .init(
                        table: Table(family: family, name: name),
                        name: attributes.string(NFTA_CHAIN_NAME.rawValue)))
            case 5: areReadable = false
            default: break
            }
        }
    }

    /// A table by family and name.
    struct Table: Hashable {
        let family: ForeignRuleset.Family
        let name: String

        init(family: ForeignRuleset.Family, name: String) {
            self.family = family
            self.name = name
        }

        init(_ hook: ForeignRuleset.Hook) { self.init(family: hook.family, name: hook.table) }

        /// Reads a table of a listing (NFT_MSG_NEWTABLE); nothing for one that is attached to its hooks.
        init?(dormant message: NetlinkMessage) {
            guard let family = ForeignRuleset.Family(message) else { return nil }
            let attributes = message.attributes(after: 4)
            let flags = attributes.number(NFTA_TABLE_FLAGS.rawValue) ?? 0
            guard flags & NFT_TABLE_F_DORMANT.rawValue != 0 else { return nil }
            self.init(family: family, name: attributes.string(NFTA_TABLE_NAME.rawValue))
        }
    }

    private mutating func baseChains() throws(NetlinkError) -> ([ForeignRuleset.Hook], Markers) {
        var hooks: [ForeignRuleset.Hook] = []
        var markers = Markers()
        try list(NFT_MSG_GETCHAIN, "chains") { message in
            if let hook = ForeignRuleset.Hook(message) { hooks.append(hook) }
            markers.append(message)
        }
        return (hooks, markers)
    }

    /// Tables whose chains are listed, and attached to nothing.
    private mutating func dormantTables() throws(NetlinkError) -> Set<Table> {
        var tables: Set<Table> = []
        try list(NFT_MSG_GETTABLE, "tables") { message in
            if let table = Table(dormant: message) { tables.insert(table) }
        }
        return tables
    }

    private mutating func rules(
        of chain: String, in table: Table, for audit: ForeignAudit?
    ) throws(NetlinkError) -> [ForeignRuleset.Rule] {
        var parsed: [(parser: ForeignRuleParser, number: Int)] = []
        var number = 0
        let attributes = [(NFTA_RULE_TABLE.rawValue, table.name), (NFTA_RULE_CHAIN.rawValue, chain)]
        try list(NFT_MSG_GETRULE, "the rules of others", family: table.family, attributes) { message in
            var parser = ForeignRuleParser(family: table.family, for: audit)
            switch parser.read(message.attributes(after: 4), of: chain) {
            // Before Linux 4.9 the kernel lists all chains all the same.
            case .stray: break
            case .ruledOut: number += 1
            case .complete:
                number += 1
                parsed.append((parser, number))
            }
        }
        var rules: [ForeignRuleset.Rule] = []
        for (parser, number) in parsed {
            var sets: [String: ForeignSet] = [:]
            for name in parser.setNames { sets[name] = try set(name, in: table) }
            rules.append(parser.rule(sets, number: number))
        }
        return rules
    }

    /// The elements of a set that is written inside of a rule; nothing of any other, which may be large and changes.
    private mutating func set(_ name: String, in table: Table) throws(NetlinkError) -> ForeignSet? {
        var set: ForeignSet?
        let attributes = [(NFTA_SET_TABLE.rawValue, table.name), (NFTA_SET_NAME.rawValue, name)]
        try list(NFT_MSG_GETSET, "a set of others", family: table.family, attributes, flags: 0) {
            set = ForeignSet($0.attributes(after: 4))
        }
        guard var set else { return nil }
        let elements = [
            (NFTA_SET_ELEM_LIST_TABLE.rawValue, table.name), (NFTA_SET_ELEM_LIST_SET.rawValue, name),
        ]
        try list(NFT_MSG_GETSETELEM, "a set of others", family: table.family, elements) {
            set.read($0.attributes(after: 4))
        }
        return set
    }

    private mutating func list(
        _ type: nf_tables_msg_types, _ object: String, family: ForeignRuleset.Family? = nil,
        _ attributes: [(UInt32, String)] = [], flags: CInt = NLM_F_DUMP,
        _ handle: (NetlinkMessage) -> Void
    ) throws(NetlinkError) {
        let write = { (request: inout MessageWriter) in
            for (type, value) in attributes { request.attribute(Int(type), value) }
        }
        try connection.list(type, object, family: family?.number ?? 0, flags: flags, write, handle)
    }
}
