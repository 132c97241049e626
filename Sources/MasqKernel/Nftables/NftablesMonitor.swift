// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// The socket on which nf_tables says that somebody committed something.
///
/// A notification is a bell, except that it alone says who did it.
public struct NftablesMonitor: ~Copyable {
    private let socket: NetlinkSocket
    private let buffer: UnsafeMutableRawBufferPointer

    /// What others committed since the last look.
    public struct Activity: Equatable, Sendable {
        /// Who touched the own table last, and how; absent where nobody did.
        public var ownTable: Touch?
        /// Whether a table of somebody else's changed.
        public var touchesOthers = false
        /// Whether the kernel reports that the leak guard dropped something.
        public var raisesAlarm = false
        /// Messages were lost: anything may have changed.
        public var isIncomplete = false
    }

    /// One transaction that touched the own table.
    public struct Touch: Equatable, Sendable {
        /// Whether the table itself went.
        public var deletesTable: Bool
        /// The process that committed, as the kernel names it (`NFTA_GEN_PROC_PID`); 0 where it is not known.
        public var process: UInt32 = 0
        /// The first 15 bytes of the process's name (`NFTA_GEN_PROC_NAME`).
        public var processName = ""
        /// Whether there is no table behind it.
        public var leavesNoTable = false
        /// The generation in which there is no table (`NFTA_GEN_ID`); absent where there is one, or may be.
        ///
        /// Only a transaction of which everything was read has one.
        public var generationWithoutTable: UInt32?
    }

    /// Joins the group in the calling thread's network namespace.
    ///
    /// - Throws: ``NetlinkError``.
    public init() throws(NetlinkError) {
        let socket = try NetlinkSocket(bus: CInt(NETLINK_NETFILTER), name: "nf_tables events")
        // A flush of a large ruleset is one message an object; what does not fit is found by a dump.
        socket.reserve(receiving: 4 << 20)
        try socket.join(group: UInt32(NFNLGRP_NFTABLES.rawValue))
        self.socket = socket
        buffer = .allocate(byteCount: 65536, alignment: 16)
    }

    deinit { buffer.deallocate() }

    /// How long the end of a transaction may take after its changes; it comes within microseconds.
    private static let patienceMilliseconds: CInt = 1

    /// How long the loop stands still at the most, in milliseconds; what is left waits for the next turn.
    private static let pieceMilliseconds = 2

    /// The descriptor that becomes readable when somebody committed.
    public var descriptor: CInt { socket.descriptor }

    /// Stops listening while masqd itself commits.
    ///
    /// The kernel would otherwise make a message of every element, and of a large set more than any buffer holds. What
    /// others commit meanwhile shows in the generation number.
    public func pause() { socket.leave(group: UInt32(NFNLGRP_NFTABLES.rawValue)) }

    /// Listens again.
    ///
    /// - Throws: ``NetlinkError``.
    public func resume() throws(NetlinkError) {
        try socket.join(group: UInt32(NFNLGRP_NFTABLES.rawValue))
    }

    /// Reads what is waiting, and waits itself for the end of a transaction that has begun to tell of itself.
    ///
    /// - Parameters:
    ///   - pending: the transaction whose end was not read yet, for the next call.
    ///   - ownPorts: the port IDs of the sockets that masqd commits by.
    /// - Throws: ``NetlinkError`` when the socket is of no use any more.
    public func drain(_ pending: inout Touch?, ownPorts: UInt32...) throws(NetlinkError) -> Activity {
        var activity = Activity()
        var hasWaited = false
        var isEmpty = false
        let end = Clock.now + Self.pieceMilliseconds * 1000
        reading: repeat {
            do {
                guard let messages = try socket.receive(into: buffer, waiting: false) else {
                    // The kernel sends what names the process right behind the changes, but not at once with them.
                    guard pending != nil, !hasWaited else {
                        isEmpty = true
                        break reading
                    }
                    hasWaited = true
                    var readable = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                    _ = poll(&readable, 1, Self.patienceMilliseconds)
                    continue
                }
                for message in messages where !ownPorts.contains(message.portID) {
                    activity.read(message, &pending)
                }
            } catch  where error.code == ENOBUFS {
                activity.isIncomplete = true
            }
        } while Clock.now < end
        // Of what was lost, or does not come, nobody knows the end.
        if isEmpty || activity.isIncomplete, let touch = pending {
            activity.ownTable = touch
            pending = nil
        }
        // The end of a transaction may be another one's then, and its last changes are not known.
        if activity.isIncomplete { activity.ownTable?.generationWithoutTable = nil }
        return activity
    }
}

extension NftablesMonitor.Activity {
    /// Takes in one notification of somebody else's.
    ///
    /// - Parameter pending: a transaction's changes come first, and then its NEWGEN, which names the process.
    mutating func read(_ message: NetlinkMessage, _ pending: inout NftablesMonitor.Touch?) {
        guard let type = message.nftablesType, let family = message.payload.first else { return }
        let attributes = message.attributes(after: 4)
        if type == NFT_MSG_NEWGEN {
            guard var touch = pending else { return }
            for attribute in attributes {
                switch UInt32(attribute.type) {
                case NFTA_GEN_ID.rawValue where touch.leavesNoTable:
                    touch.generationWithoutTable = attribute.bigEndian32
                case NFTA_GEN_PROC_PID.rawValue: touch.process = attribute.bigEndian32
                case NFTA_GEN_PROC_NAME.rawValue: touch.processName = attribute.string
                default: break
                }
            }
            ownTable = touch
            pending = nil
            return
        }
        // The table's name is the first attribute of every kind of object.
        let table = attributes.first { $0.type == 1 }?.string
        guard table == Ruleset.tableName else {
            touchesOthers = true
            return
        }
        if message.portID == 0, type == NFT_MSG_NEWOBJ {
            // nft_obj_notify() out of the packet path: a quota is used up. Its family is the packet's.
            raisesAlarm = true
        } else if family == Batch.family {
            let deletesTable = pending?.deletesTable ?? false || type == NFT_MSG_DELTABLE
            pending = NftablesMonitor.Touch(deletesTable: deletesTable)
            // Which generation that is comes last.
            pending?.leavesNoTable = type == NFT_MSG_DELTABLE
        } else {
            touchesOthers = true
        }
    }
}
