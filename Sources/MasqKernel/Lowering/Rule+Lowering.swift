// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

// Every default that the kernel answers is written, so that a rule comes back byte for byte.

extension Rule {
    /// The rule as libnftnl's expressions, in bytes.
    public func lowered() -> Snapshot.RuleBytes {
        let rule = RuleObject()
        var family: AddressFamily?
        for match in matches { match.lower(into: rule, &family) }
        if let counter {
            // counter name "masquerade_1"
            rule.refer(to: counter, type: NFT_OBJECT_COUNTER)
        }
        action.lower(into: rule, &family)
        rule.setComment(comment)
        return rule.payload()
    }
}

extension Rule.Match {
    /// - Parameter known: the family that the matches before this one have made sure of, as `nft` keeps it too.
    func lower(into rule: borrowing RuleObject, _ known: inout AddressFamily?) {
        switch self {
        case .interface(let direction, .name(let name)):
            // oifname "ppp0": the whole field of IFNAMSIZ bytes
            rule.loadInterfaceName(direction)
            rule.compare(interfaceNameKey(name))
        case .interface(let direction, .prefix(let prefix)):
            // oifname "ppp*": as many bytes as the prefix has
            rule.loadInterfaceName(direction)
            rule.compare(prefix.bytes)
        case .interfaceIn(let direction, let set):
            // iifname @set
            rule.loadInterfaceName(direction)
            rule.lookUp(set)
        case .outputIndexIn(let set):
            // oif @set
            rule.loadMeta(NFT_META_OIF)
            rule.lookUp(set)
        case .outputIndexNotIn(let set):
            // oif != @set
            rule.loadMeta(NFT_META_OIF)
            rule.lookUp(set, isInverted: true)
        case .network(let side, let network):
            // ip saddr 192.168.0.0/16
            if known != network.family { rule.require(network.family) }
            known = network.family
            rule.require(network, side)
        case .address(let family, let side, let set):
            if known != family { rule.require(family) }
            known = family
            rule.loadAddress(family, side)
            rule.lookUp(set)
        case .addressNot(let family, let side, let set):
            // ip saddr != @set
            if known != family { rule.require(family) }
            known = family
            rule.loadAddress(family, side)
            rule.lookUp(set, isInverted: true)
        case .exceeds(let limit, let key, let set):
            // update @set { ip saddr limit rate over 50/second burst 100 packets }
            key.load(into: rule, &known)
            rule.record(in: set, limit)
        case .uncounted(let key, let set):
            // ip6 saddr & ffff:ffff:ffff:ffff:: != @set
            key.load(into: rule, &known)
            rule.lookUp(set, isInverted: true)
        case .within(let rate):
            // limit rate 10/minute burst 20 packets
            rule.add("limit") { $0.set(rate, flags: 0) }
        case .interfacePairIn(let set):
            // iifname . oifname @set
            rule.loadInterfaceName(.input)
            rule.loadMeta(NFT_META_OIFNAME, into: NFT_REG_2)
            rule.lookUp(set)
        case .serviceIn(let family, let side, let set):
            // ip daddr . meta l4proto . th dport @permitted
            if known != family { rule.require(family) }
            known = family
            rule.lookUpService(family, side, set)
        case .family(let family):
            // meta nfproto ipv4
            rule.require(family)
            known = family
        case .transport(let transport):
            // meta l4proto tcp
            rule.require(transport)
        case .echoRequestOverIPv6:
            // icmpv6 type echo-request: the first byte behind the IPv6 header
            if known != .ipv6 { rule.require(.ipv6) }
            known = .ipv6
            rule.require(.icmpv6)
            rule.loadTransportHeader(at: 0, length: 1)
            rule.compare([UInt8(ICMPV6_ECHO_REQUEST)])
        case .destinationPort(let transport, let port):
            // tcp dport 21
            rule.require(transport)
            rule.loadPort(.destination)
            rule.compare(bytes(of: port.bigEndian))
        case .otherDestinationPort(let transport, let port):
            // udp dport != 53
            rule.require(transport)
            rule.loadPort(.destination)
            rule.compare(bytes(of: port.bigEndian), NFT_CMP_NEQ)
        case .sourceTranslated:
            // ct status snat
            rule.testConnection(NFT_CT_STATUS, bits: IPS_SRC_NAT.rawValue, areSet: true)
        case .sourceTranslatedAssured:
            // ct status & (assured | snat) == (assured | snat)
            rule.testConnection(NFT_CT_STATUS, allBits: IPS_SRC_NAT.rawValue | IPS_ASSURED.rawValue)
        case .destinationTranslated:
            // ct status dnat
            rule.testConnection(NFT_CT_STATUS, bits: IPS_DST_NAT.rawValue, areSet: true)
        case .unconfirmed:
            // ct status & confirmed == 0
            rule.testConnection(NFT_CT_STATUS, bits: IPS_CONFIRMED.rawValue, areSet: false)
        case .confirmed:
            // ct status confirmed
            rule.testConnection(NFT_CT_STATUS, bits: IPS_CONFIRMED.rawValue, areSet: true)
        case .replyDirection:
            // ct direction reply
            rule.loadConnection(NFT_CT_DIRECTION)
            rule.compare([UInt8(IP_CT_DIR_REPLY.rawValue)])
        case .originalDirection:
            // ct direction original
            rule.loadConnection(NFT_CT_DIRECTION)
            rule.compare([UInt8(IP_CT_DIR_ORIGINAL.rawValue)])
        case .connectionMark(let mask, let value):
            // ct mark & 0x000000f0 == 0x00000020
            rule.loadConnection(NFT_CT_MARK)
            rule.mask(bytes(of: mask))
            rule.compare(bytes(of: value))
        case .state(let states):
            // ct state established,related
            rule.testConnection(NFT_CT_STATE, bits: states.rawValue, areSet: true)
        case .synchronizes:
            // tcp flags syn: the flags are byte 13 of struct tcphdr, SYN is the second lowest bit
            rule.require(.tcp)
            rule.loadTransportHeader(at: 13, length: 1)
            rule.mask([0x02])
            rule.compare([0], NFT_CMP_NEQ)
        case .leavesThroughIPsec:
            // rt ipsec exists
            rule.add("rt") {
                $0.set(NFTNL_EXPR_RT_KEY, NFT_RT_XFRM.rawValue)
                $0.set(NFTNL_EXPR_RT_DREG, NFT_REG_1.rawValue)
            }
            rule.compare([1])
        case .cameThroughIPsec:
            // meta ipsec exists
            rule.loadMeta(NFT_META_SECPATH)
            rule.compare([1])
        case .cameInClear:
            // meta ipsec missing
            rule.loadMeta(NFT_META_SECPATH)
            rule.compare([0])
        case .sourceForeignToOutInterface:
            // fib saddr . oif type != local
            rule.requireNotLocal(NFTA_FIB_F_SADDR.rawValue | NFTA_FIB_F_OIF.rawValue)
        case .destinationNotLocal:
            // fib daddr type != local
            rule.requireNotLocal(NFTA_FIB_F_DADDR.rawValue)
        case .sourceBehindOtherInterface:
            // fib saddr . iif oif missing
            rule.askRoutes(
                NFT_FIB_RESULT_OIF,
                NFTA_FIB_F_SADDR.rawValue | NFTA_FIB_F_IIF.rawValue | NFTA_FIB_F_PRESENT.rawValue)
            rule.compare(bytes(of: UInt32(0)))
        }
    }
}

