// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// Walks through the conntrack table a piece at a time, and deletes exactly the entries that it is told to.
///
/// The kernel hands out the table as fast as it is read, so memory does not grow with it, and between two pieces the
/// loop is free for whatever else rings.
public struct ConntrackScan: ~Copyable {
    private var listing: NetlinkConversation
    private let deleting: NetlinkSocket
    /// Whether a walk is under way.
    public private(set) var isRunning = false
    /// What the walk under way, or the last one, has found.
    public private(set) var result = Result()
    /// Why the first entry that could not be deleted is still there.
    private var refusal: NetlinkError?

    /// What a walk found.
    public struct Result: Equatable, Sendable {
        /// Entries looked at.
        public var examined = 0
        /// Entries deleted.
        public var deleted = DeletedFlows()
    }

    /// Opens two sockets in the calling thread's network namespace.
    ///
    /// - Throws: ``NetlinkError``.
    public init() throws(NetlinkError) {
        try self.init(
            listing: NetlinkConversation(bus: CInt(NETLINK_NETFILTER), name: "conntrack"),
            deleting: NetlinkSocket(bus: CInt(NETLINK_NETFILTER), name: "conntrack"))
    }

    private init(listing: consuming NetlinkConversation, deleting: consuming NetlinkSocket) {
        self.listing = listing
        self.deleting = deleting
    }

    /// The descriptor that becomes readable when there is a piece to examine.
    public var descriptor: CInt { listing.socket.descriptor }

    /// Whether the network namespace has no connection at all.
    ///
    /// - Throws: ``NetlinkError``; where the kernel has no ctnetlink, too.
    public mutating func isTableEmpty() throws(NetlinkError) -> Bool {
        var request = MessageWriter(capacity: 64)
        request.beginConntrack(
            IPCTNL_MSG_CT_GET_STATS, family: UInt8(AF_UNSPEC), flags: 0, sequence: listing.nextSequence())
        request.endMessage()
        try listing.socket.send(request.bytes)
        // One message, which says that others follow, and none does (`ctnetlink_stat_ct_fill_info`).
        while let messages = try listing.socket.receive(into: listing.buffer, waiting: true) {
            for message in messages where message.sequence == listing.lastSequence {
                if let code = message.errorCode {
                    throw NetlinkError(.dump, code: code, object: "connections")
                }
                let entries = message.attributes(after: 4).first {
                    $0.type == UInt16(CTA_STATS_GLOBAL_ENTRIES.rawValue)
                }
                return entries?.bigEndian32 == 0
            }
        }
        return false
    }

    /// Begins a walk.
    ///
    /// - Throws: ``NetlinkError``; where the kernel has no ctnetlink, at the first ``step(milliseconds:fault:)``.
    public mutating func begin() throws(NetlinkError) {
        result = Result()
        refusal = nil
        var request = MessageWriter(capacity: 64)
        request.beginConntrack(
            IPCTNL_MSG_CT_GET, family: UInt8(AF_UNSPEC), flags: NLM_F_DUMP, sequence: listing.nextSequence())
        request.endMessage()
        try listing.socket.send(request.bytes)
        isRunning = true
    }

    /// Examines entries for about so long, or to the end of the table.
    ///
    /// - Returns: whether the walk is over.
    /// - Throws: ``NetlinkError``; the walk is over then too. An entry that could not be deleted is told at its end.
    public mutating func step(
        milliseconds: Int, fault: (Flow) -> FlowFault?
    ) throws(NetlinkError) -> Bool {
        do throws(NetlinkError) {
            isRunning = try examine(milliseconds: milliseconds, fault)
        } catch {
            isRunning = false
            // What is left would wake the loop again and again, and keep the next walk from beginning.
            listing.socket.discard(into: listing.buffer)
            throw error
        }
        if !isRunning, let refusal { throw refusal }
        return !isRunning
    }

    /// - Returns: whether there is more.
    private mutating func examine(
        milliseconds: Int, _ fault: (Flow) -> FlowFault?
    ) throws(NetlinkError) -> Bool {
        let end = ContinuousClock.now + .milliseconds(milliseconds)
        repeat {
            guard let messages = try listing.socket.receive(into: listing.buffer, waiting: false) else {
                return true
            }
            for message in messages where message.sequence == listing.lastSequence {
                if let code = message.errorCode ?? message.endCode {
                    if code != 0 { throw NetlinkError(.dump, code: code, object: "connections") }
                    return false
                }
                examine(message, fault)
            }
        } while ContinuousClock.now < end
        return true
    }

    private mutating func examine(_ message: NetlinkMessage, _ fault: (Flow) -> FlowFault?) {
        guard let entry = FlowObject(parsing: message), let flow = entry.flow else { return }
        result.examined += 1
        guard let fault = fault(flow) else { return }
        do throws(NetlinkError) {
            try delete(message, flow.source.family)
        } catch {
            refusal = refusal ?? error
            return
        }
        result.deleted.add(flow, fault)
    }

    /// Deletes the very entry of a message: by tuple, zone and id, so never another one that took its place.
    private mutating func delete(_ message: NetlinkMessage, _ family: AddressFamily) throws(NetlinkError) {
        var request = MessageWriter(capacity: 256)
        request.beginConntrack(
            IPCTNL_MSG_CT_DELETE, family: family.rawValue, flags: 0, sequence: listing.lastSequence)
        for attribute in message.attributes(after: 4) {
            switch UInt32(attribute.type) {
            case CTA_TUPLE_ORIG.rawValue:
                request.attribute(Int(attribute.type) | Int(NLA_F_NESTED), attribute.bytes)
            case CTA_ZONE.rawValue, CTA_ID.rawValue: request.attribute(Int(attribute.type), attribute.bytes)
            default: break
            }
        }
        request.endMessage()
        try deleting.send(request.bytes)
        // ENOENT: it ended by itself meanwhile, which is as good.
        let answer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)
        defer { answer.deallocate() }
        while let messages = try deleting.receive(into: answer, waiting: false) {
            for message in messages {
                guard let code = message.errorCode, code != 0, code != ENOENT else { continue }
                throw NetlinkError(.commit, code: code, object: "the deletion of a connection")
            }
        }
    }
}

extension MessageWriter {
    /// Begins a message for ctnetlink: the netlink header and `struct nfgenmsg`.
    fileprivate mutating func beginConntrack(
        _ type: cntl_msg_types, family: UInt8, flags: CInt, sequence: UInt32
    ) {
        beginMessage(
            type: UInt16(NFNL_SUBSYS_CTNETLINK) << 8 | UInt16(type.rawValue),
            flags: UInt16(NLM_F_REQUEST) | UInt16(flags), sequence: sequence)
        append(family)
        append(UInt8(NFNETLINK_V0))
        append(UInt16(0))
    }
}
