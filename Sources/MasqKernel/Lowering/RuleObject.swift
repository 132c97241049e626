// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// The sole owner of one libnftnl rule, on the way from or to its bytes.
struct RuleObject: ~Copyable {
    private let rule: OpaquePointer

    init() { rule = allocated(nftnl_rule_alloc(), "a rule") }

    deinit { nftnl_rule_free(rule) }

    /// Reads the rule of a message of the kernel's; nothing where libnftnl does not understand it.
    init?(parsing message: NetlinkMessage) {
        self.init()
        guard let header = message.bytes.baseAddress?.assumingMemoryBound(to: nlmsghdr.self),
            nftnl_rule_nlmsg_parse(header, rule) == 0
        else { return nil }
        dropAnsweredAttributes()
    }

    /// Takes away the attributes that the kernel answers and does not take: the flags, 0, of an `exthdr` that writes
    /// (`nft_exthdr_tcp_set_init` in net/netfilter/nft_exthdr.c), and the timeout, 0, of a `dynset` for a set that has none
    /// (`nft_dynset_init` in net/netfilter/nft_dynset.c), as one with a `connlimit` is.
    ///
    /// libnftnl can't unset an expression's attribute, nor put one in the middle of a rule: so all are added again.
    private borrowing func dropAnsweredAttributes() {
        var expressions: [OpaquePointer] = []
        let iterator = allocated(nftnl_expr_iter_create(rule), "an iterator")
        while let expression = nftnl_expr_iter_next(iterator) { expressions.append(expression) }
        nftnl_expr_iter_destroy(iterator)
        guard expressions.contains(where: { Self.writesOption($0) || Self.connectionLimit($0) != nil }) else {
            return
        }
        for expression in expressions {
            nftnl_rule_del_expr(expression)
            if Self.writesOption(expression) {
                add("exthdr") { Self.copyOption(expression, into: &$0) }
            } else if let limit = Self.connectionLimit(expression) {
                add("dynset") { Self.copyRecord(expression, limit, into: &$0) }
            } else {
                nftnl_rule_add_expr(rule, expression)
                continue
            }
            nftnl_expr_free(expression)
        }
    }

    private static func copyOption(_ expression: OpaquePointer, into copy: inout Expression) {
        for attribute in [
            NFTNL_EXPR_EXTHDR_SREG, NFTNL_EXPR_EXTHDR_OFFSET, NFTNL_EXPR_EXTHDR_LEN, NFTNL_EXPR_EXTHDR_OP,
        ] {
            copy.set(attribute, nftnl_expr_get_u32(expression, UInt16(attribute)))
        }
        copy.set8(NFTNL_EXPR_EXTHDR_TYPE, nftnl_expr_get_u8(expression, UInt16(NFTNL_EXPR_EXTHDR_TYPE)))
    }

    private static func copyRecord(
        _ expression: OpaquePointer, _ limit: OpaquePointer, into copy: inout Expression
    ) {
        for attribute in [NFTNL_EXPR_DYNSET_SREG_KEY, NFTNL_EXPR_DYNSET_OP, NFTNL_EXPR_DYNSET_FLAGS] {
            copy.set(attribute, nftnl_expr_get_u32(expression, UInt16(attribute)))
        }
        let set = nftnl_expr_get_str(expression, UInt16(NFTNL_EXPR_DYNSET_SET_NAME))
        copy.set(NFTNL_EXPR_DYNSET_SET_NAME, set.map { String(cString: $0) } ?? "")
        copy.setNested(NFTNL_EXPR_DYNSET_EXPR, "connlimit") {
            for attribute in [NFTNL_EXPR_CONNLIMIT_COUNT, NFTNL_EXPR_CONNLIMIT_FLAGS] {
                $0.set(attribute, nftnl_expr_get_u32(limit, UInt16(attribute)))
            }
        }
    }

    private static func writesOption(_ expression: OpaquePointer) -> Bool {
        name(of: expression) == "exthdr" && nftnl_expr_is_set(expression, UInt16(NFTNL_EXPR_EXTHDR_SREG))
    }

    /// The `connlimit` of a `dynset`.
    private static func connectionLimit(_ expression: OpaquePointer) -> OpaquePointer? {
        guard name(of: expression) == "dynset",
            nftnl_expr_is_set(expression, UInt16(NFTNL_EXPR_DYNSET_EXPR))
        else { return nil }
        var length: UInt32 = 0
        guard let nested = nftnl_expr_get(expression, UInt16(NFTNL_EXPR_DYNSET_EXPR), &length) else {
            return nil
        }
        let limit = OpaquePointer(nested)
        return name(of: limit) == "connlimit" ? limit : nil
    }

