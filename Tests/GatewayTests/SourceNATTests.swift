// SPDX-License-Identifier: GPL-3.0-or-later

import TestSupport
import Testing

@Suite("Source NAT to addresses of the file's")
struct SourceNATTests {
    /// A gateway whose provider routes some addresses to it that no machine has.
    private func scenario(_ configuration: String) throws -> Scenario {
        let scenario = try Scenario(configuration)
        try scenario.gateway.wan.ip(
            "route add 192.0.2.0/24 dev isp-ppp0", "route add 2001:db8:2::/48 dev isp-ppp0")
        return scenario
    }

    private func snat(
        source: String = "192.168.0.0/16", to target: String, _ lines: String...
    ) -> String {
        let values = [source, target].map {
            "[\"" + $0.split(separator: " ").joined(separator: "\", \"") + "\"]"
        }
        return """
            [[snat]]
            out_interface = "ppp0"
            source = \(values[0])
            to = \(values[1])
            \(lines.joined(separator: "\n"))

            """
    }

    @Test("Ping, TCP and UDP of both families are seen with the address in the file")
    func address() throws {
        let scenario = try scenario(
            snat(source: "192.168.0.0/16 fd00:1::/64", to: "192.0.2.10 2001:db8:2::10"))
        let gateway = scenario.gateway
        #expect(try gateway.seenPingSource() == "192.0.2.10")
        #expect(try gateway.seenPingSource(to: Gateway.serverIPv6) == "2001:db8:2::10")
        for transport in Conversation.Transport.allCases {
            #expect(try gateway.seenSource(transport).address == "192.0.2.10")
            #expect(try gateway.seenSource(transport, to: Gateway.serverIPv6).address == "2001:db8:2::10")
            #expect(try gateway.seenSource(transport, from: "172.20.0.2").address == "172.20.0.2")
        }
        #expect(try gateway.leaks() == 0)
    }

    @Test("An address and a port come from the ranges in the file")
    func ranges() throws {
        let scenario = try scenario(
            snat(to: "192.0.2.10-192.0.2.12", "ports = \"40000-40009\"", "random = \"fully-random\""))
        for transport in Conversation.Transport.allCases {
            for _ in 0..<3 {
                let seen = try scenario.gateway.seenSource(transport)
                #expect(["192.0.2.10", "192.0.2.11", "192.0.2.12"].contains(seen.address))
                #expect((40000...40009).contains(seen.port))
            }
        }
    }

