// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

extension Snapshot {
    /// What the kernel should have, in the kernel's own terms.
    public init(lowering ruleset: Ruleset) {
        self.init()
        tableFlags = 0
        objects = ruleset.objects
        flowtables = ruleset.flowtables
        for set in ruleset.sets {
            sets[set.name] = SetState(shape: SetShape(of: set.elements), elements: set.elements)
        }
        for chain in ruleset.chains {
            chains[chain.name] = ChainState(base: chain.base, rules: chain.rules.map { $0.lowered() })
        }
    }
}

extension Snapshot.SetShape {
    // nft's own type numbers (enum datatypes in nftables' include/datatype.h): without them nft can't print a key.
    static let ipv4AddressType: UInt32 = 7
    static let ipv6AddressType: UInt32 = 8
    static let interfaceNameType: UInt32 = 41

    init(of elements: Ruleset.Elements) {
        switch elements {
        case .addresses(let ranges):
            self.init(
                flags: UInt32(NFT_SET_INTERVAL.rawValue),
                keyType: ranges.family == .ipv4 ? Self.ipv4AddressType : Self.ipv6AddressType,
                keyLength: UInt32(ranges.family.byteCount), dataType: 0)
        case .interfaces:
            self.init(flags: 0, keyType: Self.interfaceNameType, keyLength: UInt32(IFNAMSIZ), dataType: 0)
        case .jumps:
            self.init(
                flags: UInt32(NFT_SET_MAP.rawValue), keyType: Self.interfaceNameType,
                keyLength: UInt32(IFNAMSIZ), dataType: UInt32(NFT_DATA_VERDICT.rawValue))
        case .addressJumps(let family, _):
            self.init(
                flags: UInt32(NFT_SET_MAP.rawValue),
                keyType: family == .ipv4 ? Self.ipv4AddressType : Self.ipv6AddressType,
                keyLength: UInt32(family.byteCount), dataType: UInt32(NFT_DATA_VERDICT.rawValue))
        case .entries(let entries):
            self.init(of: entries.type)
        case .recorded(let recording):
            self.init(of: recording.type)
            flags |= UInt32(NFT_SET_EVAL.rawValue)
            if recording.timeout > 0 { flags |= UInt32(NFT_SET_TIMEOUT.rawValue) }
            size = recording.size
            timeout = UInt64(recording.timeout) * 1000
        }
    }

    /// What packets record in it, where masqd makes sets like this one.
    var recording: Recording? {
        guard flags & UInt32(NFT_SET_EVAL.rawValue) != 0, timeout / 1000 <= UInt64(UInt32.max),
            let key = [ElementType.Field](typeNumber: keyType)
        else { return nil }
        let recording = Recording(
            ElementType(key: key, countsPackets: countsPackets), size: size, timeout: UInt32(timeout / 1000))
        return self == Self(of: .recorded(recording)) ? recording : nil
    }

    init(of type: ElementType) {
        var flags = type.data.isEmpty ? 0 : UInt32(NFT_SET_MAP.rawValue)
        if type.isInterval { flags |= UInt32(NFT_SET_INTERVAL.rawValue | NFT_SET_CONCAT.rawValue) }
        self.init(
            flags: flags, keyType: type.key.typeNumber, keyLength: UInt32(type.key.byteCount),
            dataType: type.data.isEmpty ? 0 : type.data.typeNumber)
        dataLength = UInt32(type.dataLength)
        if type.isInterval { fieldLengths = type.key.map { UInt32($0.byteCount) } }
        countsPackets = type.countsPackets
    }

