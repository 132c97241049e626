// SPDX-License-Identifier: GPL-3.0-or-later

import TestSupport
import Testing

@Suite("Limits and accounting")
struct AccountingTests {
    @Test("Packets and bytes are counted for blocks, clients and forwards, in both directions")
    func counts() throws {
        let scenario = try Scenario(
            Scenario.configuration + """
                [[port_forward]]
                port = 443
                to = "10.9.0.2:7777"

                [accounting]
                blocks = true
                clients = true
                forwards = true

                """)
        let gateway = scenario.gateway
        let conversation = try Conversation(
            .udp, from: gateway.lan, source: Endpoint("192.168.1.2"), to: Gateway.server)
        for _ in 0..<10 { _ = try conversation.ask() }
        let router = gateway.router
        #expect(try router.packets(counter: "masquerade_1_sent", table: "inet masqd") == 10)
        #expect(try router.packets(counter: "masquerade_1_received", table: "inet masqd") == 10)
        #expect(
            try router.nftListing("set inet masqd clients_sent").contains("192.168.1.2 counter packets 10 "))
        #expect(
            try router.nftListing("set inet masqd clients_received").contains(
                "192.168.1.2 counter packets 10 "))

        _ = try Conversation(.tcp, from: gateway.wan, to: Endpoint("203.0.113.7", 443)).ask()
        #expect(
            try router.nftListing("set inet masqd forwards_received").contains(
                "10.9.0.2 . tcp . 7777 counter"))
        #expect(
            try router.nftListing("set inet masqd forwards_sent").contains("10.9.0.2 . tcp . 7777 counter"))

        // What packets have recorded is nobody's change: a reload that changes something else leaves it alone.
        try scenario.masqd.reload(
            Scenario.configuration("persistent = true") + "[accounting]\nblocks = true\nclients = true\n")
        #expect(
            try router.nftListing("set inet masqd clients_sent").contains("192.168.1.2 counter packets 10 "))
    }

    @Test("A packet is counted once, for the first block that has it, however its interfaces are written")
    func countsOnce() throws {
        let blocks = ["192.168.1.0/24", "192.168.0.0/16"].map {
            "[[masquerade]]\nout_interface = [\"ppp0\", \"ppp*\", \"p*\"]\nsource = \"\($0)\"\n\n"
        }
        let scenario = try Scenario(blocks.joined() + "[accounting]\nblocks = true\nclients = true\n")
        let router = scenario.gateway.router
        _ = try scenario.gateway.seenSource(.udp, from: "192.168.1.2")
        for direction in ["sent", "received"] {
            #expect(try router.packets(counter: "masquerade_1_\(direction)", table: "inet masqd") == 1)
            #expect(try router.packets(counter: "masquerade_2_\(direction)", table: "inet masqd") == 0)
            #expect(
                try router.nftListing("set inet masqd clients_\(direction)").contains(
                    "192.168.1.2 counter packets 1 "))
        }
    }

    @Test(
        "A client that no longer fits is not counted, known ones are, and its packets are the first block's only"
    )
    func fullRecording() throws {
        let blocks = ["192.168.1.0/24", "192.168.0.0/16"].map {
            "[[masquerade]]\nout_interface = \"ppp0\"\nsource = \"\($0)\"\n\n"
        }
        let scenario = try Scenario(
            blocks.joined() + "[accounting]\nblocks = true\nclients = true\nmax_clients = 1\n")
        let (gateway, router) = (scenario.gateway, scenario.gateway.router)
        try gateway.lan.ip("addr add 192.168.1.3/24 dev eth0")
        for source in ["192.168.1.2", "192.168.1.3", "192.168.1.2"] {
            _ = try gateway.seenSource(.udp, from: source)
        }
        for direction in ["sent", "received"] {
            #expect(try router.packets(counter: "masquerade_1_\(direction)", table: "inet masqd") == 3)
            #expect(try router.packets(counter: "masquerade_2_\(direction)", table: "inet masqd") == 0)
            let listing = try router.nftListing("set inet masqd clients_\(direction)")
            #expect(listing.contains("192.168.1.2 counter packets 2 "))
            #expect(!listing.contains("192.168.1.3"))
        }
    }

    @Test("Forwards are counted wherever they come in, and nothing but their own ports is")
    func forwards() throws {
        let scenario = try Scenario(
            """
            [[port_forward]]
            in_interface = "ppp0"
            protocol = "udp"
            port = "443-444"
            to = "10.9.0.2:7777-7778"

            [accounting]
            forwards = true

            """)
        let (wan, router) = (scenario.gateway.wan, scenario.gateway.router)
        _ = try Conversation(.udp, from: wan, to: Endpoint("203.0.113.7", 443)).ask()
        // Nothing listens there, and the server says so: an ICMP error, which has no port.
        let closed = try Conversation(.udp, from: wan, to: Endpoint("203.0.113.7", 444))
        #expect(try answer { try closed.ask(limit: .unanswered) } == nil)
        for direction in ["sent", "received"] {
            let listing = try router.nftListing("set inet masqd forwards_\(direction)")
            #expect(listing.contains("10.9.0.2 . udp . 7777 counter packets 1 "))
            #expect(listing.contains("10.9.0.2 . udp . 7778 counter packets"))
            #expect(!listing.contains("icmp"))
        }
    }

    @Test("A client has no more connections at once than it may")
    func connections() throws {
        let scenario = try Scenario(Scenario.configuration + "[clients]\nmax_connections = 3\n")
        let gateway = scenario.gateway
        var conversations: [Conversation] = []
        for _ in 0..<3 {
            conversations.append(
                try Conversation(.tcp, from: gateway.lan, source: Endpoint("192.168.1.2"), to: Gateway.server)
            )
        }
        #expect(try gateway.isUnanswered(.tcp, from: "192.168.1.2"))
        for conversation in conversations { _ = try conversation.ask() }
        try gateway.lan.ip("addr add 192.168.1.3/24 dev eth0")
        #expect(try gateway.isAnswered(.tcp, from: "192.168.1.3"))
    }

    @Test(
        "A client has no more connections at once than it may, whatever address of its IPv6 network it takes")
    func connectionsOverIPv6() throws {
        let scenario = try Scenario(
            Scenario.configuration.replacing("fd00:1::/64", with: "fd00::/16")
                + "[clients]\nmax_connections = 2\n")
        let gateway = scenario.gateway
        for number in 3...5 { try gateway.lan.ip("addr add fd00:1::\(number)/64 dev eth0 nodad") }
        let first = try gateway.conversation(from: "fd00:1::2", to: Gateway.serverIPv6)
        let second = try gateway.conversation(from: "fd00:1::3", to: Gateway.serverIPv6)
        for number in 2...5 {
            #expect(try gateway.isUnanswered(.udp, from: "fd00:1::\(number)", to: Gateway.serverIPv6))
        }
        for conversation in [first, second] { _ = try conversation.ask() }
    }

    /// A limit of two, with room for eight clients that are counted one by one.
    private static let limits = ["max_connections = 2", "new_connections = \"2/day\""]

    @Test(
        "Clients that are too many to be counted one by one have the limit of one along with their network",
        arguments: limits)
    func fullLimit(limit: String) throws {
        let scenario = try Scenario(
            Scenario.configuration
                + "[clients]\n\(limit)\nmax_clients = 8\n\n[log]\ndrops = \"nflog\"\ngroup = 5\n")
        let gateway = scenario.gateway
        let log = try PacketLog(group: 5, in: gateway.router)
        for number in [3, 4] { try gateway.lan.ip("addr add 192.168.1.\(number)/24 dev eth0") }
        try gateway.lan.ip("addr add 192.168.2.2/24 dev eth0")
        try gateway.router.ip("route add 192.168.2.0/24 via 192.168.1.2")
        let known = try gateway.conversation(from: "192.168.1.4", to: Gateway.server)
        // Somebody claims to be many others.
        for number in 1...12 {
            try RawPacket.sendUDP(
                from: Endpoint("192.168.200.\(number)", 4000), to: Gateway.server, in: gateway.lan)
        }
        let elements = try gateway.router.nftListing("table inet masqd")
        #expect(elements.contains("192.168.200.7 ") && !elements.contains("192.168.200.8 "))

        // One that is counted: two in all.
        let another = try gateway.conversation(from: "192.168.1.4", to: Gateway.server)
        #expect(try gateway.isUnanswered(.udp, from: "192.168.1.4"))
        // Two that are not, in one network: two for both.
        let uncounted = try gateway.conversation(from: "192.168.1.2", to: Gateway.server)
        let neighbour = try gateway.conversation(from: "192.168.1.3", to: Gateway.server)
        for source in ["192.168.1.2", "192.168.1.3"] {
            #expect(try gateway.isUnanswered(.udp, from: source))
        }
        let refused = PacketLog.Entry(
            prefix: "masqd drop: too many clients: ", source: "192.168.1.2",
            destination: Gateway.server.address)
        #expect(try log.entries().contains(refused))
        // What is under way goes on, and what is known of one network keeps nobody out of another.
        for conversation in [known, another, uncounted, neighbour] { _ = try conversation.ask() }
        #expect(try gateway.isAnswered(.udp, from: "192.168.2.2"))
    }

    @Test("A client that connects too often is refused what is beyond its rate")
    func rate() throws {
        let scenario = try Scenario(
            Scenario.configuration + "[clients]\nnew_connections = \"1/hour burst 2\"\n")
        let gateway = scenario.gateway
        #expect(try gateway.isAnswered(.udp, from: "192.168.1.2"))
        #expect(try gateway.isAnswered(.udp, from: "192.168.1.2"))
        #expect(try gateway.isUnanswered(.udp, from: "192.168.1.2"))
    }
}

extension Gateway {
    /// A flow that had its answer, and whose socket is still open.
    fileprivate func conversation(from source: String, to server: Endpoint) throws -> Conversation {
        let conversation = try Conversation(.udp, from: lan, source: Endpoint(source), to: server)
        _ = try conversation.ask()
        return conversation
    }
}
