// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// The one nfnetlink socket that masqd lists and changes its table through, open for the daemon's life.
///
/// Closing it would wait 8 to 25 ms for deleted objects to be freed: that is what command-line tools pay each time.
public struct NftablesConnection: ~Copyable {
    var conversation: NetlinkConversation
    private var sendingCapacity = 0

    /// Opens the socket in the calling thread's network namespace.
    ///
    /// - Throws: ``NetlinkError``: `EPROTONOSUPPORT` where the kernel has no nfnetlink.
    public init() throws(NetlinkError) {
        conversation = try NetlinkConversation(bus: CInt(NETLINK_NETFILTER), name: "nf_tables") {
            // Errors of a large batch: one message for each of its messages at the worst.
            $0.reserve(receiving: 1 << 20)
        }
    }

    /// The port ID by which the kernel names these commits in events.
    var portID: UInt32 { conversation.socket.portID }

    /// The ruleset's generation, which every commit of anybody in this network namespace raises by one.
    ///
    /// - Throws: ``NetlinkError``.
    public mutating func generation() throws(NetlinkError) -> UInt32 {
        var generation: UInt32 = 0
        try list(NFT_MSG_GETGEN, "table generation", family: UInt8(AF_UNSPEC), flags: 0) { message in
            generation = message.attributes(after: 4).number(NFTA_GEN_ID.rawValue) ?? generation
        }
        return generation
    }

    /// Sends a request, and hands each message of the answer to the caller.
    ///
    /// - Parameter write: adds what is asked for.
    mutating func list(
        _ type: nf_tables_msg_types, _ object: String, family: UInt8, flags: CInt = NLM_F_DUMP,
        _ write: (inout MessageWriter) -> Void = { _ in }, _ handle: (NetlinkMessage) -> Void
    ) throws(NetlinkError) {
        let question = { (request: inout MessageWriter, sequence: UInt32) in
            request.beginNftables(type, family: family, flags: flags, sequence: sequence)
            write(&request)
        }
        try conversation.ask(object, question, handle)
    }

    /// Changes the table: all of it, or nothing.
    ///
    /// - Parameter generation: the one that the changes were computed from; `ERESTART` if it is not the kernel's.
    /// - Returns: the generation after the commit.
    /// - Throws: ``NetlinkError`` with the first object that the kernel refused.
    public mutating func commit(
        _ changes: [Change], generation: UInt32
    ) throws(NetlinkError) -> UInt32 {
        let batch = batch(of: changes, generation: generation)
        return try commit(batch, changes, generation: generation)
    }

    /// Asks the kernel whether it would take some changes, as `nft --check` does; nothing of them takes effect.
    ///
    /// A batch without an end mark is gone through and dropped (`nfnetlink_rcv_batch` in net/netfilter/nfnetlink.c). For
    /// what it does not know the kernel may load a module.
    ///
    /// - Throws: ``NetlinkError`` about the change that it would refuse.
    mutating func check(_ changes: [Change], generation: UInt32) throws(NetlinkError) {
        var batch = Batch(firstSequence: conversation.nextSequence(), generation: generation, for: changes)
        for change in changes { batch.append(change) }
        conversation.lastSequence = batch.lastSequence
        _ = try commit(batch, changes, generation: generation)
    }

    /// Writes the batch of some changes.
    mutating func batch(of changes: [Change], generation: UInt32) -> Batch {
        var batch = Batch(firstSequence: conversation.nextSequence(), generation: generation, for: changes)
        for change in changes { batch.append(change) }
        finish(&batch)
        return batch
    }

    /// Writes a batch's end.
    mutating func finish(_ batch: inout Batch) {
        batch.finish()
        conversation.lastSequence = batch.lastSequence
    }

    /// Sends a batch that was written before.
    mutating func commit(
        _ batch: borrowing Batch, _ changes: [Change], generation: UInt32
    ) throws(NetlinkError) -> UInt32 {
        do {
            try commit(batch)
        } catch {
            let change = error.owner.map { changes[$0] }
            throw error.named(change.map { "\($0)" } ?? "the batch", lacking: change?.feature)
        }
        // 0 is never a generation: the kernel skips it (`nf_tables_commit` in net/netfilter/nf_tables_api.c).
        return generation == .max ? 1 : generation + 1
    }

    /// Why a batch did not take effect, and the index of the change that the kernel refused, where there is one.
    struct Refusal: Error {
        let error: NetlinkError
        let owner: Int?

        /// The error about an object that is called so, where the kernel refused one.
        ///
        /// - Parameter feature: what the kernel lacks if it does not know the object.
        func named(_ object: String, lacking feature: KernelFeature? = nil) -> NetlinkError {
            guard error.operation == .commit else { return error }
            let isUnknown = [ENOENT, EOPNOTSUPP].contains(error.code)
            return NetlinkError(
                .commit, code: error.code, object: object, missing: isUnknown ? feature : nil)
        }
    }

    /// Sends a batch, of whatever changes.
    mutating func commit(_ batch: borrowing Batch) throws(Refusal) {
        if batch.bytes.count > sendingCapacity {
            sendingCapacity = batch.bytes.count + 65536
            conversation.socket.reserve(sending: sendingCapacity)
        }
        do {
            try conversation.socket.send(batch.bytes)
        } catch {
            let object = "a batch of \(batch.bytes.count) bytes"
            throw Refusal(error: NetlinkError(.send, code: error.code, object: object), owner: nil)
        }
        try readVerdict(of: batch)
    }

    /// The commit is over when `send` returns; what there is to say about it is waiting to be read.
    ///
    /// Only the first error counts: after it the kernel also blames messages that are innocent.
    private func readVerdict(of batch: borrowing Batch) throws(Refusal) {
        var failure: Refusal?
        var overflow: NetlinkError?
        while true {
            do throws(NetlinkError) {
                guard
                    let messages = try conversation.socket.receive(into: conversation.buffer, waiting: false)
                else { break }
                for message in messages where batch.contains(message.sequence) {
                    guard let code = message.errorCode, code != 0, failure == nil else { continue }
                    let error = NetlinkError(.commit, code: code, object: "the batch")
                    failure = Refusal(error: error, owner: batch.owner(of: message.sequence))
                }
            } catch {
                guard error.code == ENOBUFS else { throw Refusal(error: error, owner: nil) }
                // More errors than the buffer holds; the first ones are still in it.
                overflow = error
            }
        }
        if let failure { throw failure }
        if let overflow { throw Refusal(error: overflow, owner: nil) }
    }
}
