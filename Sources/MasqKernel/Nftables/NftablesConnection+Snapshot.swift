// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

extension NftablesConnection {
    /// Reads the own table out of the kernel.
    ///
    /// - Returns: the table, and the generation that it was read at.
    /// - Throws: ``NetlinkError``; a transient one when somebody changed the ruleset meanwhile: read again.
    public mutating func snapshot() throws(NetlinkError) -> (snapshot: Snapshot, generation: UInt32) {
        let generation = try generation()
        let listing = Result { () throws(NetlinkError) in try ownTable() }
        return (
            try undisturbed(listing, since: generation, "table inet \(Ruleset.tableName)"), generation
        )
    }

    /// What the counters of `inet masqd` say, and no more of it.
    ///
    /// - Throws: ``NetlinkError``: `EINTR` if somebody committed anything meanwhile.
    mutating func memory() throws(NetlinkError) -> KernelMemory {
        let generation = try generation()
        let listing = Result { () throws(NetlinkError) in
            var snapshot = Snapshot()
            guard try tableFlags() != nil else { return snapshot }
            snapshot.objects = try objects()
            return snapshot
        }
        return try undisturbed(listing, since: generation, "the counters of table inet \(Ruleset.tableName)")
            .memory
    }

    /// What was listed, if nobody committed anything meanwhile.
    ///
    /// - Parameter generation: the one that the listing began at.
    /// - Throws: ``NetlinkError``: `EINTR` if somebody did, also where the listing failed: what it asked for may be gone.
    mutating func undisturbed<Listing>(
        _ listing: Result<Listing, NetlinkError>, since generation: UInt32, _ object: String
    ) throws(NetlinkError) -> Listing {
        if case .failure(let error) = listing, error.operation != .dump { throw error }
        guard try self.generation() == generation else {
            throw NetlinkError(.dump, code: EINTR, object: object)
        }
        return try listing.get()
    }

    private mutating func ownTable() throws(NetlinkError) -> Snapshot {
        var snapshot = Snapshot()
        snapshot.tableFlags = try tableFlags()
        guard snapshot.tableFlags != nil else { return snapshot }
        snapshot.chains = try rules()
        snapshot.objects = try objects()
        snapshot.flowtables = try flowtables()
        for (name, shape) in try setShapes() {
            snapshot.sets[name] = try set(name, shape)
        }
        return snapshot
    }

    private mutating func tableFlags() throws(NetlinkError) -> UInt32? {
        var flags: UInt32?
        do {
            try list(NFT_MSG_GETTABLE, flags: 0, table: NFTA_TABLE_NAME, "table inet \(Ruleset.tableName)") {
                flags = $0.number(NFTA_TABLE_FLAGS.rawValue) ?? 0
            }
        } catch  where error.code == ENOENT {
            return nil
        }
        return flags
    }

    private mutating func chains() throws(NetlinkError) -> [String: Snapshot.ChainState] {
        var chains: [String: Snapshot.ChainState] = [:]
        try list(NFT_MSG_GETCHAIN, table: NFTA_CHAIN_TABLE, "chains") { attributes in
            // Before Linux 6.2 the kernel ignores the table in the request and lists the whole family.
            guard attributes.string(NFTA_CHAIN_TABLE.rawValue) == Ruleset.tableName else { return }
            chains[attributes.string(NFTA_CHAIN_NAME.rawValue)] = .init(attributes)
        }
        return chains
    }

    /// Reads the chains and their rules.
    mutating func rules() throws(NetlinkError) -> [String: Snapshot.ChainState] {
        var chains = try chains()
        var rules: [String: [Snapshot.RuleBytes]] = [:]
        try listMessages(NFT_MSG_GETRULE, table: NFTA_RULE_TABLE, "rules") { message in
            let (chain, bytes) = Snapshot.rule(message)
            rules[chain, default: []].append(bytes)
        }
        for (chain, rules) in rules { chains[chain]?.rules = rules }
        return chains
    }

    private mutating func objects() throws(NetlinkError) -> Set<Snapshot.StatefulObject> {
        var objects: Set<Snapshot.StatefulObject> = []
        try list(NFT_MSG_GETOBJ, table: NFTA_OBJ_TABLE, "counters, quotas and helpers") { attributes in
            objects.insert(.init(attributes))
        }
        return objects
    }

    /// Sets a stateful object's values back to where they begin.
    mutating func reset(_ object: Snapshot.StatefulObject) throws(NetlinkError) {
        let write = { (request: inout MessageWriter) in
            request.attribute(Int(NFTA_OBJ_TABLE.rawValue), Ruleset.tableName)
            request.attribute(Int(NFTA_OBJ_NAME.rawValue), object.name)
            request.attribute(Int(NFTA_OBJ_TYPE.rawValue), bigEndian: object.content.type)
        }
        try list(NFT_MSG_GETOBJ_RESET, object.name, family: Batch.family, flags: 0, write) { _ in }
    }

    private mutating func setShapes() throws(NetlinkError) -> [(String, Snapshot.SetShape)] {
        var shapes: [(String, Snapshot.SetShape)] = []
        try list(NFT_MSG_GETSET, table: NFTA_SET_TABLE, "sets") { attributes in
            let shape = Snapshot.SetShape(attributes)
            // A rule's own set goes with the rule, and can't be named in a batch that deletes the rule.
            guard shape.flags & UInt32(NFT_SET_ANONYMOUS.rawValue) == 0 else { return }
            shapes.append((attributes.string(NFTA_SET_NAME.rawValue), shape))
        }
        return shapes
    }

    /// Sends a request about the own table and hands the attributes of each answer to the caller.
    mutating func list(
        _ type: nf_tables_msg_types, flags: CInt = NLM_F_DUMP, table: some RawRepresentable<UInt32>,
        _ object: String, set: String? = nil, _ handle: (Attributes) -> Void
    ) throws(NetlinkError) {
        try listMessages(type, flags: flags, table: table, object, set: set) {
            handle($0.attributes(after: 4))
        }
    }

    private mutating func listMessages(
        _ type: nf_tables_msg_types, flags: CInt = NLM_F_DUMP, table: some RawRepresentable<UInt32>,
        _ object: String, set: String? = nil, _ handle: (NetlinkMessage) -> Void
    ) throws(NetlinkError) {
        let write = { (request: inout MessageWriter) in
            request.attribute(Int(table.rawValue), Ruleset.tableName)
            if let set { request.attribute(Int(NFTA_SET_ELEM_LIST_SET.rawValue), set) }
        }
        try list(type, object, family: Batch.family, flags: flags, write, handle)
    }
}
