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
        var snapshot = Snapshot()
        snapshot.tableFlags = try tableFlags()
        if snapshot.tableFlags != nil {
            snapshot.chains = try rules()
            snapshot.objects = try objects()
            for (name, shape) in try setShapes() {
                snapshot.sets[name] = try set(name, shape)
            }
        }
        guard try self.generation() == generation else {
            throw NetlinkError(.dump, code: EINTR, object: "table inet \(Ruleset.tableName)")
        }
        return (snapshot, generation)
    }

    private mutating func tableFlags() throws(NetlinkError) -> UInt32? {
        var flags: UInt32?
        do {
            try list(NFT_MSG_GETTABLE, flags: 0, table: NFTA_TABLE_NAME, "table inet \(Ruleset.tableName)") {
                flags = 0
                for attribute in $0 where attribute.type == UInt16(NFTA_TABLE_FLAGS.rawValue) {
                    flags = attribute.bigEndian32
                }
            }
        } catch  where error.code == ENOENT {
            return nil
        }
        return flags
    }

    private mutating func chains() throws(NetlinkError) -> [String: Snapshot.ChainState] {
        var chains: [String: Snapshot.ChainState] = [:]
        try list(NFT_MSG_GETCHAIN, table: NFTA_CHAIN_TABLE, "chains") { attributes in
            var table = ""
            var name = ""
            var base = BaseChain(type: "", hook: 0, priority: 0, policy: 0)
            var isBase = false
            for attribute in attributes {
                switch UInt32(attribute.type) {
                case NFTA_CHAIN_TABLE.rawValue: table = attribute.string
                case NFTA_CHAIN_NAME.rawValue: name = attribute.string
                case NFTA_CHAIN_TYPE.rawValue: base.type = attribute.string
                case NFTA_CHAIN_POLICY.rawValue: base.policy = attribute.bigEndian32
                case NFTA_CHAIN_HOOK.rawValue:
                    isBase = true
                    for hook in attribute.nested {
                        switch UInt32(hook.type) {
                        case NFTA_HOOK_HOOKNUM.rawValue: base.hook = hook.bigEndian32
                        case NFTA_HOOK_PRIORITY.rawValue: base.priority = Int32(bitPattern: hook.bigEndian32)
                        default: break
                        }
                    }
                default: break
                }
            }
            // Before Linux 6.2 the kernel ignores the table in the request and lists the whole family.
            guard table == Ruleset.tableName else { return }
            chains[name] = Snapshot.ChainState(base: isBase ? base : nil, rules: [])
        }
        return chains
    }

    /// Reads the chains and their rules.
    mutating func rules() throws(NetlinkError) -> [String: Snapshot.ChainState] {
        var chains = try chains()
        var rules: [String: [Snapshot.RuleBytes]] = [:]
        try listMessages(NFT_MSG_GETRULE, table: NFTA_RULE_TABLE, "rules") { message in
            guard let rule = RuleObject(parsing: message) else {
                // An expression that this libnftnl does not know is in no rule of ours, whatever its bytes are.
                let attributes = message.attributes(after: 4)
                let chain = attributes.first { $0.type == UInt16(NFTA_RULE_CHAIN.rawValue) }?.string ?? ""
                rules[chain, default: []].append(Array(message.payload))
                return
            }
            let chain = rule.chain
            rules[chain, default: []].append(rule.payload())
        }
        for (chain, rules) in rules { chains[chain]?.rules = rules }
        return chains
    }

    private mutating func objects() throws(NetlinkError) -> Set<Snapshot.StatefulObject> {
        var objects: Set<Snapshot.StatefulObject> = []
        try list(NFT_MSG_GETOBJ, table: NFTA_OBJ_TABLE, "counters") { attributes in
            var object = Snapshot.StatefulObject(type: 0, name: "")
            for attribute in attributes {
                switch UInt32(attribute.type) {
                case NFTA_OBJ_NAME.rawValue: object.name = attribute.string
                case NFTA_OBJ_TYPE.rawValue: object.type = attribute.bigEndian32
                default: break
                }
            }
            objects.insert(object)
        }
        return objects
    }

    /// Sets a stateful object's values back to where they begin.
    mutating func reset(_ object: Snapshot.StatefulObject) throws(NetlinkError) {
        var request = MessageWriter(capacity: 256)
        let sequence = nextSequence()
        request.beginNftables(NFT_MSG_GETOBJ_RESET, family: Batch.family, flags: 0, sequence: sequence)
        request.attribute(Int(NFTA_OBJ_TABLE.rawValue), Ruleset.tableName)
        request.attribute(Int(NFTA_OBJ_NAME.rawValue), object.name)
        request.attribute(Int(NFTA_OBJ_TYPE.rawValue), bigEndian: object.type)
        request.endMessage()
        try socket.dump(request, sequence: sequence, object: object.name, buffer: buffer) {
            (_) throws(NetlinkError) in
        }
    }

    private mutating func setShapes() throws(NetlinkError) -> [(String, Snapshot.SetShape)] {
        var shapes: [(String, Snapshot.SetShape)] = []
        try list(NFT_MSG_GETSET, table: NFTA_SET_TABLE, "sets") { attributes in
            var name = ""
            var shape = Snapshot.SetShape(flags: 0, keyType: 0, keyLength: 0, dataType: 0)
            for attribute in attributes {
                switch UInt32(attribute.type) {
                case NFTA_SET_NAME.rawValue: name = attribute.string
                case NFTA_SET_FLAGS.rawValue: shape.flags = attribute.bigEndian32
                case NFTA_SET_KEY_TYPE.rawValue: shape.keyType = attribute.bigEndian32
                case NFTA_SET_KEY_LEN.rawValue: shape.keyLength = attribute.bigEndian32
                case NFTA_SET_DATA_TYPE.rawValue: shape.dataType = attribute.bigEndian32
                case NFTA_SET_DESC.rawValue:
                    let size = attribute.nested.first { $0.type == UInt16(NFTA_SET_DESC_SIZE.rawValue) }
                    shape.size = size?.bigEndian32 ?? 0
                default: break
                }
            }
            // A rule's own set goes with the rule, and can't be named in a batch that deletes the rule.
            guard shape.flags & UInt32(NFT_SET_ANONYMOUS.rawValue) == 0 else { return }
            shapes.append((name, shape))
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
        var request = MessageWriter(capacity: 256)
        let sequence = nextSequence()
        request.beginNftables(type, family: Batch.family, flags: flags, sequence: sequence)
        request.attribute(Int(table.rawValue), Ruleset.tableName)
        if let set { request.attribute(Int(NFTA_SET_ELEM_LIST_SET.rawValue), set) }
        request.endMessage()
        try socket.dump(request, sequence: sequence, object: object, buffer: buffer) {
            (message) throws(NetlinkError) in handle(message)
        }
    }
}
