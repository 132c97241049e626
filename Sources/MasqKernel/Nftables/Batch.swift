// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// The messages of one atomic transaction, between a begin and an end mark.
struct Batch: ~Copyable {
    var writer: MessageWriter
    private let firstSequence: UInt32
    private(set) var lastSequence: UInt32
    /// For each message the index of the change that it belongs to, to name the object that an error is about.
    private var owners: [Int32] = []
    private var changeCount: Int32 = 0
    private var nextSetID: UInt32 = 1

    /// The family of the table.
    static let family = UInt8(NFPROTO_INET)

    init(firstSequence: UInt32, generation: UInt32, for changes: [Change]) {
        let capacity = changes.reduce(0) { $0 + $1.estimatedLength }
        self.init(firstSequence: firstSequence, generation: generation, capacity: capacity)
    }

    init(firstSequence: UInt32, generation: UInt32, capacity: Int) {
        self.init(MessageWriter(capacity: 4096 + capacity), firstSequence)
        mark(NFNL_MSG_BATCH_BEGIN)
        writer.attribute(Int(NFNL_BATCH_GENID.rawValue), bigEndian: generation)
        writer.endMessage()
    }

    private init(_ writer: consuming MessageWriter, _ firstSequence: UInt32) {
        self.writer = writer
        self.firstSequence = firstSequence
        lastSequence = firstSequence
    }

    /// Says which generation the changes were computed from, after all.
    mutating func rebase(on generation: UInt32) {
        // The first message's header (struct nlmsghdr, struct nfgenmsg) and the attribute's own come before the value.
        writer.overwrite(bigEndian: generation, at: NetlinkMessage.headerLength + 4 + 4)
    }

    /// What is handed to the kernel.
    var bytes: UnsafeRawBufferPointer { writer.bytes }

    /// Whether a sequence number is one of the batch's; 0 stands for the batch as a whole.
    func contains(_ sequence: UInt32) -> Bool {
        sequence == 0 || sequence &- firstSequence <= lastSequence &- firstSequence
    }

    /// The index of the change that a message belongs to.
    func owner(of sequence: UInt32) -> Int? {
        let index = Int(sequence &- firstSequence &- 1)
        return owners.indices.contains(index) ? Int(owners[index]) : nil
    }

