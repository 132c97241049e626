// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// Turns the expressions of one rule into conditions and an effect, register by register.
///
/// What it does not know becomes a condition or an effect of which nothing is known, never nothing.
struct ForeignRuleParser {
    private let scope: ForeignScope?
    /// A condition does not hold for any of the traffic in question.
    private var isRuledOut = false
    private var conditions: [PendingCondition] = []
    private var effect: PendingEffect = .known(.none)
    private var handle: UInt64 = 0
    private var markChange: ForeignRuleset.MarkChange?
    private var registers = ForeignRegisters()
    /// The family that the packet has where the rule has come to this point.
    private var packetFamily: AddressFamily?

    /// A condition, or one whose set is not read yet.
    private enum PendingCondition {
        case known(ForeignRuleset.Condition)
        /// Behind a change of the mark a condition that does not hold leaves the mark changed.
        case lookup(ForeignName, ForeignValue, isNegated: Bool, isBehindMark: Bool)
    }

    private enum PendingEffect {
        case known(ForeignRuleset.Effect)
        case map(ForeignName, ForeignValue)
    }

    /// Begins a rule of a table of that family; with a scope, one that rules its traffic out is not read to its end.
    init(family: ForeignRuleset.Family, for scope: ForeignScope?) {
        self.scope = scope
        switch family {
        case .ip: packetFamily = .ipv4
        case .ip6: packetFamily = .ipv6
        case .inet: packetFamily = nil
        }
    }

    /// What became of reading a rule.
    enum Reading {
        /// It is another chain's.
        case stray
        /// It can't apply.
        case ruledOut
        /// It may apply.
        case complete
    }

    /// Reads a rule's attributes.
    mutating func read(_ attributes: Attributes, of chain: ForeignName) -> Reading {
        for attribute in attributes {
            switch UInt32(attribute.type) {
            case NFTA_RULE_CHAIN.rawValue:
                guard attribute.bytes.prefix(while: { $0 != 0 }).elementsEqual(chain.bytes) else {
                    return .stray
                }
            case NFTA_RULE_HANDLE.rawValue: handle = attribute.bigEndian64
            case NFTA_RULE_EXPRESSIONS.rawValue:
                for element in attribute.nested {
                    read(element.nested)
                    if isRuledOut { return .ruledOut }
                }
            default: break
            }
        }
        return .complete
    }

    /// The sets that have to be read before ``rule(_:number:)``.
    var setNames: [ForeignName] {
        var names: [ForeignName] = []
        for case .lookup(let name, _, _, _) in conditions { names.append(name) }
        if case .map(let name, _) = effect { names.append(name) }
        return names
    }

    /// The verdict map, where the rule has one.
    var mapName: ForeignName? {
        if case .map(let name, _) = effect { name } else { nil }
    }

    /// Forgets what is only needed until the rule is read.
    mutating func close() { registers = ForeignRegisters() }

    /// The rule, with the sets that could be read.
    func rule(_ sets: [ForeignName: ForeignSet], number: Int) -> ForeignRuleset.Rule {
        let conditions = conditions.map { condition -> ForeignRuleset.Condition in
            switch condition {
            case .known(let condition): return condition
            case .lookup(let name, let value, let isNegated, let isBehindMark):
                let isIn = sets[name]?.condition(on: value) ?? .unknown
                let condition = isNegated ? .not(isIn) : isIn
                return isBehindMark ? .any([condition, .unknown]) : condition
            }
        }
        let known: ForeignRuleset.Effect =
            switch effect {
            case .known(let effect): effect
            case .map(let name, let value): sets[name]?.choice(by: value) ?? .unknown
            }
        return .init(conditions, known, markChange: markChange, handle: handle, number: number)
    }

    /// One expression: its name, and what the name makes of the rest.
    private mutating func read(_ expression: Attributes) {
        var name = ""
        var data = Attributes(.init(start: nil, count: 0))
        for attribute in expression {
            switch UInt32(attribute.type) {
            case NFTA_EXPR_NAME.rawValue: name = attribute.string
            case NFTA_EXPR_DATA.rawValue: data = attribute.nested
            default: break
            }
        }
        // What stands behind a verdict is never reached.
        guard case .known(.none) = effect else { return }
        read(name, data)
    }

