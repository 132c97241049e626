// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import Synchronization

/// A server that answers whatever it is sent, over TCP and UDP, with the address and port that it sees.
///
/// It also remembers the source of every echo request of ``Conversation/ping(_:from:source:limit:)``.
public final class AddressServer: Sendable {
    /// The port on which every server of these tests listens.
    public static let port: UInt16 = 7777

    private let stop: (read: CInt, write: CInt)
    private let pings: PingRecord
    private let thread: BackgroundThread

    /// Sources by the cookie in the echo request.
    final class PingRecord: Sendable {
        let sources = Guarded<[UInt64: String]>([:])
    }

    /// Listens on each of the addresses, which must be there, in `namespace`.
    public init(in namespace: NetworkNamespace, addresses: [String]) throws {
        var ends: [CInt] = [-1, -1]
        try check(
            socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends), "socketpair")
        stop = (ends[0], ends[1])
        let pings = PingRecord()
        self.pings = pings
        let stopped = ends[0]
        thread = try namespace.run {
            let service = try Service(addresses: addresses, pings: pings)
            return try BackgroundThread { service.serve(until: stopped) }
        }
    }

    deinit {
        close(stop.write)
        thread.join()
        close(stop.read)
    }

    /// The source of the echo request that carried `cookie`; nil when it has not come.
    func pingSource(_ cookie: UInt64) -> String? { pings.sources.withLock { $0[cookie] } }
}

/// The server's side that only its thread touches, once it runs.
private final class Service: @unchecked Sendable {
    private var listeners: [CInt: Socket] = [:]
    private var datagrams: [CInt: Socket] = [:]
    private var echoes: [CInt: Socket] = [:]
    private var connections: [CInt: (socket: Socket, peer: Endpoint)] = [:]
    private let pings: AddressServer.PingRecord

    init(addresses: [String], pings: AddressServer.PingRecord) throws {
        self.pings = pings
        for address in addresses {
            let local = Endpoint(address, AddressServer.port)
            let listener = try Socket(.tcp, family: local.family)
            try listener.set(Int(SOL_SOCKET), SO_REUSEADDR, to: 1)
            try listener.bind(local)
            try listener.listen()
            listeners[listener.descriptor] = listener
            let datagram = try Socket(.udp, family: local.family)
            try datagram.bind(local)
            datagrams[datagram.descriptor] = datagram
            let echo = try Socket(.icmp, family: local.family)
            try echo.bind(Endpoint(address))
            echoes[echo.descriptor] = echo
        }
    }

    func serve(until stop: CInt) {
        while true {
            let descriptors =
                [stop] + [listeners.keys, datagrams.keys, echoes.keys].joined() + connections.keys
            var entries = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            guard poll(&entries, nfds_t(entries.count), -1) >= 0 || errno == EINTR else { return }
            if entries[0].revents != 0 { return }
            for entry in entries where entry.revents != 0 { handle(entry.fd) }
        }
    }

    private func handle(_ descriptor: CInt) {
        if let listener = listeners[descriptor] {
            while let (socket, peer) = listener.accept() { connections[socket.descriptor] = (socket, peer) }
        } else if let (socket, peer) = connections[descriptor] {
            answer(socket, peer)
        } else if let socket = datagrams[descriptor] {
            // An answer that can't be sent is for the client to miss.
            while case .some(.some((_, let peer))) = try? socket.receive(limit: .zero) {
                try? socket.send(Array("\(peer.address) \(peer.port)\n".utf8), to: peer)
            }
        } else if let socket = echoes[descriptor] {
            while case .some(.some((let packet, let peer))) = try? socket.receive(limit: .zero) {
                guard let cookie = EchoMessage.cookie(ofRequest: packet, isIPv6: peer.isIPv6) else {
                    continue
                }
                pings.sources.withLock { $0[cookie] = peer.address }
            }
        }
    }

    private func answer(_ socket: Socket, _ peer: Endpoint) {
        do {
            guard let (bytes, _) = try socket.receive(limit: .zero) else { return }
            guard !bytes.isEmpty else {
                connections[socket.descriptor] = nil
                return
            }
            try socket.send(Array("\(peer.address) \(peer.port)\n".utf8))
        } catch {
            connections[socket.descriptor] = nil  // reset by the client, which knows why
        }
    }
}
