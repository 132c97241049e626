// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

extension PolicyRule {
    /// Reads a rule of a listing (RTM_NEWRULE).
    ///
    /// What this version does not know of a rule is a condition that it cannot answer, whatever the kernel adds.
    init?(_ message: NetlinkMessage) {
        // struct fib_rule_hdr: family, prefix lengths of destination and source, TOS; table, two reserved bytes, action;
        // flags 4 bytes.
        let payload = message.payload
        guard message.type == UInt16(RTM_NEWRULE), payload.count >= 12,
            let family = AddressFamily(rawValue: payload[0])
        else { return nil }
        self.init(priority: 0, .other)
        var table = UInt32(payload[4])
        var mark = RoutingRule.Mark(value: 0, mask: 0)
        var hasMask = false
        var isRestricted = false
        for attribute in message.attributes(after: 12) {
            switch Int(attribute.type) {
            case FRA_PRIORITY: priority = attribute.native32
            case FRA_TABLE: table = attribute.native32
            case FRA_DST: destination = attribute.network(family, prefixLength: payload[1])
            case FRA_SRC: source = attribute.network(family, prefixLength: payload[2])
            case FRA_IIFNAME: inInterface = InterfaceName(attribute.bytes)
            case FRA_FWMARK: mark.value = attribute.native32
            case FRA_FWMASK: (mark.mask, hasMask) = (attribute.native32, true)
            case FRA_PROTOCOL: isOwn = attribute.bytes.first == RoutingState.ownProtocol
            case FRA_IP_PROTO: transport = attribute.bytes.first ?? 0
            case FRA_SPORT_RANGE: sourcePorts = attribute.ports
            case FRA_DPORT_RANGE: destinationPorts = attribute.ports
            case FRA_L3MDEV: isForVRF = attribute.bytes.first != 0
            // -1: not restricted.
            case FRA_SUPPRESS_PREFIXLEN, FRA_SUPPRESS_IFGROUP:
                isRestricted = isRestricted || attribute.native32 != .max
            // What is forwarded is bound to no link; in a VRF the kernel knows better.
            case FRA_OIFNAME: hasOutInterface = true
            // FRA_FLOW: a realm.
            case FRA_GOTO, FRA_FLOW, FRA_PAD: break
            // struct fib_rule_uid_range. For what is forwarded the kernel asks with user 0 (`sock_net_uid`).
            case FRA_UID_RANGE:
                if attribute.native32 == 0 { unknownCondition = "uidrange" } else { isForSockets = true }
            case FRA_TUN_ID: if attribute.bytes.contains(where: { $0 != 0 }) { unknownCondition = "tun_id" }
            case Later.dscp:
                typeOfService = (attribute.bytes.first ?? 0) << 2
                if typeOfService == 0 { unknownCondition = "dscp 0" }
            // Without a mask the kernel tells that all bits count.
            case Later.sourcePortMask where attribute.bytes.allSatisfy { $0 == 0xff }: break
            case Later.destinationPortMask where attribute.bytes.allSatisfy { $0 == 0xff }: break
            case Later.dscpMask where attribute.bytes.first == 0x3f: break
            case let type: unknownCondition = "attribute \(type)"
            }
        }
        if payload[3] != 0 { typeOfService = payload[3] }
        if !hasMask, mark.value != 0 { mark.mask = .max }
        if mark.mask != 0 { self.mark = mark }
        isInverted = message.isInverted
        switch Int(payload[7]) {
        case FR_ACT_TO_TBL: action = .lookUp(table: table, isRestricted: isRestricted)
        case FR_ACT_GOTO: action = .goTo
        default: action = .other
        }
    }

    /// What the headers of Debian 12 end before: `FRA_DSCP` of Linux 6.13, and masks of 6.15.
    private enum Later {
        static let dscp = 25
        static let sourcePortMask = 28
        static let destinationPortMask = 29
        static let dscpMask = 30
    }
}

extension NetlinkMessage {
    /// Whether a rule is for what its conditions do not hold for (`FIB_RULE_INVERT`).
    fileprivate var isInverted: Bool {
        payload.loadUnaligned(fromByteOffset: 8, as: UInt32.self) & UInt32(FIB_RULE_INVERT) != 0
    }
}

extension Attribute {
    /// `struct fib_rule_port_range`: two ports in the machine's order; none where it is for any port.
    fileprivate var ports: ClosedRange<UInt16>? {
        guard bytes.count >= 4 else { return nil }
        let first = bytes.loadUnaligned(as: UInt16.self)
        let last = bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self)
        return first <= last && last != 0 ? first...last : nil
    }

    fileprivate func network(_ family: AddressFamily, prefixLength: UInt8) -> IPNetwork? {
        guard let address = IPAddress(networkOrder: bytes), address.family == family,
            Int(prefixLength) <= family.bitCount
        else { return nil }
        return IPNetwork(containing: address, prefixLength: Int(prefixLength))
    }
}
