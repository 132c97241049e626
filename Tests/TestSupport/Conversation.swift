// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc

/// A client's connection (TCP) or flow (UDP) to an ``AddressServer``.
public final class Conversation: Sendable {
    /// TCP or UDP.
    public enum Transport: Sendable, CaseIterable {
        /// A connection.
        case tcp
        /// Datagrams between two fixed ports.
        case udp

        var kind: Socket.Kind { self == .tcp ? .tcp : .udp }
    }

    /// The socket, for options.
    public let socket: Socket
    private let server: Endpoint

    /// Connects from `namespace`; throws when a TCP connection is refused or not there within `limit`.
    ///
    /// `source` chooses the local address, and with a port other than 0 the port.
    public init(
        _ transport: Transport, from namespace: NetworkNamespace, source: Endpoint? = nil,
        to server: Endpoint,
        limit: Duration = .seconds(10)
    ) throws {
        let socket = try namespace.run { try Socket(transport.kind, family: server.family) }
        self.socket = socket
        self.server = server
        if let source {
            try socket.set(Int(SOL_SOCKET), SO_REUSEADDR, to: 1)
            try socket.bind(source)
        }
        try socket.connect(server, limit: limit)
    }

    /// Sends a line and returns the peer's address as the server sees it; throws when no answer comes.
    ///
    /// Over UDP nothing is sent twice: a lost packet is a failure.
    public func ask(limit: Duration = .seconds(10)) throws -> Endpoint {
        try socket.send(Array("who?\n".utf8))
        guard let (bytes, _) = try socket.receive(limit: limit) else {
            throw Failure("no answer from \(server) within \(limit)", code: ETIMEDOUT)
        }
        guard !bytes.isEmpty else { throw Failure("the server closed the connection", code: ECONNRESET) }
        let words = String(decoding: bytes, as: UTF8.self).split { $0.isWhitespace }
        guard words.count == 2, let port = UInt16(words[1]) else { throw Failure("not an answer: \(words)") }
        return Endpoint(String(words[0]), port)
    }

    /// Sends one echo request and returns the source that `server` saw; throws when no reply comes.
    public static func ping(
        _ server: AddressServer, at address: String, from namespace: NetworkNamespace, source: String? = nil,
        limit: Duration = .seconds(10)
    ) throws -> String {
        let remote = Endpoint(address)
        let socket = try namespace.run { try Socket(.icmp, family: remote.family) }
        if let source { try socket.bind(Endpoint(source)) }
        let cookie = UInt64.random(in: .min ... .max)
        try socket.send(EchoMessage.request(cookie: cookie, isIPv6: remote.isIPv6), to: remote)
        let deadline = Deadline(in: limit)
        repeat {
            guard let (packet, _) = try socket.receive(limit: .milliseconds(Int(deadline.millisecondsLeft)))
            else {
                throw Failure("no echo reply from \(address) within \(limit)", code: ETIMEDOUT)
            }
            guard EchoMessage.cookie(ofReply: packet, isIPv6: remote.isIPv6) == cookie else { continue }
            try eventually("the server's thread has read the request") { server.pingSource(cookie) != nil }
            return server.pingSource(cookie) ?? ""
        } while !deadline.isOver
        throw Failure("no echo reply of ours within \(limit)", code: ETIMEDOUT)
    }
}
