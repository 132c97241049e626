// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc

/// A socket for questions to the kernel, each with a number of its own, and the buffer that the answers are read into.
struct NetlinkConversation: ~Copyable {
    let socket: NetlinkSocket
    /// Larger than any datagram of a listing (32 KiB, `netlink_dump` in net/netlink/af_netlink.c).
    let buffer: UnsafeMutableRawBufferPointer
    /// The number of the last message sent; a batch of several raises it by as many.
    var lastSequence: UInt32 = 0

    /// Opens the socket in the calling thread's network namespace.
    ///
    /// - Parameters:
    ///   - bus: `NETLINK_ROUTE`, `NETLINK_NETFILTER`, …
    ///   - name: what errors call it.
    ///   - prepare: sets the socket's options.
    /// - Throws: ``NetlinkError``: `EPROTONOSUPPORT` where the kernel has no such bus.
    init(
        bus: CInt, name: String, prepare: (borrowing NetlinkSocket) -> Void = { _ in }
    ) throws(NetlinkError) {
        socket = try NetlinkSocket(bus: bus, name: name)
        prepare(socket)
        buffer = .allocate(byteCount: 65536, alignment: 16)
    }

    deinit { buffer.deallocate() }

    /// The next sequence number, never 0: that stands for messages that nobody asked for.
    mutating func nextSequence() -> UInt32 {
        lastSequence = lastSequence == .max ? 1 : lastSequence + 1
        return lastSequence
    }

    /// Asks one question, and hands every message of the answer to the caller, to the end of a listing.
    ///
    /// - Parameters:
    ///   - object: what is asked about, as errors call it.
    ///   - question: begins a message with the sequence number, and writes all of it but the end.
    ///   - handle: reads a message of the answer, which is valid until it returns.
    /// - Throws: ``NetlinkError`` with operation `.dump`; `EINTR` when somebody changed what was being listed.
    mutating func ask(
        _ object: String, _ question: (inout MessageWriter, _ sequence: UInt32) -> Void,
        _ handle: (NetlinkMessage) -> Void
    ) throws(NetlinkError) {
        let sequence = nextSequence()
        var request = MessageWriter(capacity: 512)
        question(&request, sequence)
        request.endMessage()
        try socket.send(request.bytes)
        do {
            try readAnswer(sequence, object, handle)
        } catch {
            socket.discard(into: buffer)
            throw error
        }
    }

    private func readAnswer(
        _ sequence: UInt32, _ object: String, _ handle: (NetlinkMessage) -> Void
    ) throws(NetlinkError) {
        var wasInterrupted = false
        while let messages = try socket.receive(into: buffer, waiting: true) {
            for message in messages where message.sequence == sequence {
                wasInterrupted = wasInterrupted || message.flags & UInt16(NLM_F_DUMP_INTR) != 0
                if let code = message.errorCode ?? message.endCode {
                    if wasInterrupted { throw NetlinkError(.dump, code: EINTR, object: object) }
                    if code != 0 { throw NetlinkError(.dump, code: code, object: object) }
                    return
                }
                handle(message)
                // A question about one object has an answer of one message, and no end mark.
                if message.flags & UInt16(NLM_F_MULTI) == 0 { return }
            }
        }
    }
}

/// Begins again what others disturb by changing something meanwhile; the last attempt's error counts.
func retrying<Answer>(
    attempts: Int = 20, _ attempt: () throws(NetlinkError) -> Answer
) throws(NetlinkError) -> Answer {
    for _ in 1..<attempts {
        do { return try attempt() } catch  where error.isTransient { continue }
    }
    return try attempt()
}