    private mutating func read(_ name: String, _ data: Attributes) {
        switch name {
        case "meta": readMeta(data)
        case "ct": readConntrack(data)
        case "payload": readPayload(data)
        case "bitwise": readBitwise(data)
        case "cmp": readComparison(data)
        case "lookup": readLookup(data)
        case "immediate": readImmediate(data)
        case "match": readMatch(data)
        case "target": readTarget(data)
        case "counter", "log", "notrack", "last", "dup", "flow_offload": break
        case "objref":
            // NFT_OBJECT_COUNTER, _CT_HELPER and _CT_TIMEOUT let everything pass; a quota or a limit does not.
            if ![1, 3, 7].contains(data.number(NFTA_OBJREF_IMM_TYPE.rawValue) ?? 0) { doubt() }
        case "reject": conclude(.reject)
        case "masq": conclude(.translate("masquerade"))
        case "nat":
            let isSource = data.number(NFTA_NAT_TYPE.rawValue) == NFT_NAT_SNAT.rawValue
            conclude(isSource ? .translate("snat") : .unknown)
        case "redir", "queue", "tproxy", "synproxy", "fwd": conclude(.unknown)
        default: doubt()
        }
    }

    /// An expression that nothing is known of may end the rule here, and may have written to any register.
    private mutating func doubt() {
        conditions.append(.known(.unknown))
        registers = ForeignRegisters()
    }

    private mutating func require(_ condition: ForeignRuleset.Condition) {
        guard markChange == nil else {
            // Where it does not hold, the mark was changed all the same.
            return conditions.append(.known(.any([condition, .unknown])))
        }
        conditions.append(.known(condition))
        isRuledOut = scope?.rulesOut(condition) ?? false
    }

    private mutating func conclude(_ new: ForeignRuleset.Effect) { effect = .known(new) }

    /// The mark changes, once more or for the first time.
    private mutating func change(_ new: ForeignRuleset.MarkChange) {
        markChange = markChange == nil ? new : .anything
        registers.forgetMark()
    }

    private mutating func readMeta(_ data: Attributes) {
        guard let register = data.number(NFTA_META_DREG.rawValue) else {
            // meta mark set …
            if data.number(NFTA_META_KEY.rawValue) == NFT_META_MARK.rawValue {
                change(registers.mark(in: data.number(NFTA_META_SREG.rawValue) ?? 0) ?? .anything)
            }
            return
        }
        let field: ForeignValue.Field? =
            switch data.number(NFTA_META_KEY.rawValue) {
            case NFT_META_IIFNAME.rawValue: .linkName(.source)
            case NFT_META_OIFNAME.rawValue: .linkName(.destination)
            case NFT_META_IIF.rawValue: .linkIndex(.source)
            case NFT_META_OIF.rawValue: .linkIndex(.destination)
            case NFT_META_L4PROTO.rawValue: .transport
            case NFT_META_NFPROTO.rawValue: .family
            case NFT_META_PROTOCOL.rawValue: .etherType
            // The rule's own new mark is not the one that came in.
            case NFT_META_MARK.rawValue where markChange == nil: .mark
            default: nil
            }
        registers.load(field, into: register)
    }

    private mutating func readConntrack(_ data: Attributes) {
        // ct mark set … and the like change nothing that is modelled.
        guard let register = data.number(NFTA_CT_DREG.rawValue) else { return }
        let field: ForeignValue.Field? =
            switch data.number(NFTA_CT_KEY.rawValue) {
            case NFT_CT_STATE.rawValue: .state
            case NFT_CT_STATUS.rawValue: .status
            case NFT_CT_DIRECTION.rawValue where data.number(NFTA_CT_DIRECTION.rawValue) == nil: .direction
            default: nil
            }
        registers.load(field, into: register)
    }

