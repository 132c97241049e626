// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport
import Testing

@Suite("What the world sees of the private network")
struct MasqueradeTests {
    @Test("Ping, TCP and UDP are seen with the gateway's address")
    func ipv4() throws {
        let scenario = try Scenario()
        let gateway = scenario.gateway
        #expect(try gateway.seenPingSource() == "203.0.113.7")
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
        #expect(try gateway.seenSource(.udp).address == "203.0.113.7")
        #expect(try gateway.leaks() == 0)
    }

    @Test("Ping, TCP and UDP over IPv6 are seen with the gateway's address")
    func ipv6() throws {
        let scenario = try Scenario()
        let gateway = scenario.gateway
        #expect(try gateway.seenPingSource(to: Gateway.serverIPv6) == "2001:db8::7")
        #expect(try gateway.seenSource(.tcp, to: Gateway.serverIPv6).address == "2001:db8::7")
        #expect(try gateway.seenSource(.udp, to: Gateway.serverIPv6).address == "2001:db8::7")
        #expect(try gateway.leaks() == 0)
    }

    @Test("The command line without a file does the same")
    func commandLine() throws {
        let gateway = try Gateway()
        let masqd = try Masqd(
            in: gateway.router, arguments: ["--out-interface", "ppp0", "--source=192.168.0.0/16"])
        try masqd.waitForReady()
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
        #expect(try gateway.leaks() == 0)
    }

    @Test("A source outside of the networks keeps its address")
    func otherSource() throws {
        let scenario = try Scenario()
        #expect(try scenario.gateway.seenSource(.tcp, from: "172.20.0.2").address == "172.20.0.2")
        #expect(try scenario.gateway.seenSource(.udp, from: "172.20.0.2").address == "172.20.0.2")
    }

    @Test("A packet that leaves by another interface keeps its source")
    func otherInterface() throws {
        let scenario = try Scenario()
        #expect(try scenario.gateway.seenSource(.tcp, to: Gateway.dmzServer).address == "192.168.1.2")
        #expect(try scenario.gateway.seenSource(.udp, to: Gateway.dmzServer).address == "192.168.1.2")
    }

    @Test("An excluded destination sees the private address, all others the gateway's")
    func exclude() throws {
        let scenario = try Scenario(Scenario.configuration("exclude = [\"198.51.100.81/32\"]"))
        let gateway = scenario.gateway
        // A routed VPN knows the way back.
        try gateway.wan.ip("route replace 192.168.0.0/16 dev isp-ppp0")
        #expect(try gateway.seenSource(.tcp, to: Gateway.secondServer).address == "192.168.1.2")
        #expect(try gateway.seenSource(.udp, to: Gateway.secondServer).address == "192.168.1.2")
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
    }

    @Test(
        "Source ports come from the range in the configuration",
        arguments: ["none", "random", "fully-random"])
    func ports(random: String) throws {
        let scenario = try Scenario(
            Scenario.configuration("ports = \"40000-40009\"", "random = \"\(random)\""))
        for transport in Conversation.Transport.allCases {
            for _ in 0..<3 {
                let seen = try scenario.gateway.seenSource(transport)
                #expect(seen.address == "203.0.113.7")
                #expect((40000...40009).contains(seen.port))
            }
        }
    }

    @Test("Each block translates its own sources behind its own uplink")
    func severalBlocks() throws {
        let scenario = try Scenario(
            """
            [[masquerade]]
            out_interface = "ppp0"
            source = "192.168.0.0/16"
            [[masquerade]]
            out_interface = "ppp1"
            source = "172.20.0.0/16"

            """)
        let gateway = scenario.gateway
        try gateway.dialUp(
            "ppp1", address: "203.0.113.9", addressIPv6: nil, destinations: [Gateway.secondServer.address])
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
        let second = try gateway.seenSource(.tcp, from: "172.20.0.2", to: Gateway.secondServer)
        #expect(second.address == "203.0.113.9")
        // Behind the other's uplink, which has the default route, it would not be hidden.
        #expect(try gateway.isUnanswered(.udp, from: "172.20.0.2"))
        #expect(try gateway.leaks() == 0)
        #expect(try gateway.router.packets(counter: "masquerade_1") == 1)
        #expect(try gateway.router.packets(counter: "masquerade_2") == 1)
    }

    @Test(
        "A list of interfaces, or a glob, is as good as a single name",
        arguments: ["[\"ppp0\", \"ppp1\"]", "\"ppp*\""])
    func severalInterfaces(outInterface: String) throws {
        let scenario = try Scenario(
            """
            [[masquerade]]
            out_interface = \(outInterface)
            source = "192.168.0.0/16"

            """)
        let gateway = scenario.gateway
        try gateway.dialUp(
            "ppp1", address: "203.0.113.9", addressIPv6: nil, destinations: [Gateway.secondServer.address])
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
        #expect(try gateway.seenSource(.tcp, to: Gateway.secondServer).address == "203.0.113.9")
        #expect(try gateway.seenSource(.udp, to: Gateway.dmzServer).address == "192.168.1.2")
        #expect(try gateway.leaks() == 0)
    }

    @Test("ICMP errors find their way to the client: time exceeded, port unreachable, fragmentation needed")
    func icmpErrors() throws {
        let scenario = try Scenario()
        let gateway = scenario.gateway
        // Behind the provider is one more host, with a narrow link before it.
        try gateway.wan.setSysctl("ipv4/ip_forward", to: "1")
        try gateway.wan.ip("route add 198.51.100.90 dev isp-ppp0 mtu lock 1280")
        let beyond = Endpoint("198.51.100.90", 9)

        let traced = try Conversation(.udp, from: gateway.lan, to: beyond).socket
        try traced.set(IPPROTO_IP, IP_RECVERR, to: 1)
        try traced.set(IPPROTO_IP, IP_TTL, to: 2)
        #expect(try error(of: traced, sending: 10) == EHOSTUNREACH)

        let closed = try Conversation(.udp, from: gateway.lan, to: Endpoint("198.51.100.80", 9)).socket
        #expect(try error(of: closed, sending: 10) == ECONNREFUSED)

        let large = try Conversation(.udp, from: gateway.lan, to: beyond).socket
        try large.set(IPPROTO_IP, IP_MTU_DISCOVER, to: IP_PMTUDISC_DO)
        #expect(try error(of: large, sending: 1400) == EMSGSIZE)
        #expect(try large.option(IPPROTO_IP, IP_MTU) == 1280)
        #expect(try gateway.leaks() == 0)
    }

    /// The errno that the kernel reports for a datagram of `size` bytes.
    private func error(of socket: Socket, sending size: Int) throws -> CInt? {
        try socket.send([UInt8](repeating: 0, count: size))
        let failure = try #require(thrownError(Failure.self) { _ = try socket.receive() })
        return failure.code
    }
}
