// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import MasqCore

extension Snapshot {
    /// Reads one rule of a listing (NFT_MSG_NEWRULE): the chain that it is in, and what it does.
    static func rule(_ message: NetlinkMessage) -> (chain: String, bytes: RuleBytes) {
        if let rule = RuleObject(parsing: message) {
            let chain = rule.chain
            return (chain, rule.payload())
        }
        // An expression that this libnftnl does not know is in no rule of ours, whatever its bytes are.
        return (message.attributes(after: 4).string(NFTA_RULE_CHAIN.rawValue), Array(message.payload))
    }
}

extension Snapshot.ChainState {
    /// Reads what a listing says about a chain (NFT_MSG_NEWCHAIN); its rules are another listing.
    init(_ attributes: Attributes) {
        // Without a policy the kernel lets pass (`nf_tables_addchain` in net/netfilter/nf_tables_api.c).
        var base = BaseChain(type: "", hook: .max, priority: 0, policy: UInt32(NF_ACCEPT))
        var isBase = false
        for attribute in attributes {
            switch UInt32(attribute.type) {
            case NFTA_CHAIN_TYPE.rawValue: base.type = attribute.string
            case NFTA_CHAIN_POLICY.rawValue: base.policy = attribute.bigEndian32
            case NFTA_CHAIN_HOOK.rawValue:
                isBase = true
                base.read(hook: attribute)
            default: break
            }
        }
        self.init(base: isBase ? base : nil, rules: [])
    }
}

extension BaseChain {
    /// Reads where a chain is attached (NFTA_CHAIN_HOOK).
    mutating func read(hook attribute: Attribute) {
        for part in attribute.nested {
            switch UInt32(part.type) {
            case NFTA_HOOK_HOOKNUM.rawValue: hook = part.bigEndian32
            case NFTA_HOOK_PRIORITY.rawValue: priority = Int32(bitPattern: part.bigEndian32)
            default: break
            }
        }
    }
}

extension Snapshot.SetShape {
    /// Reads what a listing says about a set (NFT_MSG_NEWSET).
    init(_ attributes: Attributes) {
        self.init(
            flags: attributes.number(NFTA_SET_FLAGS.rawValue) ?? 0,
            keyType: attributes.number(NFTA_SET_KEY_TYPE.rawValue) ?? 0,
            keyLength: attributes.number(NFTA_SET_KEY_LEN.rawValue) ?? 0,
            dataType: attributes.number(NFTA_SET_DATA_TYPE.rawValue) ?? 0)
        let description = attributes.first { $0.type == UInt16(NFTA_SET_DESC.rawValue) }
        size = description?.nested.number(NFTA_SET_DESC_SIZE.rawValue) ?? 0
        let fields = description?.nested.first { $0.type == UInt16(NFTA_SET_DESC_CONCAT.rawValue) }
        if let fields {
            fieldLengths = fields.nested.map { $0.nested.number(NFTA_SET_FIELD_LEN.rawValue) ?? 0 }
        }
        // What the kernel says of a verdict's length is about its own memory.
        if dataType != UInt32(NFT_DATA_VERDICT.rawValue) {
            dataLength = attributes.number(NFTA_SET_DATA_LEN.rawValue) ?? 0
        }
        if let timeout = attributes.first(where: { $0.type == UInt16(NFTA_SET_TIMEOUT.rawValue) }) {
            self.timeout = timeout.bytes.reduce(0) { $0 << 8 | UInt64($1) }
        }
        let expression = attributes.first { $0.type == UInt16(NFTA_SET_EXPR.rawValue) }
        countsPackets = expression?.nested.string(NFTA_EXPR_NAME.rawValue) == "counter"
    }
}
