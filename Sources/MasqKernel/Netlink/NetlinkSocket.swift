// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc

/// The sole owner of one libmnl socket; closing is automatic.
///
/// Not `Sendable`, on purpose: it lives and dies on the event loop's thread.
struct NetlinkSocket: ~Copyable {
    private let handle: OpaquePointer
    /// What it is for, as errors name it.
    let name: String

    /// Opens a close-on-exec socket and lets the kernel choose its port ID.
    ///
    /// - Parameters:
    ///   - bus: `NETLINK_ROUTE` or `NETLINK_NETFILTER`.
    ///   - port: the port ID; 0 lets the kernel choose.
    ///   - groups: a bit for each multicast group that it joins; those of nfnetlink ask for CAP_NET_ADMIN.
    /// - Throws: ``NetlinkError`` with operation `.open` or `.bind`.
    init(bus: CInt, name: String, port: UInt32 = 0, groups: UInt32 = 0) throws(NetlinkError) {
        guard let handle = mnl_socket_open2(bus, CInt(SOCK_CLOEXEC.rawValue)) else {
            throw NetlinkError(.open, code: errno, object: name)
        }
        guard mnl_socket_bind(handle, groups, pid_t(bitPattern: port)) == 0 else {
            let code = errno  // mnl_socket_close() may overwrite it
            mnl_socket_close(handle)
            throw NetlinkError(.bind, code: code, object: name)
        }
        self.handle = handle
        self.name = name
        // The kernel answers within the system call; a limit only guards against waiting for ever after a bug.
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        // Extended acknowledgements and strict checking are improvements: without them older kernels work too.
        setOption(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        setOption(SOL_NETLINK, NETLINK_CAP_ACK, 1)
    }

    deinit { mnl_socket_close(handle) }

    /// The descriptor, for the event loop; it must not be closed.
    var descriptor: CInt { mnl_socket_get_fd(handle) }

    /// The port ID, by which the kernel names the socket in events.
    var portID: UInt32 { mnl_socket_get_portid(handle) }

    /// Joins a multicast group.
    func join(group: UInt32) throws(NetlinkError) {
        guard setOption(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, CInt(group)) else {
            throw NetlinkError(.bind, code: errno, object: "\(name), group \(group)")
        }
    }

    /// Leaves a multicast group; what is waiting to be read stays.
    func leave(group: UInt32) { setOption(SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, CInt(group)) }

    /// Makes the kernel take the filters of listings at their word, where it can (since 4.20).
    func checkStrictly() { setOption(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1) }

    /// Lets only those messages in that a filter accepts (`SO_ATTACH_FILTER`); what it drops costs no more than that.
    func attach(_ filter: [sock_filter]) {
        var filter = filter
        filter.withUnsafeMutableBufferPointer {
            var program = sock_fprog(len: UInt16($0.count), filter: $0.baseAddress)
            // Without it everything comes in, and is looked at here.
            setsockopt(
                descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &program, socklen_t(MemoryLayout<sock_fprog>.size))
        }
    }

    /// Makes room for bytes that the kernel has not taken yet, or that were not read yet.
    ///
    /// The variant that ignores `net.core.wmem_max` and `rmem_max` needs CAP_NET_ADMIN outside of a user namespace.
    func reserve(sending: Int = 0, receiving: Int = 0) {
        if sending > 0, !setOption(SOL_SOCKET, SO_SNDBUFFORCE, CInt(clamping: sending)) {
            setOption(SOL_SOCKET, SO_SNDBUF, CInt(clamping: sending))
        }
        if receiving > 0, !setOption(SOL_SOCKET, SO_RCVBUFFORCE, CInt(clamping: receiving)) {
            setOption(SOL_SOCKET, SO_RCVBUF, CInt(clamping: receiving))
        }
    }

    /// Drops whatever comes from now on before it takes any memory: for a socket that is only to be there.
    func dropEverything() {
        var nothing = sock_filter(code: UInt16(BPF_RET | BPF_K), jt: 0, jf: 0, k: 0)
        withUnsafeMutablePointer(to: &nothing) { instruction in
            var program = sock_fprog(len: 1, filter: instruction)
            let size = socklen_t(MemoryLayout<sock_fprog>.size)
            // Without it the buffer fills, and the kernel drops what does not fit.
            setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &program, size)
        }
    }

    /// Hands messages to the kernel, which works through them before this returns.
    func send(_ bytes: UnsafeRawBufferPointer) throws(NetlinkError) {
        guard mnl_socket_sendto(handle, bytes.baseAddress, bytes.count) == bytes.count else {
            throw NetlinkError(.send, code: errno, object: "\(bytes.count) bytes for \(name)")
        }
    }

    /// Reads one datagram into the buffer.
    ///
    /// - Returns: its messages; nothing when it is not to wait and there is none.
    /// - Throws: ``NetlinkError`` with `ENOBUFS` when messages were lost, `EAGAIN` when the kernel never answered.
    func receive(
        into buffer: UnsafeMutableRawBufferPointer, waiting: Bool
    ) throws(NetlinkError) -> NetlinkMessages? {
        while true {
            let flags = waiting ? 0 : CInt(MSG_DONTWAIT)
            let count = recv(descriptor, buffer.baseAddress, buffer.count, flags)
            if count >= 0 { return NetlinkMessages(UnsafeRawBufferPointer(rebasing: buffer[..<count])) }
            let code = errno
            if code == EINTR { continue }
            if code == EAGAIN, !waiting { return nil }
            throw NetlinkError(.receive, code: code, object: name)
        }
    }

    @discardableResult
    private func setOption(_ level: CInt, _ option: CInt, _ value: CInt) -> Bool {
        var value = value
        return setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<CInt>.size)) == 0
    }
}

extension NetlinkSocket {
    /// Reads what is left of a listing that is of no use any more: before its end the kernel begins no other (`EBUSY`).
    func discard(into buffer: UnsafeMutableRawBufferPointer) {
        while true {
            do throws(NetlinkError) {
                guard try receive(into: buffer, waiting: false) != nil else { return }
            } catch {
                // What was lost is one thing less to read; anything else the next request will say.
                guard error.code == ENOBUFS else { return }
            }
        }
    }
}