    mutating func append(_ change: Change) {
        switch change {
        case .addTable(let flags):
            begin(NFT_MSG_NEWTABLE, flags: NLM_F_CREATE, table: NFTA_TABLE_NAME)
            writer.attribute(Int(NFTA_TABLE_FLAGS.rawValue), bigEndian: flags)
        case .deleteTable:
            begin(NFT_MSG_DELTABLE, table: NFTA_TABLE_NAME)
        case .addObject(let object):
            begin(NFT_MSG_NEWOBJ, flags: NLM_F_CREATE, table: NFTA_OBJ_TABLE)
            append(object)
            writer.nest(Int(NFTA_OBJ_DATA.rawValue)) { $0.append(object.content) }
        case .deleteObject(let object):
            begin(NFT_MSG_DELOBJ, table: NFTA_OBJ_TABLE)
            append(object)
        case .addFlowtable(let name, let flowtable):
            begin(NFT_MSG_NEWFLOWTABLE, flags: NLM_F_CREATE, table: NFTA_FLOWTABLE_TABLE)
            writer.attribute(Int(NFTA_FLOWTABLE_NAME.rawValue), name)
            writer.hook(of: flowtable, devices: [])
            writer.attribute(Int(NFTA_FLOWTABLE_FLAGS.rawValue), bigEndian: flowtable.flags)
        case .addDevices(let name, let flowtable, let devices):
            begin(NFT_MSG_NEWFLOWTABLE, table: NFTA_FLOWTABLE_TABLE)
            writer.attribute(Int(NFTA_FLOWTABLE_NAME.rawValue), name)
            writer.hook(of: flowtable, devices: devices)
            writer.attribute(Int(NFTA_FLOWTABLE_FLAGS.rawValue), bigEndian: flowtable.flags)
        case .deleteDevices(let name, let flowtable, let devices):
            begin(NFT_MSG_DELFLOWTABLE, table: NFTA_FLOWTABLE_TABLE)
            writer.attribute(Int(NFTA_FLOWTABLE_NAME.rawValue), name)
            writer.hook(of: flowtable, devices: devices)
        case .deleteFlowtable(let name):
            begin(NFT_MSG_DELFLOWTABLE, table: NFTA_FLOWTABLE_TABLE)
            writer.attribute(Int(NFTA_FLOWTABLE_NAME.rawValue), name)
        case .addSet(let name, let shape):
            begin(NFT_MSG_NEWSET, flags: NLM_F_CREATE, table: NFTA_SET_TABLE)
            append(name, shape)
        case .deleteSet(let name):
            begin(NFT_MSG_DELSET, table: NFTA_SET_TABLE)
            writer.attribute(Int(NFTA_SET_NAME.rawValue), name)
        case .flushSet(let name):
            begin(NFT_MSG_DELSETELEM, table: NFTA_SET_ELEM_LIST_TABLE)
            writer.attribute(Int(NFTA_SET_ELEM_LIST_SET.rawValue), name)
        case .addElements(let set, let elements):
            append(elements, of: set, NFT_MSG_NEWSETELEM, flags: NLM_F_CREATE)
            changeCount += 1
            return
        case .deleteElements(let set, let elements):
            append(elements, of: set, NFT_MSG_DELSETELEM, flags: 0)
            changeCount += 1
            return
        case .addChain(let name, let base):
            begin(NFT_MSG_NEWCHAIN, flags: NLM_F_CREATE, table: NFTA_CHAIN_TABLE)
            append(name, base)
        case .setPolicy(let name, let base):
            begin(NFT_MSG_NEWCHAIN, table: NFTA_CHAIN_TABLE)
            writer.attribute(Int(NFTA_CHAIN_NAME.rawValue), name)
            writer.attribute(Int(NFTA_CHAIN_POLICY.rawValue), bigEndian: base.policy)
        case .flushChain(let name):
            begin(NFT_MSG_DELRULE, table: NFTA_RULE_TABLE)
            writer.attribute(Int(NFTA_RULE_CHAIN.rawValue), name)
        case .addRule(let chain, let bytes):
            begin(NFT_MSG_NEWRULE, flags: NLM_F_CREATE | NLM_F_APPEND, table: NFTA_RULE_TABLE)
            writer.attribute(Int(NFTA_RULE_CHAIN.rawValue), chain)
            writer.append(padding: bytes)
        case .deleteChain(let name):
            begin(NFT_MSG_DELCHAIN, table: NFTA_CHAIN_TABLE)
            writer.attribute(Int(NFTA_CHAIN_NAME.rawValue), name)
        }
        writer.endMessage()
        changeCount += 1
    }

    /// Writes the end mark.
    mutating func finish() {
        lastSequence &+= 1
        mark(NFNL_MSG_BATCH_END)
        writer.endMessage()
    }

    private mutating func mark(_ type: CInt) {
        writer.beginMessage(type: UInt16(type), flags: UInt16(NLM_F_REQUEST), sequence: lastSequence)
        writer.append(UInt8(AF_UNSPEC))
        writer.append(UInt8(NFNETLINK_V0))
        writer.append(UInt16(NFNL_SUBSYS_NFTABLES).bigEndian)
    }

    /// Begins a message about the own table; the table's name is the first attribute of each.
    mutating func begin(
        _ type: nf_tables_msg_types, flags: CInt = 0, table: some RawRepresentable<UInt32>
    ) {
        lastSequence &+= 1
        owners.append(changeCount)
        writer.beginNftables(type, family: Self.family, flags: flags, sequence: lastSequence)
        writer.attribute(Int(table.rawValue), Ruleset.tableName)
    }

    /// Begins a message about a rule, or a place for one, in anybody's table; ``end()`` must follow.
    mutating func begin(
        _ type: nf_tables_msg_types, flags: CInt = 0, family: UInt8, table: ForeignName, chain: ForeignName
    ) {
        lastSequence &+= 1
        owners.append(changeCount)
        writer.beginNftables(type, family: family, flags: flags, sequence: lastSequence)
        writer.attribute(Int(NFTA_RULE_TABLE.rawValue), table)
        writer.attribute(Int(NFTA_RULE_CHAIN.rawValue), chain)
    }

    /// Writes a number of eight bytes.
    mutating func attribute(_ type: some RawRepresentable<UInt32>, _ value: UInt64) {
        writer.attribute(Int(type.rawValue), withUnsafeBytes(of: value.bigEndian) { Array($0) })
    }

