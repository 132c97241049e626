// SPDX-License-Identifier: GPL-3.0-or-later

import TestSupport
import Testing

@Suite("Port forwards")
struct PortForwardTests {
    /// Port 443 of the gateway leads to a server in the private network, 444 to one behind another interface.
    private static let forwards =
        Scenario.configuration + """
            [[port_forward]]
            protocol = "both"
            port = 443
            to = "192.168.1.3:7777"

            [[port_forward]]
            protocol = "both"
            port = 444
            to = "10.9.0.2:7777"

            [[port_forward]]
            protocol = "both"
            port = 443
            to = "[fd00:1::3]:7777"

            """

    /// A gateway with the forwards, and a server in the private network beside the client.
    private struct Scenery {
        let gateway: Gateway
        let masqd: Masqd
        let server: AddressServer

        init(_ configuration: String = PortForwardTests.forwards) throws {
            let scenario = try Scenario(configuration)
            (gateway, masqd) = (scenario.gateway, scenario.masqd)
            try gateway.lan.ip("addr add 192.168.1.3/24 dev eth0", "addr add fd00:1::3/64 dev eth0 nodad")
            let lan = gateway.lan
            try eventually("fd00:1::3 is local") {
                let answer = try Command("ip", "-6", "route", "get", "fd00:1::3").run(in: lan)
                return answer.status == 0 && answer.standardOutput.contains("local fd00:1::3")
            }
            server = try AddressServer(in: gateway.lan, addresses: ["192.168.1.3", "fd00:1::3"])
        }

        /// The source that a server sees of a connection from outside; throws when no answer comes.
        func seenFromOutside(
            _ transport: Conversation.Transport, from source: String = "198.51.100.80", to endpoint: Endpoint,
            limit: Duration = .seconds(10)
        ) throws -> String {
            try Conversation(
                transport, from: gateway.wan, source: Endpoint(source), to: endpoint, limit: limit
            ).ask(limit: limit).address
        }

        /// Whether nothing answers there.
        func isUnansweredOutside(
            _ transport: Conversation.Transport, from source: String = "198.51.100.80", to endpoint: Endpoint
        ) throws -> Bool {
            let limit = Duration.unanswered
            return try answer { try seenFromOutside(transport, from: source, to: endpoint, limit: limit) }
                == nil
        }
    }

