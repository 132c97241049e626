// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

extension NATOptions {
    func lowerMasquerade(into rule: borrowing RuleObject) {
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
    func lowerSourceNAT(to target: NATTarget, into rule: borrowing RuleObject) {
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
    var kernelFlags: UInt32 {
        switch self {
        case .pool: UInt32(NF_NAT_RANGE_MAP_IPS)
        case .network: UInt32(NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_NETMAP)
        }
    }
}

/// Registers of 16 bytes, taken one after the other as nft does.
struct Registers {
    private var number = NFT_REG_VERDICT.rawValue

    mutating func next() -> UInt32 {
        number += 1
        return number
    }
}

extension RuleObject {
    /// The `nat` expression, with the registers of both ends of addresses and ports.
    borrowing func translate(
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

    borrowing func load(_ ports: ClosedRange<UInt16>, _ registers: inout Registers) -> (
        UInt32, UInt32
    ) {
        let low = load(bytes(of: ports.lowerBound.bigEndian), &registers)
        // A single port is both ends.
        return (low, ports.count == 1 ? low : load(bytes(of: ports.upperBound.bigEndian), &registers))
    }

    borrowing func load(_ target: NATTarget, _ registers: inout Registers) -> (UInt32, UInt32) {
        let first = load(target.first.networkOrder, &registers)
        // A single address is both ends; not so the network of a single address.
        if case .pool = target, target.first == target.last { return (first, first) }
        return (first, load(target.last.networkOrder, &registers))
    }
}