    /// Writes what a rule does.
    mutating func append(payload bytes: Snapshot.RuleBytes) { writer.append(padding: bytes) }

    /// Ends a message.
    mutating func end() {
        writer.endMessage()
        changeCount += 1
    }

    private mutating func append(_ object: Snapshot.StatefulObject) {
        writer.attribute(Int(NFTA_OBJ_NAME.rawValue), object.name)
        writer.attribute(Int(NFTA_OBJ_TYPE.rawValue), bigEndian: object.content.type)
    }

    private mutating func append(_ name: String, _ base: BaseChain?) {
        writer.attribute(Int(NFTA_CHAIN_NAME.rawValue), name)
        guard let base else { return }
        writer.nest(Int(NFTA_CHAIN_HOOK.rawValue)) {
            $0.attribute(Int(NFTA_HOOK_HOOKNUM.rawValue), bigEndian: base.hook)
            $0.attribute(Int(NFTA_HOOK_PRIORITY.rawValue), bigEndian: UInt32(bitPattern: base.priority))
        }
        writer.attribute(Int(NFTA_CHAIN_POLICY.rawValue), bigEndian: base.policy)
        writer.attribute(Int(NFTA_CHAIN_TYPE.rawValue), base.type)
    }

    /// The set's size and fields, as far as it has them.
    private mutating func append(descriptionOf shape: Snapshot.SetShape) {
        guard shape.size > 0 || !shape.fieldLengths.isEmpty else { return }
        writer.nest(Int(NFTA_SET_DESC.rawValue)) {
            if shape.size > 0 { $0.attribute(Int(NFTA_SET_DESC_SIZE.rawValue), bigEndian: shape.size) }
            guard !shape.fieldLengths.isEmpty else { return }
            $0.nest(Int(NFTA_SET_DESC_CONCAT.rawValue)) {
                for length in shape.fieldLengths {
                    $0.nest(Int(NFTA_LIST_ELEM.rawValue)) {
                        $0.attribute(Int(NFTA_SET_FIELD_LEN.rawValue), bigEndian: length)
                    }
                }
            }
        }
    }

    private mutating func append(_ name: String, _ shape: Snapshot.SetShape) {
        writer.attribute(Int(NFTA_SET_NAME.rawValue), name)
        writer.attribute(Int(NFTA_SET_FLAGS.rawValue), bigEndian: shape.flags)
        writer.attribute(Int(NFTA_SET_KEY_TYPE.rawValue), bigEndian: shape.keyType)
        writer.attribute(Int(NFTA_SET_KEY_LEN.rawValue), bigEndian: shape.keyLength)
        writer.attribute(Int(NFTA_SET_ID.rawValue), bigEndian: nextSetID)
        nextSetID += 1
        if shape.flags & UInt32(NFT_SET_MAP.rawValue) != 0 {
            writer.attribute(Int(NFTA_SET_DATA_TYPE.rawValue), bigEndian: shape.dataType)
            writer.attribute(Int(NFTA_SET_DATA_LEN.rawValue), bigEndian: shape.dataLength)
        }
        append(descriptionOf: shape)
        if shape.timeout > 0 { attribute(NFTA_SET_TIMEOUT, shape.timeout) }
        if shape.countsPackets {
            writer.nest(Int(NFTA_SET_EXPR.rawValue)) {
                $0.attribute(Int(NFTA_EXPR_NAME.rawValue), "counter")
                $0.nest(Int(NFTA_EXPR_DATA.rawValue)) { _ in }
            }
        }
        let inHostOrder = [Snapshot.SetShape.interfaceNameType, Snapshot.SetShape.interfaceIndexType]
        if inHostOrder.contains(shape.keyType) {
            // NFTNL_UDATA_SET_KEYBYTEORDER, 4 bytes, host order (1): without it nft prints "" and wrong numbers.
            // NFTNL_UDATA_SET_DATA_INTERVAL, the same: nft prints one address for the network without it.
            let isDataInterval = shape.elementType?.isDataInterval == true
            writer.attribute(
                Int(NFTA_SET_USERDATA.rawValue),
                [0, 4, 1, 0, 0, 0] + (isDataInterval ? [6, 4, 1, 0, 0, 0] : []))
        }
    }
}
