// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore
import MasqKernel
import TestSupport
import Testing

@Suite struct ListenerReaderTests {
    @Test("What waits for whoever comes is found with its address, family and link; a connection is none")
    func found() throws {
        let namespace = try NetworkNamespace()
        func listeners() throws -> Set<Listener> {
            try namespace.run { try ListenerReader.listeners() }
        }
        #expect(try listeners() == [])
        try namespace.ip("link set lo up")

        func open(
            _ transport: Socket.Kind, _ address: String, _ port: UInt16, isIPv6Only: CInt? = nil
        ) throws -> Socket {
            let endpoint = Endpoint(address, port)
            let family = endpoint.isIPv6 ? AF_INET6 : AF_INET
            let socket = try namespace.run { try Socket(transport, family: family) }
            if let isIPv6Only { try socket.set(Int(IPPROTO_IPV6), IPV6_V6ONLY, to: isIPv6Only) }
            try socket.bind(endpoint)
            if transport == .tcp { try socket.listen() }
            return socket
        }
        let sockets = [
            try open(.tcp, "0.0.0.0", 22), try open(.tcp, "127.0.0.1", 631), try open(.udp, "0.0.0.0", 53),
            try open(.tcp, "::", 80, isIPv6Only: 0), try open(.udp, "::", 81, isIPv6Only: 1),
        ]
        let client = try namespace.run { try Socket(.tcp) }
        try client.connect(Endpoint("127.0.0.1", 631))
        let asker = try namespace.run { try Socket(.udp) }
        try asker.connect(Endpoint("127.0.0.1", 53))
        let (any, anyIPv6) = (IPAddress(family: .ipv4, value: 0), IPAddress(family: .ipv6, value: 0))
        #expect(
            try listeners() == [
                Listener(.tcp, any, 22), Listener(.tcp, try #require(IPAddress("127.0.0.1")), 631),
                Listener(.udp, any, 53), Listener(.tcp, anyIPv6, 80, takesBothFamilies: true),
                Listener(.udp, anyIPv6, 81),
            ])
        withExtendedLifetime((sockets, client, asker)) {}
    }
}
