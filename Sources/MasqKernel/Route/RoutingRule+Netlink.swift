// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

extension MessageWriter {
    /// Writes a request about a rule of masqd's.
    mutating func write(_ rule: RoutingRule, _ type: Int, flags: CInt, _ sequence: UInt32) {
        beginMessage(
            type: UInt16(type), flags: UInt16(NLM_F_REQUEST | NLM_F_ACK) | UInt16(flags), sequence: sequence)
        // struct fib_rule_hdr: family, prefix lengths, TOS; table, two reserved bytes, action; flags 4 bytes.
        let isLookUp = rule.action != .unreachable
        let action = isLookUp ? FR_ACT_TO_TBL : FR_ACT_UNREACHABLE
        append(padding: [rule.family.rawValue, 0, 0, 0, 0, 0, 0, UInt8(action), 0, 0, 0, 0])
        attribute(FRA_PRIORITY, native: rule.priority)
        attribute(FRA_PROTOCOL, [RoutingState.ownProtocol])
        if let mark = rule.mark {
            attribute(FRA_FWMARK, native: mark.value)
            attribute(FRA_FWMASK, native: mark.mask)
        }
        if let name = rule.outInterface { attribute(FRA_OIFNAME, name) }
        if case .lookUp(let table, let withoutDefault) = rule.action {
            attribute(FRA_TABLE, native: table)
            if withoutDefault { attribute(FRA_SUPPRESS_PREFIXLEN, native: 0) }
        }
        endMessage()
    }
}

extension RoutingRule {
    /// Reads one of masqd's of a listing (RTM_NEWRULE); nothing where it is another's.
    init?(own message: NetlinkMessage) {
        let payload = message.payload
        guard payload.count >= 12, let family = AddressFamily(rawValue: payload[0]) else { return nil }
        var values: [Int: UInt32] = [:]
        var name: InterfaceName?
        var owner: UInt8 = 0
        for attribute in message.attributes(after: 12) {
            switch Int(attribute.type) {
            case FRA_OIFNAME: name = InterfaceName(attribute.bytes)
            case FRA_PROTOCOL: owner = attribute.bytes.first ?? 0
            case let type: values[type] = attribute.native32
            }
        }
        guard owner == RoutingState.ownProtocol else { return nil }
        let mark = values[FRA_FWMARK].map { Mark(value: $0, mask: values[FRA_FWMASK] ?? .max) }
        let isUnreachable = payload[7] == UInt8(FR_ACT_UNREACHABLE)
        let table = values[FRA_TABLE] ?? UInt32(payload[4])
        self.init(
            family: family, priority: values[FRA_PRIORITY] ?? 0, mark: mark, outInterface: name,
            isUnreachable
                ? .unreachable : .lookUp(table: table, withoutDefault: values[FRA_SUPPRESS_PREFIXLEN] == 0))
    }
}
