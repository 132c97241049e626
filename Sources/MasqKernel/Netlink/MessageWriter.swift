// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// A growing buffer that netlink messages are written into, attribute by attribute.
///
/// Large sets go straight into it: as libnftnl objects they would cost 0.9 KB for each element first.
struct MessageWriter: ~Copyable {
    private var storage: UnsafeMutableRawPointer
    private var capacity: Int
    private(set) var count = 0
    private var messageStart = 0

    init(capacity: Int = 4096) {
        self.capacity = capacity
        storage = .allocate(byteCount: capacity, alignment: 16)
    }

    deinit { storage.deallocate() }

    /// Everything written so far; valid until the next write.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: storage, count: count) }

    /// Begins a message; ``endMessage()`` must follow.
    mutating func beginMessage(type: UInt16, flags: UInt16, sequence: UInt32) {
        messageStart = count
        append(UInt32(0))  // the length, written at the end
        append(type)
        append(flags)
        append(sequence)
        append(UInt32(0))  // the port: the kernel fills it in
    }

    /// Writes the message's length into its header.
    mutating func endMessage() {
        let length = UInt32(count - messageStart)
        storage.storeBytes(of: length, toByteOffset: messageStart, as: UInt32.self)
    }

    /// Writes over a value that is there already.
    mutating func overwrite(bigEndian value: UInt32, at offset: Int) {
        storage.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self)
    }

    /// Writes a fixed-size value in the machine's order.
    mutating func append<Value: BitwiseCopyable>(_ value: Value) {
        reserve(MemoryLayout<Value>.size)
        storage.storeBytes(of: value, toByteOffset: count, as: Value.self)
        count += MemoryLayout<Value>.size
    }

    /// Writes bytes and pads them to four.
    mutating func append(padding bytes: some Collection<UInt8>) {
        let length = bytes.count
        reserve(aligned(length))
        (storage + count).initializeMemory(as: UInt8.self, repeating: 0, count: aligned(length))
        UnsafeMutableRawBufferPointer(start: storage + count, count: length).copyBytes(from: bytes)
        count += aligned(length)
    }

    /// Writes an attribute of bytes.
    mutating func attribute(_ type: Int, _ bytes: some Collection<UInt8>) {
        append(UInt16(4 + bytes.count))
        append(UInt16(type))
        append(padding: bytes)
    }

    /// Writes an attribute of a string and its NUL.
    mutating func attribute(_ type: Int, _ string: String) {
        attribute(type, Array(string.utf8) + [0])
    }

    /// Writes an attribute of a name and its NUL.
    mutating func attribute(_ type: Int, _ name: ForeignName) { attribute(type, name.bytes + [0]) }

    /// Writes an attribute of an interface's name and its NUL.
    mutating func attribute(_ type: Int, _ name: InterfaceName) { attribute(type, name.bytes + [0]) }

    /// Writes an attribute of a number in network order.
    mutating func attribute(_ type: Int, bigEndian value: UInt32) {
        append(UInt16(8))
        append(UInt16(type))
        append(value.bigEndian)
    }

    /// Writes an attribute of a number in the machine's order, as rtnetlink takes them.
    mutating func attribute(_ type: Int, native value: UInt32) {
        append(UInt16(8))
        append(UInt16(type))
        append(value)
    }

    /// Writes an attribute that holds others.
    mutating func nest(_ type: Int, _ body: (inout MessageWriter) -> Void) {
        let start = beginNest(type)
        body(&self)
        endNest(start)
    }

    /// Begins an attribute that holds others; the result is what ``endNest(_:)`` needs.
    mutating func beginNest(_ type: Int) -> Int {
        append(UInt16(0))
        append(UInt16(type) | UInt16(NLA_F_NESTED))
        return count - 4
    }

    /// Writes the nest's length, which must not exceed 65535 bytes.
    mutating func endNest(_ start: Int) {
        storage.storeBytes(of: UInt16(count - start), toByteOffset: start, as: UInt16.self)
    }

    private mutating func reserve(_ more: Int) {
        guard count + more > capacity else { return }
        capacity = max(capacity * 2, count + more)
        let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
        larger.copyMemory(from: storage, byteCount: count)
        storage.deallocate()
        storage = larger
    }
}

extension MessageWriter {
    /// Begins a message for nf_tables: the netlink header and `struct nfgenmsg`.
    mutating func beginNftables(_ type: nf_tables_msg_types, family: UInt8, flags: CInt, sequence: UInt32) {
        beginMessage(
            type: UInt16(NFNL_SUBSYS_NFTABLES) << 8 | UInt16(type.rawValue),
            flags: UInt16(NLM_F_REQUEST) | UInt16(flags), sequence: sequence)
        append(family)
        append(UInt8(NFNETLINK_V0))
        append(UInt16(0))
    }
}
