// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc

/// A non-blocking socket with calls that wait up to a limit; closed with its owner.
public final class Socket: @unchecked Sendable {  // nothing in it changes
    /// The sort of socket.
    public enum Kind: Sendable {
        /// A TCP connection or listener.
        case tcp
        /// UDP datagrams.
        case udp
        /// ICMP or ICMPv6 messages, for the system's ping.
        case icmp
        /// IPv4 packets with a header of our own; can't receive.
        case rawIPv4
    }

    let descriptor: CInt

    /// Makes a socket in the network namespace in which the calling thread is.
    public init(_ kind: Kind, family: CInt = AF_INET) throws {
        let (type, number): (__socket_type, Int) =
            switch kind {
            case .tcp: (SOCK_STREAM, 0)
            case .udp: (SOCK_DGRAM, 0)
            case .icmp: (SOCK_RAW, family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6)
            case .rawIPv4: (SOCK_RAW, IPPROTO_RAW)
            }
        let flags = CInt(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        descriptor = try check(socket(family, CInt(type.rawValue) | flags, CInt(number)), "socket(\(kind))")
    }

    /// Takes over a descriptor.
    init(adopting descriptor: CInt) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    /// Sets an option whose value is an int, such as `IPPROTO_IP`, `IP_TTL`.
    public func set(_ level: Int, _ option: CInt, to value: CInt) throws {
        var value = value
        let size = socklen_t(MemoryLayout<CInt>.size)
        try check(setsockopt(descriptor, CInt(level), option, &value, size), "setsockopt(\(option))")
    }

    /// Reads an option whose value is an int.
    public func option(_ level: Int, _ option: CInt) throws -> CInt {
        var value: CInt = 0
        var size = socklen_t(MemoryLayout<CInt>.size)
        try check(getsockopt(descriptor, CInt(level), option, &value, &size), "getsockopt(\(option))")
        return value
    }

    /// Binds to a local address; port 0 lets the kernel choose.
    public func bind(_ local: Endpoint) throws {
        try check(local.withSockaddr { Glibc.bind(descriptor, $0, $1) }, "bind to \(local)")
    }

    /// Lets others connect.
    public func listen() throws { try check(Glibc.listen(descriptor, 1024), "listen") }

    /// The next connection in the queue and its peer; nil when there is none.
    public func accept() -> (Socket, Endpoint)? {
        var storage = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let descriptor = withUnsafeMutablePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.accept(self.descriptor, $0, &size)
            }
        }
        guard descriptor >= 0 else { return nil }
        // accept4 is not imported; ``Command`` lets no descriptor through to its children.
        guard fcntl(descriptor, F_SETFL, O_NONBLOCK) == 0 else {
            close(descriptor)
            return nil
        }
        return (Socket(adopting: descriptor), Endpoint(storage))
    }

    /// Connects; throws when it is refused, or not done within `limit`.
    public func connect(_ remote: Endpoint, limit: Duration = .seconds(10)) throws {
        let result = try remote.withSockaddr { Glibc.connect(descriptor, $0, $1) }
        let code = errno
        if result == 0 { return }
        guard code == EINPROGRESS else { throw Failure("connect to \(remote)", code: code) }
        guard try Deadline(in: limit).waitWritable(descriptor) else {
            throw Failure("connect to \(remote) within \(limit)", code: ETIMEDOUT)
        }
        let error = try option(Int(SOL_SOCKET), SO_ERROR)
        guard error == 0 else { throw Failure("connect to \(remote)", code: error) }
    }

    /// Sends one datagram, or a few bytes of a stream, to the connected peer.
    public func send(_ bytes: [UInt8]) throws {
        try check(Glibc.send(descriptor, bytes, bytes.count, CInt(MSG_NOSIGNAL)), "send")
    }

    /// Sends one datagram or packet to `remote`.
    public func send(_ bytes: [UInt8], to remote: Endpoint) throws {
        try check(
            remote.withSockaddr { sendto(descriptor, bytes, bytes.count, 0, $0, $1) }, "send to \(remote)")
    }

    /// The next datagram, or what a stream has, and who sent it; nil when nothing comes within `limit`.
    ///
    /// Throws what the kernel reports instead, such as an ICMP error for an earlier packet.
    public func receive(limit: Duration = .seconds(10)) throws -> (bytes: [UInt8], from: Endpoint)? {
        let deadline = Deadline(in: limit)
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            var storage = sockaddr_storage()
            var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let count = withUnsafeMutablePointer(to: &storage) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    recvfrom(descriptor, &buffer, buffer.count, 0, $0, &size)
                }
            }
            let code = errno
            if count >= 0 { return (Array(buffer[..<count]), Endpoint(storage)) }
            guard code == EAGAIN else { throw Failure("receive", code: code) }
            guard try deadline.waitReadable(descriptor) else { return nil }
        }
    }
}