    @Test("A network is mapped to another host by host")
    func networks() throws {
        let scenario = try scenario(
            snat(source: "192.168.1.0/24 fd00:1::/64", to: "192.0.2.0/24 2001:db8:2::/64"))
        let gateway = scenario.gateway
        try gateway.lan.ip("addr add 192.168.1.77/24 dev eth0", "addr add fd00:1::77:1/64 dev eth0 nodad")
        for (inside, outside) in [("192.168.1.2", "192.0.2.2"), ("192.168.1.77", "192.0.2.77")] {
            #expect(try gateway.seenSource(.tcp, from: inside).address == outside)
        }
        for (inside, outside) in [("fd00:1::2", "2001:db8:2::2"), ("fd00:1::77:1", "2001:db8:2::77:1")] {
            #expect(
                try gateway.seenSource(.udp, from: inside, to: Gateway.serverIPv6).address == outside)
        }
        #expect(try gateway.seenPingSource(from: "fd00:1::2", to: Gateway.serverIPv6) == "2001:db8:2::2")
        #expect(try gateway.leaks() == 0)
    }

    @Test(
        "Connections to a mapped address come in where the file says so, and the gateway's own stay its own")
    func inbound() throws {
        let blocks = snat(source: "192.168.1.0/24 fd00:1::/64", to: "192.0.2.0/24 2001:db8:2::/64")
        let scenario = try scenario(blocks)
        let gateway = scenario.gateway
        try gateway.lan.ip("addr add 192.168.1.77/24 dev eth0")
        try gateway.router.ip("addr add 192.0.2.77/32 dev ppp0")
        let server = try AddressServer(
            in: gateway.lan, addresses: ["192.168.1.2", "192.168.1.77", "fd00:1::2"])
        let own = try AddressServer(in: gateway.router, addresses: ["192.0.2.77"])
        func seen(_ transport: Conversation.Transport, at address: String) throws -> String? {
            let address = Endpoint(address, AddressServer.port)
            let limit = Duration.unanswered
            return try answer {
                try Conversation(transport, from: gateway.wan, to: address, limit: limit).ask(limit: limit)
                    .address
            }
        }
        #expect(try seen(.tcp, at: "192.0.2.2") == nil)
        #expect(try seen(.udp, at: "2001:db8:2::2") == nil)
        try scenario.masqd.reload(blocks + "inbound = true\n")
        for transport in Conversation.Transport.allCases {
            try eventually("it comes in") { try seen(transport, at: "192.0.2.2") == "203.0.113.1" }
            try eventually("it comes in") { try seen(transport, at: "2001:db8:2::2") == "2001:db8::1" }
        }
        #expect(try Conversation.ping(server, at: "2001:db8:2::2", from: gateway.wan) == "2001:db8::1")
        try eventually("the gateway answers itself") { try seen(.tcp, at: "192.0.2.77") == "203.0.113.1" }
        #expect(try Conversation.ping(own, at: "192.0.2.77", from: gateway.wan) == "203.0.113.1")
        // The private address itself is none that may come in.
        try gateway.wan.ip("route replace 192.168.1.0/24 dev isp-ppp0")
        #expect(try seen(.tcp, at: "192.168.1.2") == nil)
        #expect(try gateway.leaks() == 0)
    }

    @Test("An inside prefix is mapped to the uplink's own, and follows it, also for flows under way")
    func uplinkPrefix() throws {
        let configuration = snat(source: "fd00:1::/64", to: "uplink-prefix", "inbound = true")
        let scenario = try Scenario(configuration)
        let gateway = scenario.gateway
        try gateway.wan.ip("route add 2001:db8::/64 dev isp-ppp0", "route add 2001:db8:5::/64 dev isp-ppp0")
        let server = try AddressServer(in: gateway.lan, addresses: ["fd00:1::2"])
        let phone = try Conversation(.udp, from: gateway.lan, to: Gateway.serverIPv6)
        #expect(try phone.ask().address == "2001:db8::2")
        #expect(try gateway.seenSource(.tcp, to: Gateway.serverIPv6).address == "2001:db8::2")
        #expect(try gateway.seenPingSource(to: Gateway.serverIPv6) == "2001:db8::2")
        #expect(try Conversation.ping(server, at: "2001:db8::2", from: gateway.wan) == "2001:db8::1")
        let chains = try gateway.router.chains()

        try gateway.router.ip(
            "addr add 2001:db8:5::7/128 dev ppp0 nodad", "addr del 2001:db8::7 peer 2001:db8::1 dev ppp0",
            "route replace ::/0 dev ppp0")
        try eventually("the phone is seen with the new prefix") {
            try answer { try phone.ask(limit: .unanswered).address } == "2001:db8:5::2"
        }
        #expect(try gateway.seenSource(.tcp, to: Gateway.serverIPv6).address == "2001:db8:5::2")
        #expect(try Conversation.ping(server, at: "2001:db8:5::2", from: gateway.wan) == "2001:db8::1")
        // Elements followed it, and no rule was touched.
        #expect(try gateway.router.chains() == chains)
        #expect(try gateway.leaks() == 0)
    }

    @Test("An inside prefix is mapped to the one delegated to another link, and follows it")
    func delegatedPrefix() throws {
        let scenario = try Scenario(
            snat(source: "fd00:1::/64", to: "uplink-prefix", "prefix_from = \"npt0\"", "inbound = true"),
            dialedUp: false)
        let gateway = scenario.gateway
        // The provider gives the uplink no address of IPv6, and routes what he delegates.
        try gateway.dialUp(addressIPv6: nil)
        try gateway.router.ip("route replace ::/0 dev ppp0")
        try gateway.wan.ip(
            "addr add 2001:db8::1/128 dev isp-ppp0 nodad", "route add 2001:db8:1000::/36 dev isp-ppp0")
        #expect(try gateway.isUnanswered(.udp, to: Gateway.serverIPv6))
        try scenario.masqd.waitForStatus(containing: "ppp0 is up; waiting for a prefix on npt0")

        try gateway.router.ip(
            "link add npt0 type bridge", "link set npt0 up", "addr add 2001:db8:1111::1/64 dev npt0 nodad")
        try eventually("the prefix is known") {
            try !scenario.masqd.status.contains("waiting for a prefix")
        }
        let server = try AddressServer(in: gateway.lan, addresses: ["fd00:1::2"])
        let phone = try Conversation(.udp, from: gateway.lan, to: Gateway.serverIPv6)
        try eventually("the phone is seen with the prefix") {
            try answer { try phone.ask(limit: .unanswered).address } == "2001:db8:1111::2"
        }
        #expect(try gateway.seenSource(.tcp, to: Gateway.serverIPv6).address == "2001:db8:1111::2")
        #expect(try Conversation.ping(server, at: "2001:db8:1111::2", from: gateway.wan) == "2001:db8::1")
        let chains = try gateway.router.chains()

        try gateway.router.ip(
            "addr add 2001:db8:1222::1/64 dev npt0 nodad", "addr del 2001:db8:1111::1/64 dev npt0")
        try eventually("the phone is seen with the new prefix") {
            try answer { try phone.ask(limit: .unanswered).address } == "2001:db8:1222::2"
        }
        #expect(try gateway.seenPingSource(to: Gateway.serverIPv6) == "2001:db8:1222::2")
        #expect(try Conversation.ping(server, at: "2001:db8:1222::2", from: gateway.wan) == "2001:db8::1")
        #expect(try gateway.router.chains() == chains)
        #expect(try scenario.masqd.log.contains("npt0 has the prefix 2001:db8:1222::/64"))
        #expect(try gateway.leaks() == 0)
    }

    @Test("As long as the uplink has no prefix nothing leaves, and then it does")
    func noPrefix() throws {
        let scenario = try Scenario(snat(source: "fd00:1::/64", to: "uplink-prefix"), dialedUp: false)
        let gateway = scenario.gateway
        try gateway.dialUp(addressIPv6: nil)
        try gateway.router.ip("route replace ::/0 dev ppp0")
        #expect(try gateway.isUnanswered(.udp, to: Gateway.serverIPv6))
        #expect(try #require(try gateway.router.packets(counter: "leak_guard")) >= 1)
        #expect(try scenario.masqd.status.contains("ppp0 is up without an address"))
        try gateway.router.ip("addr add 2001:db8::7/64 dev ppp0 nodad")
        try gateway.wan.ip(
            "addr add 2001:db8::1/128 dev isp-ppp0 nodad", "route add 2001:db8::/64 dev isp-ppp0")
        try eventually("it is mapped") {
            try answer {
                try gateway.seenSource(.udp, to: Gateway.serverIPv6, limit: .unanswered).address
            } == "2001:db8::2"
        }
        #expect(try gateway.leaks() == 0)
    }

    @Test("The first block of the file decides, whatever its kind")
    func order() throws {
        let routed = """
            [[routed]]
            out_interface = "ppp0"
            source = "172.20.0.0/24"

            """
        let masquerade = """
            [[masquerade]]
            out_interface = "ppp*"
            source = ["192.168.0.0/16", "172.16.0.0/12"]

            """
        let blocks = [snat(source: "192.168.1.2", to: "192.0.2.10"), routed, masquerade]
        let scenario = try scenario(blocks.joined())
        let gateway = scenario.gateway
        try gateway.lan.ip("addr add 192.168.1.77/24 dev eth0")
        #expect(try gateway.seenSource(.tcp, from: "192.168.1.2").address == "192.0.2.10")
        #expect(try gateway.seenSource(.tcp, from: "192.168.1.77").address == "203.0.113.7")
        #expect(try gateway.seenSource(.tcp, from: "172.20.0.2").address == "172.20.0.2")
        for counter in ["snat_1", "masquerade_1", "routed_1"] {
            #expect(try gateway.router.packets(counter: counter) == 1)
        }
        try scenario.masqd.reload(blocks.reversed().joined())
        for source in ["192.168.1.2", "192.168.1.77", "172.20.0.2"] {
            #expect(try gateway.seenSource(.tcp, from: source).address == "203.0.113.7")
        }
    }

    @Test("Reloads between the kinds lose no connection while its address is the machine's")
    func kinds() throws {
        let masquerade = Scenario.configuration
        let snat = snat(source: "192.168.0.0/16 fd00:1::/64", to: "192.0.2.10 2001:db8:2::10")
        let scenario = try scenario(masquerade)
        let gateway = scenario.gateway
        let conversation = try Conversation(.tcp, from: gateway.lan, to: Gateway.server)
        let seen = try conversation.ask()
        let flow = try Conversation(.udp, from: gateway.lan, to: Gateway.server)
        #expect(try flow.ask().address == "203.0.113.7")
        for _ in 1...10 {
            try scenario.masqd.reload(snat)
            #expect(try conversation.ask() == seen)
            #expect(try gateway.seenSource(.tcp).address == "192.0.2.10")
            try scenario.masqd.reload(masquerade)
            #expect(try conversation.ask() == seen)
            #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
        }
        #expect(try flow.ask().address == "203.0.113.7")
        #expect(try gateway.leaks() == 0)
    }

    @Test("A flow that keeps an address which the file has no more is deleted, and goes on with the new one")
    func repair() throws {
        let scenario = try scenario(snat(to: "192.0.2.10"))
        let gateway = scenario.gateway
        let phone = try Conversation(.udp, from: gateway.lan, to: Gateway.server)
        #expect(try phone.ask().address == "192.0.2.10")
        let other = try Conversation(
            .udp, from: gateway.lan, source: Endpoint("172.20.0.2"), to: Gateway.server)
        let seen = try other.ask()
        try scenario.masqd.reload(snat(to: "192.0.2.11"))
        try eventually("the phone is seen with the new address") {
            try answer { try phone.ask(limit: .unanswered).address } == "192.0.2.11"
        }
        // The log has a line when the walk is over, which the phone does not wait for.
        try eventually("the log says so") {
            try scenario.masqd.log.contains("kept the address 192.0.2.10")
        }
        #expect(try other.ask() == seen)
        #expect(try gateway.leaks() == 0)
    }

    @Test("A flow outlives the uplink, for its address is not the uplink's")
    func flap() throws {
        let scenario = try scenario(snat(to: "192.0.2.10"))
        let gateway = scenario.gateway
        let flow = try Conversation(.udp, from: gateway.lan, to: Gateway.server)
        let seen = try flow.ask()
        #expect(seen.address == "192.0.2.10")
        try gateway.hangUp()
        try gateway.dialUp(address: "203.0.113.8")
        try gateway.wan.ip("route add 192.0.2.0/24 dev isp-ppp0")
        #expect(try flow.ask() == seen)
        #expect(try gateway.leaks() == 0)
    }
}

extension NetworkNamespace {
    /// The chains of masqd's table with the handles of their rules.
    fileprivate func chains() throws -> [Substring] {
        let table = try masqdTable()
        return table.split(separator: "\n").filter { $0.contains("# handle") && !$0.contains("elements") }
    }
}
