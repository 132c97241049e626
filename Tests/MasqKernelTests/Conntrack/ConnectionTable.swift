// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore
import TestSupport

@testable import MasqKernel

/// Conntrack's table of a namespace, filled without sending a packet.
struct ConnectionTable {
    let namespace: NetworkNamespace

    /// Makes an entry of each flow, answered, with ten minutes to live.
    func fill(_ flows: some Sequence<Flow>) throws {
        let socket = try namespace.run { try NetlinkSocket(bus: CInt(NETLINK_NETFILTER), name: "conntrack") }
        socket.reserve(sending: 1 << 20, receiving: 1 << 20)
        var writer = MessageWriter(capacity: 1 << 17)
        var sequence: UInt32 = 0
        for flow in flows {
            sequence += 1
            writer.appendEntry(flow, sequence: sequence)
            guard writer.bytes.count > 60_000 else { continue }
            try send(writer, over: socket)
            writer = MessageWriter(capacity: 1 << 17)
        }
        if writer.bytes.count > 0 { try send(writer, over: socket) }
    }

    /// The original source ports of all entries, or of those that `conntrack -L` lists with these options: a second
    /// opinion that isn't ours.
    func listing(_ options: String...) throws -> [String] {
        let output = try Command("conntrack", ["-L"] + options).run(in: namespace, limit: .seconds(60))
        return try output.expectSuccess().standardOutput.split(separator: "\n").map(String.init)
    }

    /// How many entries there are.
    func count() throws -> Int {
        Int(try namespace.sysctl("netfilter/nf_conntrack_count")) ?? -1
    }

    /// A refusal is an error message, since nobody asked for acknowledgements.
    private func send(_ writer: borrowing MessageWriter, over socket: borrowing NetlinkSocket) throws {
        try socket.send(writer.bytes)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65536, alignment: 16)
        defer { buffer.deallocate() }
        while let messages = try socket.receive(into: buffer, waiting: false) {
            for message in messages {
                guard let code = message.errorCode, code != 0 else { continue }
                throw NetlinkError(.commit, code: code, object: "connection \(message.sequence)")
            }
        }
    }
}

extension MessageWriter {
    fileprivate mutating func appendEntry(_ flow: Flow, sequence: UInt32) {
        let family = flow.source.family
        let flags = UInt16(NLM_F_REQUEST) | UInt16(NLM_F_CREATE) | UInt16(NLM_F_EXCL)
        beginMessage(
            type: UInt16(NFNL_SUBSYS_CTNETLINK) << 8 | UInt16(IPCTNL_MSG_CT_NEW.rawValue), flags: flags,
            sequence: sequence)
        append(family.rawValue)
        append(UInt8(NFNETLINK_V0))
        append(UInt16(0))
        tuple(
            CTA_TUPLE_ORIG, flow.source, flow.destination, flow.transport,
            flow.sourcePort, flow.destinationPort)
        tuple(
            CTA_TUPLE_REPLY, flow.destination, flow.translatedSource, flow.transport,
            flow.destinationPort, flow.sourcePort)
        attribute(Int(CTA_TIMEOUT.rawValue), bigEndian: 600)
        attribute(Int(CTA_STATUS.rawValue), bigEndian: IPS_CONFIRMED.rawValue | IPS_SEEN_REPLY.rawValue)
        endMessage()
    }

    private mutating func tuple(
        _ type: ctattr_type, _ source: IPAddress, _ destination: IPAddress, _ transport: UInt8,
        _ sourcePort: UInt16, _ destinationPort: UInt16
    ) {
        let isIPv4 = source.family == .ipv4
        nest(Int(type.rawValue)) {
            $0.nest(Int(CTA_TUPLE_IP.rawValue)) {
                $0.attribute(Int((isIPv4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC).rawValue), source.bytes)
                $0.attribute(Int((isIPv4 ? CTA_IP_V4_DST : CTA_IP_V6_DST).rawValue), destination.bytes)
            }
            $0.nest(Int(CTA_TUPLE_PROTO.rawValue)) {
                $0.attribute(Int(CTA_PROTO_NUM.rawValue), [transport])
                $0.attribute(
                    Int(CTA_PROTO_SRC_PORT.rawValue), [UInt8(sourcePort >> 8), UInt8(sourcePort & 255)])
                $0.attribute(
                    Int(CTA_PROTO_DST_PORT.rawValue),
                    [UInt8(destinationPort >> 8), UInt8(destinationPort & 255)])
            }
        }
    }
}

extension IPAddress {
    fileprivate var bytes: [UInt8] {
        withUnsafeBytes(of: value.bigEndian) { Array($0.suffix(family.byteCount)) }
    }
}