    @Test("The world reaches the server, which sees who it is", arguments: Conversation.Transport.allCases)
    func fromOutside(transport: Conversation.Transport) throws {
        let scenery = try Scenery()
        #expect(
            try scenery.seenFromOutside(transport, to: Endpoint("203.0.113.7", 443)) == "198.51.100.80")
        #expect(
            try scenery.seenFromOutside(transport, to: Endpoint("203.0.113.7", 444)) == "198.51.100.80")
        #expect(
            try scenery.seenFromOutside(transport, from: "2001:db8:80::80", to: Endpoint("2001:db8::7", 443))
                == "2001:db8:80::80")
        #expect(try scenery.isUnansweredOutside(transport, to: Endpoint("203.0.113.7", 445)))
        #expect(try scenery.gateway.leaks() == 0)
    }

    @Test(
        "Clients inside reach it under the uplink's present address",
        arguments: Conversation.Transport.allCases)
    func reflection(transport: Conversation.Transport) throws {
        let scenery = try Scenery()
        let gateway = scenery.gateway
        // The server is on the client's own network: it must answer through the gateway.
        #expect(
            try gateway.seenSource(transport, from: "192.168.1.2", to: Endpoint("203.0.113.7", 443)).address
                == "192.168.1.1")
        // Behind another interface it sees who it is.
        #expect(
            try gateway.seenSource(transport, from: "192.168.1.2", to: Endpoint("203.0.113.7", 444)).address
                == "192.168.1.2")
        #expect(
            try gateway.seenSource(transport, from: "fd00:1::2", to: Endpoint("2001:db8::7", 443)).address
                == "fd00:1::1")

        try gateway.hangUp()
        try gateway.dialUp(address: "203.0.113.77")
        try scenery.masqd.waitForStatus(containing: "203.0.113.77")
        #expect(
            try gateway.seenSource(transport, from: "192.168.1.2", to: Endpoint("203.0.113.77", 443)).address
                == "192.168.1.1")
        #expect(
            try scenery.seenFromOutside(transport, to: Endpoint("203.0.113.77", 443)) == "198.51.100.80")
        #expect(try gateway.isUnanswered(transport, to: Endpoint("203.0.113.7", 443)))
        #expect(try gateway.leaks() == 0)
    }

    @Test("Who comes in by the uplink and claims to be inside is not let in to a server")
    func disguised() throws {
        let scenery = try Scenery(
            Scenario.configuration + """
                [[port_forward]]
                protocol = "udp"
                port = 443
                to = "192.168.1.3:7777"

                """)
        let gateway = scenery.gateway
        // As on Debian, where systemd sets 2: the source is known somewhere, and that is enough.
        for link in ["all", "ppp0"] { try gateway.router.setSysctl("ipv4/conf/\(link)/rp_filter", to: "2") }
        try gateway.lan.watch("arrived", "ip daddr 192.168.1.3 udp dport 7777")
        let door = Endpoint("203.0.113.7", 443)
        // The provider's own network may lie within the sources: it is behind the uplink all the same.
        try gateway.router.ip("route add 192.168.200.0/24 dev ppp0")
        for (source, count) in [("198.51.100.80", 1), ("192.168.200.9", 2)] {
            try RawPacket.sendUDP(from: Endpoint(source, 4000), to: door, in: gateway.wan)
            try eventually("\(source) gets in") { try gateway.lan.watched("arrived") == count }
        }
        try RawPacket.sendUDP(from: Endpoint("192.168.1.9", 4000), to: door, in: gateway.wan)
        try eventually("the spoofed packet was counted") {
            try gateway.router.packets(counter: "spoofed") == 1
        }
        #expect(try gateway.lan.watched("arrived") == 2)
    }

    @Test("Without reflection only the world reaches it")
    func withoutReflection() throws {
        let scenery = try Scenery(
            Scenario.configuration + """
                [[port_forward]]
                port = 443
                to = "192.168.1.3:7777"
                reflection = false

                [[port_forward]]
                port = 444
                to = "10.9.0.2:7777"

                """)
        _ = try scenery.seenFromOutside(.tcp, to: Endpoint("203.0.113.7", 443))
        #expect(try scenery.gateway.isUnanswered(.tcp, to: Endpoint("203.0.113.7", 443)))
        #expect(try scenery.gateway.isAnswered(.tcp, to: Endpoint("203.0.113.7", 444)))
    }

    @Test("A forward for some sources is for nobody else, and goes before one for everybody")
    func sources() throws {
        let scenery = try Scenery(
            Scenario.configuration + """
                [[port_forward]]
                port = 444
                to = "10.9.0.2:7777"

                [[port_forward]]
                port = "443-444"
                to = "192.168.1.3:7777-7778"
                source = "198.51.100.81/32"

                """)
        let (one, other) = (Endpoint("203.0.113.7", 443), Endpoint("203.0.113.7", 444))
        _ = try scenery.seenFromOutside(.tcp, from: "198.51.100.81", to: one)
        #expect(try scenery.isUnansweredOutside(.tcp, from: "198.51.100.80", to: one))
        _ = try scenery.seenFromOutside(.tcp, from: "198.51.100.80", to: other)
        // Nothing listens on 7778.
        #expect(try scenery.isUnansweredOutside(.tcp, from: "198.51.100.81", to: other))
    }

    @Test("Where the sources of two forwards overlap the first one of the file counts, also after a reload")
    func overlappingSources() throws {
        let forwards = [("198.51.100.80/32", "10.9.0.2:7777"), ("198.51.100.0/24", "192.168.1.3:7777")].map {
            "[[port_forward]]\nport = 443\nto = \"\($1)\"\nsource = \"\($0)\"\n\n"
        }
        let scenery = try Scenery(Scenario.configuration + forwards.joined())
        let (gateway, endpoint) = (scenery.gateway, Endpoint("203.0.113.7", 443))
        try gateway.dmz.watch("dmz", "tcp flags & (syn | ack) == syn")
        _ = try scenery.seenFromOutside(.tcp, from: "198.51.100.81", to: endpoint)
        #expect(try gateway.dmz.watched("dmz") == 0)
        _ = try scenery.seenFromOutside(.tcp, from: "198.51.100.80", to: endpoint)
        #expect(try gateway.dmz.watched("dmz") == 1)

        try scenery.masqd.reload(Scenario.configuration + forwards.reversed().joined())
        _ = try scenery.seenFromOutside(.tcp, from: "198.51.100.80", to: endpoint)
        #expect(try gateway.dmz.watched("dmz") == 1)
    }

    @Test("A forward that names the private network's interface too is for the clients there")
    func privateInterface() throws {
        let scenery = try Scenery(
            Scenario.configuration + """
                [[port_forward]]
                in_interface = ["ppp0", "lan0"]
                port = 443
                to = "192.168.1.3:7777"

                """)
        _ = try scenery.seenFromOutside(.tcp, to: Endpoint("203.0.113.7", 443))
        for address in ["203.0.113.7", "192.168.1.1"] {
            // The server is on the client's own network: it must answer through the gateway.
            #expect(
                try scenery.gateway.seenSource(.tcp, from: "192.168.1.2", to: Endpoint(address, 443)).address
                    == "192.168.1.1")
        }
    }

    @Test("What passes through the gateway to other addresses is not caught")
    func passingBy() throws {
        let scenery = try Scenery(
            """
            [[masquerade]]
            out_interface = "ppp0"
            source = "192.168.0.0/16"

            [[port_forward]]
            port = 7777
            to = "10.9.0.2"

            """)
        let server = try AddressServer(in: scenery.gateway.lan, addresses: ["172.20.0.2"])
        // A public network behind the gateway: its own server answers, and not the one of the forward.
        let conversation = try Conversation(
            .tcp, from: scenery.gateway.wan, to: Endpoint("172.20.0.2", AddressServer.port))
        _ = try conversation.ask()
        let counts = try scenery.gateway.router.nftListing("map inet masqd port_forward_ppp0")
        #expect(counts.contains("counter packets 0"))
        withExtendedLifetime(server) {}
    }

    @Test("A forward that changes leaves its connections alone, and the others' counters")
    func reload() throws {
        let scenery = try Scenery()
        let endpoint = Endpoint("203.0.113.7", 443)
        let conversation = try Conversation(.tcp, from: scenery.gateway.wan, to: endpoint)
        let seen = try conversation.ask()
        _ = try scenery.seenFromOutside(.tcp, to: Endpoint("203.0.113.7", 444))
        let changed = Self.forwards.replacing("192.168.1.3:7777", with: "192.168.1.3:7778")
        try scenery.masqd.reload(changed)
        #expect(try scenery.isUnansweredOutside(.tcp, to: endpoint))
        #expect(try conversation.ask() == seen)
        let listing = try scenery.gateway.router.nftListing("map inet masqd port_forward_ppp0")
        #expect(listing.contains("tcp . 444 counter packets 1"))
    }

    @Test("With policy = \"drop\" forwards pass too, from outside and from inside")
    func policyDrop() throws {
        let scenery = try Scenery(Self.forwards + "[forward]\npolicy = \"drop\"\n")
        _ = try scenery.seenFromOutside(.tcp, to: Endpoint("203.0.113.7", 443))
        #expect(try scenery.gateway.isAnswered(.tcp, to: Endpoint("203.0.113.7", 443)))
        #expect(try scenery.gateway.isAnswered(.tcp, to: Endpoint("203.0.113.7", 444)))
    }
}
