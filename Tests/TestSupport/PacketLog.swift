// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc

/// What the rules of a network namespace log to a group of nfnetlink_log, read as ulogd reads it.
public final class PacketLog {
    private let descriptor: CInt
    private var told: [Entry] = []

    /// What the log says of one packet.
    public struct Entry: Equatable, Sendable, CustomStringConvertible {
        /// The text that the rule gave it.
        public let prefix: String
        /// The packet's source.
        public let source: String
        /// The packet's destination.
        public let destination: String

        /// What is expected.
        public init(prefix: String, source: String, destination: String) {
            self.prefix = prefix
            self.source = source
            self.destination = destination
        }

        /// As the kernel's log would write it.
        public var description: String { "\(prefix)SRC=\(source) DST=\(destination)" }
    }

    /// Begins to listen; the kernel lets one process listen to a group.
    public init(group: UInt16, in namespace: NetworkNamespace) throws {
        // NETLINK_NETFILTER
        descriptor = try namespace.run {
            try check(
                socket(AF_NETLINK, CInt(SOCK_RAW.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 12), "netlink")
        }
        // linux/netfilter/nfnetlink_log.h: NFULA_CFG_CMD with NFULNL_CFG_CMD_BIND, NFULA_CFG_MODE with a range of 128 bytes
        // and NFULNL_COPY_PACKET, NFULA_CFG_QTHRESH of 1: nothing is held back to be told together.
        let attributes: [[UInt8]] = [
            [5, 0, 1, 0, 1, 0, 0, 0], [10, 0, 2, 0, 0, 0, 0, 128, 2, 0, 0, 0], [8, 0, 5, 0, 0, 0, 0, 1],
        ]
        let body = [0, 0, UInt8(group >> 8), UInt8(group & 0xff)] + attributes.joined()
        // NFNL_SUBSYS_ULOG and NFULNL_MSG_CONFIG; NLM_F_REQUEST and NLM_F_ACK; sequence number and port ID.
        let header = UInt32(16 + body.count).bytes + [1, 4, 5, 0] + [UInt8](repeating: 0, count: 8)
        try check(send(descriptor, header + body, 16 + body.count, 0), "nfnetlink_log")
        guard let answer = try receive(flags: 0) else { throw Failure("no answer from nfnetlink_log") }
        // struct nlmsgerr: the negated errno comes first.
        let code = CInt(bitPattern: answer.number(at: 16))
        guard answer.type == 2, code == 0 else { throw Failure("listen to group \(group)", code: -code) }
    }

    deinit { close(descriptor) }

    /// All that was told so far.
    public func entries() throws -> [Entry] {
        while let bytes = try receive(flags: CInt(MSG_DONTWAIT)) { try read(bytes) }
        return told
    }

    /// One or more messages; nil where there is none.
    private func receive(flags: CInt) throws -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = recv(descriptor, &buffer, buffer.count, flags)
        if count < 0, errno == EAGAIN { return nil }
        return Array(buffer[..<Int(try check(count, "nfnetlink_log"))])
    }

    private func read(_ bytes: [UInt8]) throws {
        var start = 0
        while start + 16 <= bytes.count {
            let length = Int(bytes.number(at: start))
            let message = Array(bytes[start..<min(start + max(length, 16), bytes.count)])
            // NFNL_SUBSYS_ULOG and NFULNL_MSG_PACKET; a batch ends with NLMSG_DONE.
            if message.type == 0x400 { told.append(try entry(message)) }
            start += (max(length, 16) + 3) & ~3
        }
    }

    private func entry(_ message: [UInt8]) throws -> Entry {
        var prefix = ""
        var packet: [UInt8] = []
        // Behind struct nlmsghdr and struct nfgenmsg.
        var start = 20
        while start + 4 <= message.count {
            let length = Int(message[start]) | Int(message[start + 1]) << 8
            let value = message[(start + 4)..<min(start + max(length, 4), message.count)]
            switch message[start + 2] {
            case 10: prefix = String(decoding: value.prefix { $0 != 0 }, as: UTF8.self)  // NFULA_PREFIX
            case 9: packet = Array(value)  // NFULA_PAYLOAD
            default: break
            }
            start += (max(length, 4) + 3) & ~3
        }
        // struct iphdr and struct ipv6hdr: where the source is, and the destination behind it.
        let isIPv6 = packet.first.map { $0 >> 4 == 6 } ?? false
        let (offset, size, family) = isIPv6 ? (8, 16, AF_INET6) : (12, 4, AF_INET)
        guard packet.count >= offset + 2 * size else { throw Failure("a packet of \(packet.count) bytes") }
        func text(_ offset: Int) -> String {
            var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
            inet_ntop(family, Array(packet[offset..<offset + size]), &text, socklen_t(text.count))
            return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
        return Entry(prefix: prefix, source: text(offset), destination: text(offset + size))
    }
}

extension [UInt8] {
    /// A message's type.
    fileprivate var type: UInt16 { UInt16(self[4]) | UInt16(self[5]) << 8 }

    /// Four bytes in the machine's order.
    fileprivate func number(at offset: Int) -> UInt32 {
        withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
    }
}

extension UInt32 {
    fileprivate var bytes: [UInt8] { Swift.withUnsafeBytes(of: self) { Array($0) } }
}
