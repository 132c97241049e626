// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport
import Testing

@Suite("Public networks behind the gateway")
struct RoutedTests {
    private static let client = "2001:db8:1::2"
    private static let configuration = """
        [[masquerade]]
        out_interface = "ppp0"
        source = ["192.168.0.0/16", "fd00:1::/64"]

        [[routed]]
        out_interface = "ppp0"
        source = ["2001:db8:1::/48", "172.20.0.0/24"]

        """

    /// A gateway whose provider routes 2001:db8:1::/48 to it, with a server on the client.
    private func scenario(_ lines: String = "") throws -> RoutedScenario {
        let scenario = try Scenario(Self.configuration + lines)
        let gateway = scenario.gateway
        try gateway.router.ip("addr add 2001:db8:1::1/64 dev lan0 nodad")
        try gateway.lan.ip("addr add 2001:db8:1::2/64 dev eth0 nodad")
        try gateway.wan.ip("route add 2001:db8:1::/48 dev isp-ppp0")
        let server = try AddressServer(in: gateway.lan, addresses: [Self.client, "172.20.0.2"])
        return RoutedScenario(gateway: gateway, masqd: scenario.masqd, server: server)
    }

    @Test("They keep their addresses, and get their answers; private ones beside them are masqueraded")
    func outward() throws {
        let scenario = try scenario()
        let gateway = scenario.gateway
        for transport in Conversation.Transport.allCases {
            #expect(
                try gateway.seenSource(transport, from: Self.client, to: Gateway.serverIPv6).address
                    == Self.client)
            #expect(try gateway.seenSource(transport, from: "172.20.0.2").address == "172.20.0.2")
            #expect(
                try gateway.seenSource(transport, from: "fd00:1::2", to: Gateway.serverIPv6).address
                    == "2001:db8::7")
            #expect(try gateway.seenSource(transport, from: "192.168.1.2").address == "203.0.113.7")
        }
        #expect(try gateway.seenPingSource(from: Self.client, to: Gateway.serverIPv6) == Self.client)
        #expect(try gateway.leaks() == 0)
        #expect(try gateway.router.sysctl("ipv6/conf/all/forwarding") == "1")
    }

    @Test("New connections from outside are dropped, pings over IPv6 come in")
    func unsolicited() throws {
        let scenario = try scenario()
        let wan = scenario.gateway.wan
        for address in [Self.client, "172.20.0.2"] { #expect(try isUnserved(address, from: wan)) }
        // Two connections of two packets' worth were tried; TCP may have repeated its SYN.
        #expect(try #require(try scenario.gateway.router.packets(counter: "unsolicited")) >= 4)
        #expect(try Conversation.ping(scenario.server, at: Self.client, from: wan) == "2001:db8::1")
        #expect(
            try answer {
                try Conversation.ping(scenario.server, at: "172.20.0.2", from: wan, limit: .unanswered)
            } == nil)
    }

    @Test("unsolicited = \"accept\" opens one block's networks, but not to its own addresses from outside")
    func servers() throws {
        let scenario = try scenario("unsolicited = \"accept\"\n")
        let gateway = scenario.gateway
        for transport in Conversation.Transport.allCases {
            for address in [Self.client, "172.20.0.2"] {
                let server = Endpoint(address, AddressServer.port)
                _ = try Conversation(transport, from: gateway.wan, to: server).ask()
            }
        }
        try gateway.wan.ip("addr add 2001:db8:1::bad/128 dev lo nodad")
        try gateway.router.ip("route add 2001:db8:1::bad/128 dev ppp0")
        #expect(try isUnserved(Self.client, from: gateway.wan, source: "2001:db8:1::bad"))
        #expect(try #require(try gateway.router.packets(counter: "spoofed")) > 0)
    }

    @Test("echo_request = \"drop\" keeps pings out, and their answers still come in")
    func noPings() throws {
        let scenario = try scenario("echo_request = \"drop\"\n")
        let gateway = scenario.gateway
        #expect(
            try answer {
                try Conversation.ping(scenario.server, at: Self.client, from: gateway.wan, limit: .unanswered)
            } == nil)
        #expect(try gateway.seenPingSource(from: Self.client, to: Gateway.serverIPv6) == Self.client)
    }

    @Test("ICMPv6 errors reach the client: packet too big, time exceeded, port unreachable")
    func icmpErrors() throws {
        let scenario = try scenario()
        let gateway = scenario.gateway
        try gateway.wan.setSysctl("ipv6/conf/all/forwarding", to: "1")
        try gateway.wan.ip("route add 2001:db8:90::/64 dev isp-ppp0 mtu lock 1280")
        let beyond = Endpoint("2001:db8:90::9", 9)
        let source = Endpoint(Self.client)

        let traced = try Conversation(.udp, from: gateway.lan, source: source, to: beyond).socket
        try traced.set(IPPROTO_IPV6, IPV6_RECVERR, to: 1)
        try traced.set(IPPROTO_IPV6, IPV6_UNICAST_HOPS, to: 2)
        #expect(try error(of: traced, sending: 10) == EHOSTUNREACH)

        let closed = try Conversation(
            .udp, from: gateway.lan, source: source, to: Endpoint(Gateway.serverIPv6.address, 9)
        ).socket
        #expect(try error(of: closed, sending: 10) == ECONNREFUSED)

        let large = try Conversation(.udp, from: gateway.lan, source: source, to: beyond).socket
        try large.set(IPPROTO_IPV6, IPV6_RECVERR, to: 1)
        try large.set(IPPROTO_IPV6, IPV6_MTU_DISCOVER, to: IPV6_PMTUDISC_DO)
        #expect(try error(of: large, sending: 1400) == EMSGSIZE)
        #expect(try large.option(IPPROTO_IPV6, IPV6_MTU) == 1280)
    }

    @Test("An ICMPv6 error about no connection is unsolicited")
    func forgedError() throws {
        let scenario = try scenario()
        let gateway = scenario.gateway
        let before = try #require(try gateway.router.packets(counter: "unsolicited"))
        // Packet too big, MTU 1280, about a TCP segment that nobody sent.
        var message: [UInt8] = [2, 0, 0, 0, 0, 0, 5, 0, 0x60, 0, 0, 0, 0, 20, 6, 64]
        message += [0x20, 0x01, 0x0d, 0xb8, 0, 1] + [UInt8](repeating: 0, count: 9) + [2]
        message += [0x20, 0x01, 0x0d, 0xb8, 0, 0x80] + [UInt8](repeating: 0, count: 9) + [0x80]
        message += [0x9c, 0x40, 0x1e, 0x61] + [UInt8](repeating: 0, count: 16)
        let socket = try gateway.wan.run { try Socket(.icmp, family: AF_INET6) }
        try socket.send(message, to: Endpoint(Self.client))
        try eventually("it is counted") {
            try gateway.router.packets(counter: "unsolicited") == before + 1
        }
    }

    @Test("A reload from masqueraded to routed leaves established connections alone, and back deletes them")
    func reload() throws {
        let masqueraded = """
            [[masquerade]]
            out_interface = "ppp0"
            source = "2001:db8:1::/48"

            """
        let scenario = try scenario()
        let gateway = scenario.gateway
        func phone() throws -> Conversation {
            try Conversation(.udp, from: gateway.lan, source: Endpoint(Self.client), to: Gateway.serverIPv6)
        }
        let routed = try phone()
        #expect(try routed.ask().address == Self.client)
        try scenario.masqd.reload(masqueraded)
        try eventually("the phone is seen with the gateway's address") {
            try answer { try routed.ask(limit: .unanswered).address } == "2001:db8::7"
        }
        let old = try phone()
        #expect(try old.ask().address == "2001:db8::7")
        try scenario.masqd.reload(Self.configuration)
        for _ in 0..<3 { #expect(try old.ask().address == "2001:db8::7") }
        #expect(try phone().ask().address == Self.client)
    }

    /// Whether neither a new TCP connection nor a new UDP flow to the client gets an answer.
    private func isUnserved(
        _ address: String, from namespace: NetworkNamespace, source: String? = nil
    ) throws -> Bool {
        try Conversation.Transport.allCases.allSatisfy { transport in
            try answer {
                try Conversation(
                    transport, from: namespace, source: source.map { Endpoint($0) },
                    to: Endpoint(address, AddressServer.port), limit: .unanswered
                ).ask(limit: .unanswered)
            } == nil
        }
    }

    /// The errno that the kernel reports for a datagram of `size` bytes.
    private func error(of socket: Socket, sending size: Int) throws -> CInt? {
        try socket.send([UInt8](repeating: 0, count: size))
        let failure = try #require(thrownError(Failure.self) { _ = try socket.receive() })
        return failure.code
    }
}

/// A gateway, and a server on its client.
private struct RoutedScenario {
    let gateway: Gateway
    let masqd: Masqd
    let server: AddressServer
}