extension Rule.ClientKey {
    fileprivate func load(into rule: borrowing RuleObject, _ known: inout AddressFamily?) {
        if known != family { rule.require(family) }
        known = family
        rule.loadAddress(family, .source)
        if let mask { rule.mask(mask.networkOrder) }
    }
}

extension Rule.Action {
    func lower(into rule: borrowing RuleObject, _ known: inout AddressFamily?) {
        switch self {
        case .accept: rule.decide(NF_ACCEPT)
        case .drop: rule.decide(NF_DROP)
        case .jump(let chain): rule.decide(NFT_JUMP.rawValue, chain: chain)
        case .raise(let alarm):
            // quota name "leak_alarm"
            rule.refer(to: alarm, type: NFT_OBJECT_QUOTA)
        case .log(let target, let prefix):
            // log prefix "masqd drop: spoofed source: " group 5
            rule.add("log") {
                $0.set(NFTNL_EXPR_LOG_PREFIX, prefix)
                switch target {
                case .kernel: $0.set(NFTNL_EXPR_LOG_LEVEL, NFT_LOGLEVEL_WARNING.rawValue)
                case .group(let group): $0.set16(NFTNL_EXPR_LOG_GROUP, group)
                }
            }
        case .offload(let flowtable):
            // flow add @fastpath
            rule.add("flow_offload") { $0.set(Int(NFTNL_EXPR_FLOW_TABLE_NAME), flowtable) }
        case .help(let helper):
            // ct helper set "helper_ftp"
            rule.refer(to: helper, type: NFT_OBJECT_CT_HELPER)
        case .expire(let timeout):
            // ct timeout set "timeout_udp"
            rule.refer(to: timeout, type: NFT_OBJECT_CT_TIMEOUT)
        case .clampSegmentSize(let size): size.lower(into: rule)
        case .markConnection(let mask, let value):
            // ct mark set ct mark & 0xffffff0f | 0x00000020
            rule.loadConnection(NFT_CT_MARK)
            rule.mask(bytes(of: ~mask), flipping: bytes(of: value))
            rule.add("ct") {
                $0.set(NFTNL_EXPR_CT_KEY, NFT_CT_MARK.rawValue)
                $0.set(NFTNL_EXPR_CT_SREG, NFT_REG_1.rawValue)
            }
        case .markPacket(let mask, let value):
            // meta mark set meta mark & 0xffffff1f | 0x00000020
            rule.changeMark(keeping: ~mask, flipping: value)
        case .dispatch(let direction, let map):
            // oifname vmap @outward
            rule.loadInterfaceName(direction)
            rule.lookUp(map, into: NFT_REG_VERDICT)
        case .record(let family, let side, let set):
            // update @clients_sent { ip saddr } accept
            if known != family { rule.require(family) }
            rule.loadAddress(family, side)
            rule.record(in: set)
            rule.decide(NF_ACCEPT)
        case .count(let family, let side, let set):
            // ip daddr . meta l4proto . th dport @forwards_received
            if known != family { rule.require(family) }
            rule.lookUpService(family, side, set)
        case .dispatchDestination(let family, let map):
            // ip daddr vmap @reflection
            if known != family { rule.require(family) }
            rule.loadAddress(family, .destination)
            rule.lookUp(map, into: NFT_REG_VERDICT)
        case .translateDestination(let family, let key, let map):
            key.lower(into: rule, family, isFamilyKnown: known == family)
            rule.lookUp(map, into: NFT_REG_1)
            // The map holds an address and a port behind it, each from the start of a register.
            let port = (family == .ipv4 ? NFT_REG32_01 : NFT_REG_2).rawValue
            rule.translate(
                NFT_NAT_DNAT, family, (NFT_REG_1.rawValue, NFT_REG_1.rawValue), ports: (port, port),
                flags: UInt32(NF_NAT_RANGE_MAP_IPS))
        case .mark(let bits):
            // meta mark set meta mark | 0x1000 accept
            rule.changeMark(keeping: ~bits, flipping: bits)
            rule.decide(NF_ACCEPT)
        case .unmark(let bits):
            // meta mark set meta mark & 0xffffefff
            rule.changeMark(keeping: ~bits, flipping: 0)
        case .masquerade(let options): options.lowerMasquerade(into: rule)
        case .sourceNAT(let target, let options): options.lowerSourceNAT(to: target, into: rule)
        case .sourceNATByInterface(let map):
            // snat ip6 prefix to oifname map @snat_1_prefixes: the map fills two registers
            rule.loadInterfaceName(.output)
            rule.lookUp(map, into: NFT_REG_1)
            rule.translate(
                NFT_NAT_SNAT, .ipv6, (NFT_REG_1.rawValue, NFT_REG_2.rawValue),
                flags: UInt32(NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_NETMAP))
        case .destinationNAT(let target):
            // dnat ip prefix to 192.168.1.0/24
            var registers = Registers()
            rule.translate(
                NFT_NAT_DNAT, target.family, rule.load(target, &registers), flags: target.kernelFlags)
        }
    }
}

extension Rule.ForwardKey {
    func lower(into rule: borrowing RuleObject, _ family: AddressFamily, isFamilyKnown: Bool) {
        switch self {
        case .port:
            // meta l4proto . th dport
            rule.loadMeta(NFT_META_L4PROTO)
            rule.loadPort(.destination, into: NFT_REG32_01)
        case .sourceAndPort(let transport):
            // ip saddr . tcp dport
            if !isFamilyKnown { rule.require(family) }
            rule.require(transport)
            rule.loadAddress(family, .source)
            rule.loadPort(.destination, into: family == .ipv4 ? NFT_REG32_01 : NFT_REG_2)
        }
    }
}
