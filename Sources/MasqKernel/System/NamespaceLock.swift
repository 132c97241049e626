// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// The right to be the one masqd of a network namespace, for as long as the value lives.
///
/// It is a group number of nfnetlink_log. The kernel gives each number to one socket of a network namespace, takes it
/// back when that socket is closed or its process dies, and asks for CAP_NET_ADMIN in the namespace's own user
/// namespace (`nfulnl_recv_config` and `nfulnl_rcv_nl_event` in net/netfilter/nfnetlink_log.c). So nobody can take it
/// who could not delete the rules as well, and it does not depend on a mount, a pid namespace or a directory.
public struct NamespaceLock: ~Copyable {
    private let socket: NetlinkSocket
    /// Whether the kernel keeps a second masqd out: not where it has no nfnetlink_log.
    public let isExclusive: Bool

    /// "mq". Groups that people log packets to (`log group`, NFLOG, ulogd) are counted from 0.
    static let group: UInt16 = 0x6d71
    /// NFNLGRP_NFTRACE. Only CAP_NET_ADMIN joins it, and /proc/net/netlink shows that to everybody: a mark that others
    /// can't forge. Nothing is sent to it but while somebody traces packets, and the filter drops that.
    private static let markGroup: UInt32 = 9

    /// Why the lock can't be had.
    public enum Refusal: Error, Equatable, CustomStringConvertible {
        /// Another masqd has it.
        case held(byProcess: Int32?)
        /// CAP_NET_ADMIN is missing.
        case notPermitted
        /// The kernel failed.
        case system(NetlinkError)

        /// One line for people.
        public var description: String {
            switch self {
            case .held(let process?): "another masqd (pid \(process)) serves this network namespace already"
            case .held(nil): "another masqd serves this network namespace already"
            case .notPermitted: "can't take the lock of this network namespace: CAP_NET_ADMIN is missing"
            case .system(let error): "\(error)"
            }
        }
    }

    private init(_ socket: consuming NetlinkSocket, isExclusive: Bool) {
        self.socket = socket
        self.isExclusive = isExclusive
    }

    /// Takes the lock of the calling thread's network namespace.
    ///
    /// - Throws: ``Refusal``.
    public static func take() throws(Refusal) -> NamespaceLock {
        let failure: NetlinkError
        do throws(NetlinkError) {
            return try attempt()
        } catch {
            failure = error
        }
        switch (failure.operation, failure.code) {
        // The first is what a second socket gets, the others what it would get in a race (`instance_create`).
        case (.commit, EPERM), (.commit, EBUSY), (.commit, EEXIST):
            throw .held(byProcess: currentHolder()?.process)
        case (_, EPERM): throw .notPermitted
        default: throw .system(failure)
        }
    }

    private static func attempt() throws(NetlinkError) -> NamespaceLock {
        let socket = try markedSocket()
        let code = try bindGroup(socket)
        switch code {
        // The latter two: nfnetlink knows no such subsystem, and could not load it.
        case 0, EINVAL, EOPNOTSUPP: break
        default: throw NetlinkError(.commit, code: code, object: "the lock")
        }
        // What is logged to the group or traced is nobody's to read, and must not fill a buffer.
        socket.dropEverything()
        return NamespaceLock(socket, isExclusive: code == 0)
    }

    /// Who has the lock now; nothing where nobody has. It is asked for, and not taken.
    public static func currentHolder() -> LockHolder? {
        LockReader(group: group, markGroup: markGroup).holder()
    }

    /// A socket whose port is our pid, unless somebody has taken that number from us: any user may.
    private static func markedSocket() throws(NetlinkError) -> NetlinkSocket {
        let mark = UInt32(1) << (markGroup - 1)
        do {
            return try NetlinkSocket(
                bus: NETLINK_NETFILTER, name: "the lock", port: UInt32(getpid()), groups: mark)
        } catch {
            guard error.code == EADDRINUSE else { throw error }
        }
        return try NetlinkSocket(bus: NETLINK_NETFILTER, name: "the lock", groups: mark)
    }

    /// Asks for the group, and for no bytes of what is logged to it.
    ///
    /// - Returns: the kernel's errno.
    private static func bindGroup(_ socket: borrowing NetlinkSocket) throws(NetlinkError) -> CInt {
        var request = MessageWriter(capacity: 64)
        let type = UInt16(NFNL_SUBSYS_ULOG) << 8 | UInt16(NFULNL_MSG_CONFIG.rawValue)
        request.beginMessage(type: type, flags: UInt16(NLM_F_REQUEST | NLM_F_ACK), sequence: 1)
        // struct nfgenmsg: the family, NFNETLINK_V0, the group
        request.append(UInt8(AF_UNSPEC))
        request.append(UInt8(0))
        request.append(group.bigEndian)
        request.attribute(Int(NFULA_CFG_CMD.rawValue), [UInt8(NFULNL_CFG_CMD_BIND.rawValue)])
        // struct nfulnl_msg_config_mode: 0 bytes, NFULNL_COPY_NONE
        request.attribute(Int(NFULA_CFG_MODE.rawValue), [0, 0, 0, 0, 0, 0])
        request.endMessage()
        try socket.send(request.bytes)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 8192, alignment: 16)
        defer { buffer.deallocate() }
        while let messages = try socket.receive(into: buffer, waiting: true) {
            for message in messages where message.sequence == 1 {
                if let code = message.errorCode { return code }
            }
        }
        throw NetlinkError(.receive, code: EAGAIN, object: "the lock")
    }
}
