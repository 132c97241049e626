// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

// The words that rules are made of. Register 1 is the only one needed, but for a range of ports.
extension RuleObject {
    borrowing func loadMeta(_ key: nft_meta_keys, into register: nft_registers = NFT_REG_1) {
        add("meta") {
            $0.set(NFTNL_EXPR_META_KEY, key.rawValue)
            $0.set(NFTNL_EXPR_META_DREG, register.rawValue)
        }
    }

    /// `th dport`: the same place in all protocols that have ports.
    borrowing func loadPort(_ side: Rule.AddressSide, into register: nft_registers = NFT_REG_1) {
        loadTransportHeader(at: side == .source ? 0 : 2, length: 2, into: register)
    }

    /// `@th,0,16`
    /// - Parameters:
    ///   - offset: in bytes from the header's start, as `length` is.
    borrowing func loadTransportHeader(
        at offset: Int, length: Int, into register: nft_registers = NFT_REG_1
    ) {
        loadPayload(NFT_PAYLOAD_TRANSPORT_HEADER, offset, length, into: register)
    }

    private borrowing func loadPayload(
        _ base: nft_payload_bases, _ offset: Int, _ length: Int, into register: nft_registers
    ) {
        add("payload") {
            $0.set(NFTNL_EXPR_PAYLOAD_DREG, register.rawValue)
            $0.set(NFTNL_EXPR_PAYLOAD_BASE, base.rawValue)
            $0.set(NFTNL_EXPR_PAYLOAD_OFFSET, offset)
            $0.set(NFTNL_EXPR_PAYLOAD_LEN, length)
        }
    }

    borrowing func loadInterfaceName(_ direction: Rule.Direction) {
        switch direction {
        case .input: loadMeta(NFT_META_IIFNAME)
        case .inputInVRF: loadMeta(NFT_META_SDIFNAME)
        case .output: loadMeta(NFT_META_OIFNAME)
        }
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

    /// `meta l4proto tcp`
    borrowing func require(_ transport: Rule.TransportProtocol) {
        loadMeta(NFT_META_L4PROTO)
        compare([transport.rawValue])
    }

    /// `ip saddr`, or the first bytes of it.
    borrowing func loadAddress(_ family: AddressFamily, _ side: Rule.AddressSide, byteCount: Int? = nil) {
        // struct iphdr and struct ipv6hdr: the source at 12 or 8, the destination behind it.
        let source = family == .ipv4 ? 12 : 8
        let offset = side == .source ? source : source + family.byteCount
        loadPayload(NFT_PAYLOAD_NETWORK_HEADER, offset, byteCount ?? family.byteCount, into: NFT_REG_1)
    }

    /// `ip saddr 192.168.0.0/16`: of whole bytes only those that the prefix has are loaded, as nft does it.
    borrowing func require(_ network: IPNetwork, _ side: Rule.AddressSide) {
        let bytes = network.address.networkOrder
        let (whole, rest) = network.prefixLength.quotientAndRemainder(dividingBy: 8)
        if rest == 0, whole > 0 {
            loadAddress(network.family, side, byteCount: whole)
            return compare(Array(bytes.prefix(whole)))
        }
        loadAddress(network.family, side)
        mask(bytes.indices.map { $0 < whole ? 0xff : $0 == whole ? ~(0xff >> UInt8(rest)) : 0 })
        compare(bytes)
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
        askRoutes(NFT_FIB_RESULT_ADDRTYPE, flags)
        compare(bytes(of: UInt32(RTN_LOCAL)), NFT_CMP_NEQ)
    }

    /// `fib …`
    borrowing func askRoutes(_ result: nft_fib_result, _ flags: UInt32) {
        add("fib") {
            $0.set(NFTNL_EXPR_FIB_DREG, NFT_REG_1.rawValue)
            $0.set(NFTNL_EXPR_FIB_RESULT, result.rawValue)
            $0.set(NFTNL_EXPR_FIB_FLAGS, flags)
        }
    }

    /// `meta mark set meta mark & 0xffffff1f ^ 0x00000020`
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
                    $0.set(rate, flags: NFT_LIMIT_F_INV.rawValue)
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

    /// `ip daddr . meta l4proto . th dport @set`: the address takes one register of four bytes, or four.
    borrowing func lookUpService(_ family: AddressFamily, _ side: Rule.AddressSide, _ set: String) {
        loadAddress(family, side)
        loadMeta(NFT_META_L4PROTO, into: family == .ipv4 ? NFT_REG32_01 : NFT_REG_2)
        loadPort(side, into: family == .ipv4 ? NFT_REG32_02 : NFT_REG32_05)
        lookUp(set)
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

extension Expression {
    /// The attributes of a `limit`; with NFT_LIMIT_F_INV it holds for what is beyond the rate.
    mutating func set(_ rate: Rate, flags: UInt32) {
        set64(NFTNL_EXPR_LIMIT_RATE, UInt64(rate.count))
        set64(NFTNL_EXPR_LIMIT_UNIT, rate.unit.seconds)
        set(NFTNL_EXPR_LIMIT_BURST, rate.burst)
        set(NFTNL_EXPR_LIMIT_TYPE, NFT_LIMIT_PKTS.rawValue)
        set(NFTNL_EXPR_LIMIT_FLAGS, flags)
    }
}

/// An interface's name as the kernel compares it: padded with NULs to IFNAMSIZ.
func interfaceNameKey(_ name: InterfaceName) -> [UInt8] {
    let bytes = name.bytes
    return bytes + [UInt8](repeating: 0, count: Int(IFNAMSIZ) - bytes.count)
}

func bytes(of value: some BitwiseCopyable) -> [UInt8] {
    withUnsafeBytes(of: value) { Array($0) }
}