    /// What its elements are, where masqd makes sets like this one.
    var elementType: ElementType? {
        guard let key = [ElementType.Field](typeNumber: keyType) else { return nil }
        let isMap = flags & UInt32(NFT_SET_MAP.rawValue) != 0
        guard let data = isMap ? [ElementType.Field](typeNumber: dataType) : [] else { return nil }
        let isInterval = flags & UInt32(NFT_SET_INTERVAL.rawValue) != 0
        let type = ElementType(
            key: key, data: data, isInterval: isInterval,
            isDataInterval: data.count == 1 && Int(dataLength) == 2 * data.byteCount,
            countsPackets: countsPackets)
        guard key.count > 1 || type.isDataInterval else { return nil }
        return self == Self(of: type) ? type : nil
    }
}

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
    fileprivate func lower(into rule: borrowing RuleObject, _ known: inout AddressFamily?) {
        switch self {
        case .interface(let direction, .name(let name)):
            // oifname "ppp0": the whole field of IFNAMSIZ bytes
            rule.loadInterfaceName(direction)
            rule.compare(interfaceNameKey(name))
        case .interface(let direction, .prefix(let prefix)):
            // oifname "ppp*": as many bytes as the prefix has
            rule.loadInterfaceName(direction)
            rule.compare(Array(prefix.utf8))
        case .interfaceIn(let direction, let set):
            // iifname @set
            rule.loadInterfaceName(direction)
            rule.lookUp(set)
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
        case .exceeds(let limit, let family, let set):
            // update @set { ip saddr limit rate over 50/second burst 100 packets }
            if known != family { rule.require(family) }
            known = family
            rule.loadAddress(family, .source)
            rule.record(in: set, limit)
        case .interfacePairIn(let set):
            // iifname . oifname @set
            rule.loadInterfaceName(.input)
            rule.loadMeta(NFT_META_OIFNAME, into: NFT_REG_2)
            rule.lookUp(set)
        case .family(let family):
            // meta nfproto ipv4
            rule.require(family)
            known = family
        case .transport(let transport):
            // meta l4proto tcp
            rule.loadMeta(NFT_META_L4PROTO)
            rule.compare([transport.rawValue])
        case .echoRequestOverIPv6:
            // icmpv6 type echo-request: the first byte behind the IPv6 header
            if known != .ipv6 { rule.require(.ipv6) }
            known = .ipv6
            Rule.Match.transport(.icmpv6).lower(into: rule, &known)
            rule.add("payload") {
                $0.set(NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1.rawValue)
                $0.set(NFTNL_EXPR_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER.rawValue)
                $0.set(NFTNL_EXPR_PAYLOAD_OFFSET, 0)
                $0.set(NFTNL_EXPR_PAYLOAD_LEN, 1)
            }
            rule.compare([UInt8(ICMPV6_ECHO_REQUEST)])
        case .destinationPort(let transport, let port):
            // tcp dport 21
            rule.loadDestinationPort(transport)
            rule.compare(bytes(of: port.bigEndian))
        case .otherDestinationPort(let transport, let port):
            // udp dport != 53
            rule.loadDestinationPort(transport)
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
            rule.loadMeta(NFT_META_L4PROTO)
            rule.compare([Rule.TransportProtocol.tcp.rawValue])
            rule.add("payload") {
                $0.set(NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1.rawValue)
                $0.set(NFTNL_EXPR_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER.rawValue)
                $0.set(NFTNL_EXPR_PAYLOAD_OFFSET, 13)
                $0.set(NFTNL_EXPR_PAYLOAD_LEN, 1)
            }
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
        }
    }
}