    private mutating func readPayload(_ data: Attributes) {
        guard let register = data.number(NFTA_PAYLOAD_DREG.rawValue) else {
            // Changing an address would make all that follows another packet.
            return doubt()
        }
        let isNetworkHeader = data.number(NFTA_PAYLOAD_BASE.rawValue) == NFT_PAYLOAD_NETWORK_HEADER.rawValue
        let offset = data.number(NFTA_PAYLOAD_OFFSET.rawValue) ?? 0
        let length = data.number(NFTA_PAYLOAD_LEN.rawValue) ?? 0
        let field: ForeignValue.Field? =
            switch (packetFamily, offset) {
            // struct iphdr: protocol at 9, addresses at 12 and 16; struct ipv6hdr: addresses at 8 and 24.
            case (.ipv4?, 9) where length == 1: .transport
            case (.ipv4?, 12) where length <= 4: .address(.source, .ipv4)
            case (.ipv4?, 16) where length <= 4: .address(.destination, .ipv4)
            case (.ipv6?, 8) where length <= 16: .address(.source, .ipv6)
            case (.ipv6?, 24) where length <= 16: .address(.destination, .ipv6)
            default: nil
            }
        registers.load(isNetworkHeader ? field : nil, into: register)
    }

    private mutating func readBitwise(_ data: Attributes) {
        // NFT_BITWISE_BOOL, the operation of kernels that know no other.
        let isMask = (data.number(NFTA_BITWISE_OP.rawValue) ?? 0) == 0
        registers.mask(
            from: data.number(NFTA_BITWISE_SREG.rawValue) ?? 0,
            into: data.number(NFTA_BITWISE_DREG.rawValue) ?? 0,
            keeping: isMask ? data.bytes(NFTA_BITWISE_MASK.rawValue) : nil,
            flipping: data.bytes(NFTA_BITWISE_XOR.rawValue) ?? [])
    }

    private mutating func readComparison(_ data: Attributes) {
        let value = registers.value(in: data.number(NFTA_CMP_SREG.rawValue) ?? 0)
        let operation = data.number(NFTA_CMP_OP.rawValue)
        let isNegated = operation == NFT_CMP_NEQ.rawValue
        guard isNegated || operation == NFT_CMP_EQ.rawValue, let bytes = data.bytes(NFTA_CMP_DATA.rawValue),
            let condition = value?.equals(bytes)
        else {
            conditions.append(.known(.unknown))
            return
        }
        if !isNegated, case .family(let family) = condition { packetFamily = family }
        require(isNegated ? .not(condition) : condition)
    }

    private mutating func readLookup(_ data: Attributes) {
        let value = registers.value(in: data.number(NFTA_LOOKUP_SREG.rawValue) ?? 0)
        let name = data.name(NFTA_LOOKUP_SET.rawValue)
        let isMap = data.number(NFTA_LOOKUP_DREG.rawValue)
        let isNegated = data.number(NFTA_LOOKUP_FLAGS.rawValue) == NFT_LOOKUP_F_INV.rawValue
        if let isMap {
            // NFT_REG_VERDICT: a verdict map; any other loads a value.
            guard isMap == NFT_REG_VERDICT.rawValue else { return doubt() }
            effect = value.map { .map(name, $0) } ?? .known(.unknown)
        } else if let value {
            let isBehindMark = markChange != nil
            conditions.append(.lookup(name, value, isNegated: isNegated, isBehindMark: isBehindMark))
        } else {
            conditions.append(.known(.unknown))
        }
    }

    private mutating func readImmediate(_ data: Attributes) {
        guard let register = data.number(NFTA_IMMEDIATE_DREG.rawValue) else { return doubt() }
        guard register == NFT_REG_VERDICT.rawValue else {
            return registers.load(constant: data.bytes(NFTA_IMMEDIATE_DATA.rawValue), into: register)
        }
        for attribute in data where attribute.type == UInt16(NFTA_IMMEDIATE_DATA.rawValue) {
            for verdict in attribute.nested { conclude(.init(verdict: verdict.nested)) }
        }
    }

    private mutating func readMatch(_ data: Attributes) {
        let name = data.string(NFTA_MATCH_NAME.rawValue)
        let revision = data.number(NFTA_MATCH_REV.rawValue) ?? 0
        let bytes = data.raw(NFTA_MATCH_INFO.rawValue)
        let condition = XtablesMatch.condition(name: name, revision: revision, bytes)
        if let condition { require(condition) }
    }

    private mutating func readTarget(_ data: Attributes) {
        let target = XtablesTarget(
            name: data.string(NFTA_TARGET_NAME.rawValue),
            revision: data.number(NFTA_TARGET_REV.rawValue) ?? 0,
            data.raw(NFTA_TARGET_INFO.rawValue))
        if let new = target.markChange { change(new) }
        if target.effect != .none { conclude(target.effect) }
    }
}