    private static func name(of expression: OpaquePointer) -> String? {
        nftnl_expr_get_str(expression, UInt16(NFTNL_EXPR_NAME)).map { String(cString: $0) }
    }

    /// The name of the chain that a rule of the kernel's is in.
    var chain: String {
        nftnl_rule_get_str(rule, UInt16(NFTNL_RULE_CHAIN.rawValue)).map { String(cString: $0) } ?? ""
    }

    /// Makes an expression, which the rule owns once `set` returned.
    borrowing func add(_ name: String, _ set: (inout Expression) -> Void) {
        let pointer = allocated(nftnl_expr_alloc(name), "an expression \(name)")
        var expression = Expression(pointer: pointer)
        set(&expression)
        nftnl_rule_add_expr(rule, pointer)
    }

    /// Sets the comment that listings show.
    borrowing func setComment(_ comment: String) {
        let buffer = allocated(nftnl_udata_buf_alloc(UInt32(NFT_USERDATA_MAXLEN)), "a comment")
        defer { nftnl_udata_buf_free(buffer) }
        nftnl_udata_put_strz(buffer, UInt8(NFTNL_UDATA_RULE_COMMENT.rawValue), comment)
        nftnl_rule_set_data(
            rule, UInt16(NFTNL_RULE_USERDATA.rawValue), nftnl_udata_buf_data(buffer),
            nftnl_udata_buf_len(buffer))
    }

    /// The attributes that say what the rule does: not where it is and who holds it.
    consuming func payload() -> Snapshot.RuleBytes {
        for attribute in [
            NFTNL_RULE_TABLE, NFTNL_RULE_CHAIN, NFTNL_RULE_HANDLE, NFTNL_RULE_POSITION, NFTNL_RULE_ID,
        ] {
            nftnl_rule_unset(rule, UInt16(attribute.rawValue))
        }
        return withUnsafeTemporaryAllocation(byteCount: 65536, alignment: 16) { buffer in
            func build() -> Int {
                guard let header = mnl_nlmsg_put_header(buffer.baseAddress) else { return 0 }
                nftnl_rule_nlmsg_build_payload(header, rule)
                return Int(header.pointee.nlmsg_len)
            }
            // libmnl leaves the padding of attributes as it finds it, and bytes are what is compared. How many there are
            // is known afterwards, and to clear all 64 KiB takes longer than to write a rule twice.
            let length = build()
            UnsafeMutableRawBufferPointer(rebasing: buffer[..<length])
                .initializeMemory(as: UInt8.self, repeating: 0)
            return Array(buffer[NetlinkMessage.headerLength..<build()])
        }
    }
}

/// One expression of a rule, while its attributes are being set.
struct Expression {
    fileprivate let pointer: OpaquePointer

    /// Sets a number; libnftnl knows how wide the attribute is.
    mutating func set(_ attribute: Int, _ value: some BinaryInteger) {
        nftnl_expr_set_u32(pointer, UInt16(attribute), UInt32(truncatingIfNeeded: value))
    }

    /// Sets a number of one byte.
    mutating func set8(_ attribute: Int, _ value: UInt8) {
        nftnl_expr_set_u8(pointer, UInt16(attribute), value)
    }

    /// Sets a number of two bytes.
    mutating func set16(_ attribute: Int, _ value: UInt16) {
        nftnl_expr_set_u16(pointer, UInt16(attribute), value)
    }

    /// Sets a number of eight bytes.
    mutating func set64(_ attribute: Int, _ value: UInt64) {
        nftnl_expr_set_u64(pointer, UInt16(attribute), value)
    }

    /// Sets a name.
    mutating func set(_ attribute: Int, _ name: String) {
        nftnl_expr_set_str(pointer, UInt16(attribute), name)
    }

    /// Sets an expression within the expression, which owns it once `set` returned.
    mutating func setNested(_ attribute: Int, _ name: String, _ set: (inout Expression) -> Void) {
        let nested = allocated(nftnl_expr_alloc(name), "an expression \(name)")
        var expression = Expression(pointer: nested)
        set(&expression)
        nftnl_expr_set(pointer, UInt16(attribute), UnsafeRawPointer(nested), 0)
    }

    /// Sets the bytes of a value to compare with or to load.
    mutating func set(_ attribute: Int, bytes: [UInt8]) {
        bytes.withUnsafeBytes {
            _ = nftnl_expr_set(pointer, UInt16(attribute), $0.baseAddress, UInt32($0.count))
        }
    }
}