extension Rule.Action {
    fileprivate func lower(into rule: borrowing RuleObject, _ known: inout AddressFamily?) {
        switch self {
        case .accept: rule.decide(NF_ACCEPT)
        case .drop: rule.decide(NF_DROP)
        case .jump(let chain): rule.decide(NFT_JUMP.rawValue, chain: chain)
        case .raise(let alarm):
            // quota name "leak_alarm"
            rule.refer(to: alarm, type: NFT_OBJECT_QUOTA)
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
            rule.loadMeta(NFT_META_MARK)
            rule.mask(bytes(of: ~mask), flipping: bytes(of: value))
            rule.add("meta") {
                $0.set(NFTNL_EXPR_META_KEY, NFT_META_MARK.rawValue)
                $0.set(NFTNL_EXPR_META_SREG, NFT_REG_1.rawValue)
            }
        case .dispatch(let direction, let map):
            // oifname vmap @outward
            rule.loadInterfaceName(direction)
            rule.lookUp(map, into: NFT_REG_VERDICT)
        case .record(let family, let key, let set):
            // update @clients_sent { ip saddr }
            if known != family { rule.require(family) }
            key.lower(into: rule, family)
            rule.record(in: set)
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

extension Rule.RecordKey {
    fileprivate func lower(into rule: borrowing RuleObject, _ family: AddressFamily) {
        switch self {
        case .address(let side): rule.loadAddress(family, side)
        case .endpoint(let side):
            // ip daddr . meta l4proto . th dport: the address takes one register of four bytes, or four
            rule.loadAddress(family, side)
            rule.loadMeta(NFT_META_L4PROTO, into: family == .ipv4 ? NFT_REG32_01 : NFT_REG_2)
            rule.loadPort(side, into: family == .ipv4 ? NFT_REG32_02 : NFT_REG32_05)
        }
    }
}

extension Rule.ForwardKey {
    fileprivate func lower(into rule: borrowing RuleObject, _ family: AddressFamily, isFamilyKnown: Bool) {
        switch self {
        case .port:
            // meta l4proto . th dport
            rule.loadMeta(NFT_META_L4PROTO)
            rule.loadPort(.destination, into: NFT_REG32_01)
        case .sourceAndPort(let transport):
            // ip saddr . tcp dport
            if !isFamilyKnown { rule.require(family) }
            rule.loadMeta(NFT_META_L4PROTO)
            rule.compare([transport.rawValue])
            rule.loadAddress(family, .source)
            rule.loadPort(.destination, into: family == .ipv4 ? NFT_REG32_01 : NFT_REG_2)
        }
    }
}

extension NATOptions {
    fileprivate func lowerMasquerade(into rule: borrowing RuleObject) {
        var registers = Registers()
        var flags = kernelFlags
        guard let ports else {
            // masquerade random,persistent: a FLAGS of 0 is not answered, so it is not written
            rule.add("masq") { if flags != 0 { $0.set(NFTNL_EXPR_MASQ_FLAGS, flags) } }
            return
        }
        // masquerade to :1024-65535
        flags |= UInt32(NF_NAT_RANGE_PROTO_SPECIFIED)
        let (low, high) = rule.load(ports, &registers)
        rule.add("masq") {
            $0.set(NFTNL_EXPR_MASQ_FLAGS, flags)
            $0.set(NFTNL_EXPR_MASQ_REG_PROTO_MIN, low)
            $0.set(NFTNL_EXPR_MASQ_REG_PROTO_MAX, high)
        }
    }

    /// snat ip to 203.0.113.10-203.0.113.12:1024-65535 random
    fileprivate func lowerSourceNAT(to target: NATTarget, into rule: borrowing RuleObject) {
        var registers = Registers()
        let addresses = rule.load(target, &registers)
        let ports = ports.map { rule.load($0, &registers) }
        rule.translate(
            NFT_NAT_SNAT, target.family, addresses, ports: ports, flags: kernelFlags | target.kernelFlags)
    }

    /// `NF_NAT_RANGE_*` of those options that are flags.
    private var kernelFlags: UInt32 {
        var flags: UInt32 = 0
        switch random {
        case .none: break
        case .random: flags |= UInt32(NF_NAT_RANGE_PROTO_RANDOM)
        case .fullyRandom: flags |= UInt32(NF_NAT_RANGE_PROTO_RANDOM_FULLY)
        }
        if persistent { flags |= UInt32(NF_NAT_RANGE_PERSISTENT) }
        return flags
    }
}

extension NATTarget {
    /// `NF_NAT_RANGE_*` of linux/netfilter/nf_nat.h.
    fileprivate var kernelFlags: UInt32 {
        switch self {
        case .pool: UInt32(NF_NAT_RANGE_MAP_IPS)
        case .network: UInt32(NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_NETMAP)
        }
    }
}

/// Registers of 16 bytes, taken one after the other as nft does.
private struct Registers {
    private var number = NFT_REG_VERDICT.rawValue

    mutating func next() -> UInt32 {
        number += 1
        return number
    }
}

extension RuleObject {
    /// The `nat` expression, with the registers of both ends of addresses and ports.
    fileprivate borrowing func translate(
        _ type: nft_nat_types, _ family: AddressFamily, _ addresses: (UInt32, UInt32),
        ports: (UInt32, UInt32)? = nil, flags: UInt32
    ) {
        add("nat") {
            $0.set(NFTNL_EXPR_NAT_TYPE, type.rawValue)
            $0.set(NFTNL_EXPR_NAT_FAMILY, family.rawValue)
            $0.set(NFTNL_EXPR_NAT_REG_ADDR_MIN, addresses.0)
            $0.set(NFTNL_EXPR_NAT_REG_ADDR_MAX, addresses.1)
            if let ports {
                $0.set(NFTNL_EXPR_NAT_REG_PROTO_MIN, ports.0)
                $0.set(NFTNL_EXPR_NAT_REG_PROTO_MAX, ports.1)
            }
            let specified = ports == nil ? 0 : UInt32(NF_NAT_RANGE_PROTO_SPECIFIED)
            $0.set(NFTNL_EXPR_NAT_FLAGS, flags | specified)
        }
    }

    private borrowing func load(_ value: [UInt8], _ registers: inout Registers) -> UInt32 {
        let register = registers.next()
        load(value, into: nft_registers(register))
        return register
    }

    fileprivate borrowing func load(_ ports: ClosedRange<UInt16>, _ registers: inout Registers) -> (
        UInt32, UInt32
    ) {
        let low = load(bytes(of: ports.lowerBound.bigEndian), &registers)
        // A single port is both ends.
        return (low, ports.count == 1 ? low : load(bytes(of: ports.upperBound.bigEndian), &registers))
    }

    fileprivate borrowing func load(_ target: NATTarget, _ registers: inout Registers) -> (UInt32, UInt32) {
        let first = load(target.first.networkOrder, &registers)
        // A single address is both ends; not so the network of a single address.
        if case .pool = target, target.first == target.last { return (first, first) }
        return (first, load(target.last.networkOrder, &registers))
    }
}

// The words that rules are made of. Register 1 is the only one needed, but for a range of ports.
extension RuleObject {
    borrowing func loadMeta(_ key: nft_meta_keys, into register: nft_registers = NFT_REG_1) {
        add("meta") {
            $0.set(NFTNL_EXPR_META_KEY, key.rawValue)
            $0.set(NFTNL_EXPR_META_DREG, register.rawValue)
        }
    }

    /// `th dport`: the same place in all protocols that have ports.
    borrowing func loadPort(_ side: Rule.AddressSide, into register: nft_registers) {
        add("payload") {
            $0.set(NFTNL_EXPR_PAYLOAD_DREG, register.rawValue)
            $0.set(NFTNL_EXPR_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER.rawValue)
            $0.set(NFTNL_EXPR_PAYLOAD_OFFSET, side == .source ? 0 : 2)
            $0.set(NFTNL_EXPR_PAYLOAD_LEN, 2)
        }
    }

    borrowing func loadInterfaceName(_ direction: Rule.Direction) {
        loadMeta(direction == .input ? NFT_META_IIFNAME : NFT_META_OIFNAME)
    }

    borrowing func loadConnection(_ key: nft_ct_keys) {
        add("ct") {
            $0.set(NFTNL_EXPR_CT_KEY, key.rawValue)
            $0.set(NFTNL_EXPR_CT_DREG, NFT_REG_1.rawValue)
        }
    }

    /// In the family inet the protocol comes before an address: `meta nfproto ipv4`.
    borrowing func require(_ family: AddressFamily) {
        loadMeta(NFT_META_NFPROTO)
        compare([family.rawValue])
    }

    /// `ip saddr`
    borrowing func loadAddress(_ family: AddressFamily, _ side: Rule.AddressSide) {
        // struct iphdr and struct ipv6hdr: the source at 12 or 8, the destination behind it.
        let source = family == .ipv4 ? 12 : 8
        add("payload") {
            $0.set(NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1.rawValue)
            $0.set(NFTNL_EXPR_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER.rawValue)
            $0.set(NFTNL_EXPR_PAYLOAD_OFFSET, side == .source ? source : source + family.byteCount)
            $0.set(NFTNL_EXPR_PAYLOAD_LEN, family.byteCount)
        }
    }

    /// The port is at the same place in TCP and UDP: the second two bytes (struct tcphdr, struct udphdr).
    borrowing func loadDestinationPort(_ transport: Rule.TransportProtocol) {
        loadMeta(NFT_META_L4PROTO)
        compare([transport.rawValue])
        add("payload") {
            $0.set(NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1.rawValue)
            $0.set(NFTNL_EXPR_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER.rawValue)
            $0.set(NFTNL_EXPR_PAYLOAD_OFFSET, 2)
            $0.set(NFTNL_EXPR_PAYLOAD_LEN, 2)
        }
    }

    borrowing func compare(_ value: [UInt8], _ operation: nft_cmp_ops = NFT_CMP_EQ) {
        add("cmp") {
            $0.set(NFTNL_EXPR_CMP_SREG, NFT_REG_1.rawValue)
            $0.set(NFTNL_EXPR_CMP_OP, operation.rawValue)
            $0.set(NFTNL_EXPR_CMP_DATA, bytes: value)
        }
    }

    /// Any of the bits is set in a property of the connection, or none is.
    borrowing func testConnection(_ key: nft_ct_keys, bits: UInt32, areSet: Bool) {
        loadConnection(key)
        mask(bytes(of: bits))
        compare(bytes(of: UInt32(0)), areSet ? NFT_CMP_NEQ : NFT_CMP_EQ)
    }

    /// All of the bits are set in a property of the connection.
    borrowing func testConnection(_ key: nft_ct_keys, allBits bits: UInt32) {
        loadConnection(key)
        mask(bytes(of: bits))
        compare(bytes(of: bits))
    }

    /// Keeps these bits of the register, clears the others, and then flips some.
    borrowing func mask(_ bits: [UInt8], flipping flipped: [UInt8]? = nil) {
        add("bitwise") {
            $0.set(NFTNL_EXPR_BITWISE_SREG, NFT_REG_1.rawValue)
            $0.set(NFTNL_EXPR_BITWISE_DREG, NFT_REG_1.rawValue)
            $0.set(NFTNL_EXPR_BITWISE_LEN, bits.count)
            // NFT_BITWISE_BOOL, which newer headers call NFT_BITWISE_MASK_XOR
            $0.set(NFTNL_EXPR_BITWISE_OP, 0)
            $0.set(NFTNL_EXPR_BITWISE_MASK, bytes: bits)
            $0.set(NFTNL_EXPR_BITWISE_XOR, bytes: flipped ?? [UInt8](repeating: 0, count: bits.count))
        }
    }

    /// `fib … type != local`
    borrowing func requireNotLocal(_ flags: UInt32) {
        add("fib") {
            $0.set(NFTNL_EXPR_FIB_DREG, NFT_REG_1.rawValue)
            $0.set(NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE.rawValue)
            $0.set(NFTNL_EXPR_FIB_FLAGS, flags)
        }
        compare(bytes(of: UInt32(RTN_LOCAL)), NFT_CMP_NEQ)
    }

    borrowing func changeMark(keeping kept: UInt32, flipping flipped: UInt32) {
        loadMeta(NFT_META_MARK)
        mask(bytes(of: kept), flipping: bytes(of: flipped))
        add("meta") {
            $0.set(NFTNL_EXPR_META_KEY, NFT_META_MARK.rawValue)
            $0.set(NFTNL_EXPR_META_SREG, NFT_REG_1.rawValue)
        }
    }

    /// meta mark & 0x1000 == 0x1000 counter accept
    borrowing func acceptMarked(_ bits: UInt32) {
        loadMeta(NFT_META_MARK)
        mask(bytes(of: bits))
        compare(bytes(of: bits))
        add("counter") {
            $0.set64(NFTNL_EXPR_CTR_PACKETS, 0)
            $0.set64(NFTNL_EXPR_CTR_BYTES, 0)
        }
        decide(NF_ACCEPT)
    }

    /// `update @set { … }`, with what register 1 holds; or with a limit, which `add` leaves alone where it is.
    borrowing func record(in set: String, _ limit: Rule.ClientLimit? = nil) {
        add("dynset") { dynset in
            dynset.set(NFTNL_EXPR_DYNSET_SREG_KEY, NFT_REG_1.rawValue)
            var operation = NFT_DYNSET_OP_UPDATE
            if case .connections = limit { operation = NFT_DYNSET_OP_ADD }
            dynset.set(NFTNL_EXPR_DYNSET_OP, operation.rawValue)
            dynset.set(NFTNL_EXPR_DYNSET_SET_NAME, set)
            dynset.set(NFTNL_EXPR_DYNSET_FLAGS, 0)
            switch limit {
            case .connections(let count):
                // A set of these has no timeout, and then the kernel takes none, but answers it.
                dynset.setNested(NFTNL_EXPR_DYNSET_EXPR, "connlimit") {
                    $0.set(NFTNL_EXPR_CONNLIMIT_COUNT, count)
                    $0.set(NFTNL_EXPR_CONNLIMIT_FLAGS, NFT_CONNLIMIT_F_INV.rawValue)
                }
            case .newConnections(let rate):
                dynset.set64(NFTNL_EXPR_DYNSET_TIMEOUT, 0)
                dynset.setNested(NFTNL_EXPR_DYNSET_EXPR, "limit") {
                    $0.set64(NFTNL_EXPR_LIMIT_RATE, UInt64(rate.count))
                    $0.set64(NFTNL_EXPR_LIMIT_UNIT, rate.unit.seconds)
                    $0.set(NFTNL_EXPR_LIMIT_BURST, rate.burst)
                    $0.set(NFTNL_EXPR_LIMIT_TYPE, NFT_LIMIT_PKTS.rawValue)
                    $0.set(NFTNL_EXPR_LIMIT_FLAGS, NFT_LIMIT_F_INV.rawValue)
                }
            case nil: dynset.set64(NFTNL_EXPR_DYNSET_TIMEOUT, 0)
            }
        }
    }

    borrowing func lookUp(_ set: String, into register: nft_registers? = nil, isInverted: Bool = false) {
        add("lookup") {
            $0.set(NFTNL_EXPR_LOOKUP_SET, set)
            $0.set(NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1.rawValue)
            if let register { $0.set(NFTNL_EXPR_LOOKUP_DREG, register.rawValue) }
            $0.set(NFTNL_EXPR_LOOKUP_FLAGS, isInverted ? NFT_LOOKUP_F_INV.rawValue : 0)
        }
    }

    borrowing func refer(to object: String, type: CInt) {
        add("objref") {
            $0.set(NFTNL_EXPR_OBJREF_IMM_TYPE, type)
            $0.set(NFTNL_EXPR_OBJREF_IMM_NAME, object)
        }
    }

    borrowing func load(_ value: [UInt8], into register: nft_registers) {
        add("immediate") {
            $0.set(NFTNL_EXPR_IMM_DREG, register.rawValue)
            $0.set(NFTNL_EXPR_IMM_DATA, bytes: value)
        }
    }

    borrowing func decide(_ verdict: some BinaryInteger, chain: String? = nil) {
        add("immediate") {
            $0.set(NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT.rawValue)
            $0.set(NFTNL_EXPR_IMM_VERDICT, UInt32(truncatingIfNeeded: verdict))
            if let chain { $0.set(NFTNL_EXPR_IMM_CHAIN, chain) }
        }
    }
}

/// An interface's name as the kernel compares it: padded with NULs to IFNAMSIZ.
func interfaceNameKey(_ name: String) -> [UInt8] {
    let bytes = Array(name.utf8.prefix(Int(IFNAMSIZ) - 1))
    return bytes + [UInt8](repeating: 0, count: Int(IFNAMSIZ) - bytes.count)
}

private func bytes(of value: some BitwiseCopyable) -> [UInt8] {
    withUnsafeBytes(of: value) { Array($0) }
}
