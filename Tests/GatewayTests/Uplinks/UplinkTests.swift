// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport
import Testing

@Suite("Several uplinks")
struct UplinkTests {
    @Test(
        "An answer leaves by the uplink that the question came in by: of the gateway's own service, and of a DNAT's",
        arguments: Conversation.Transport.allCases)
    func answers(transport: Conversation.Transport) throws {
        let lines = try TwoLines()
        let gateway = lines.gateway
        let services = try AddressServer(
            in: gateway.router, addresses: ["203.0.113.7", "203.0.113.9", "2001:db8::7", "2001:db8::9"])
        defer { withExtendedLifetime(services) {} }
        try gateway.router.nft(
            """
            table inet foreign {
                chain forwards {
                    type nat hook prerouting priority dstnat; policy accept;
                    meta l4proto { tcp, udp } th dport 8080 dnat ip to 192.168.1.2:7777
                }
            }

            """)
        let client = try AddressServer(in: gateway.lan, addresses: ["192.168.1.2"])
        defer { withExtendedLifetime(client) {} }
        func isAnswered(_ address: String, _ port: UInt16, limit: Duration = .seconds(10)) throws -> Bool {
            let source = Endpoint(address.contains(":") ? Gateway.serverIPv6.address : Gateway.server.address)
            return try answer {
                try Conversation(
                    transport, from: gateway.wan, source: source, to: Endpoint(address, port), limit: limit
                ).ask(limit: limit)
            } != nil
        }
        // The provider takes no packet with an address that is not of the line it comes by.
        #expect(try isAnswered("203.0.113.7", 7777))
        #expect(try !isAnswered("203.0.113.9", 7777, limit: .unanswered))
        #expect(try !isAnswered("2001:db8::9", 7777, limit: .unanswered))
        let masqd = try lines.start()
        for (address, port) in [
            ("203.0.113.7", 7777), ("203.0.113.9", 7777), ("203.0.113.7", 8080), ("203.0.113.9", 8080),
            ("2001:db8::7", 7777), ("2001:db8::9", 7777),
        ] as [(String, UInt16)] {
            #expect(try isAnswered(address, port), "\(address) port \(port)")
        }
        #expect(try masqd.stop() == 0)
        #expect(try !isAnswered("203.0.113.9", 7777, limit: .unanswered))
    }

    @Test("The file's order decides for new connections, and those that are there stay where they began")
    func order() throws {
        let lines = try TwoLines()
        let gateway = lines.gateway
        let masqd = try lines.start()
        let old = try Conversation(.tcp, from: gateway.lan, to: Gateway.server)
        #expect(try old.ask().address == "203.0.113.7")
        try masqd.reload(TwoLines.configuration("ppp1", "ppp0"))
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.9")
        #expect(try gateway.seenSource(.udp, to: Gateway.serverIPv6).address == "2001:db8::9")
        #expect(try old.ask().address == "203.0.113.7")
        // What the gateway sends itself goes the same way, and what is bound to an interface goes by that.
        let own = try Conversation(.tcp, from: gateway.router, to: Gateway.server)
        #expect(try own.ask().address == "203.0.113.9")
        let dmz = try Conversation(.tcp, from: gateway.lan, to: Gateway.dmzServer)
        #expect(try dmz.ask().address == "192.168.1.2")
        #expect(try gateway.leaks() == 0)
    }

    @Test(
        "A flow that stays with its uplink keeps the address that it has there, whatever other line is preferred"
    )
    func ownPool() throws {
        let lines = try TwoLines()
        let gateway = lines.gateway
        try gateway.wan.ip("route add 192.0.2.10 dev isp-ppp0", "route add 192.0.2.20 dev isp-ppp1")
        let blocks = [("ppp0", "192.0.2.10"), ("ppp1", "192.0.2.20")].map { interface, address in
            """
            [[snat]]
            out_interface = "\(interface)"
            source = "192.168.0.0/16"
            to = "\(address)"
            [[uplink]]
            interface = "\(interface)"

            """
        }
        let masqd = try Masqd(in: gateway.router, configuration: blocks.joined())
        try masqd.waitForReady()
        try gateway.wan.ip("link set isp-ppp0 down")
        try masqd.waitForStatus(containing: "new connections leave by ppp1")
        let phone = try Conversation(.udp, from: gateway.lan, to: Gateway.server)
        #expect(try phone.ask().address == "192.0.2.20")
        try gateway.wan.ip("link set isp-ppp0 up")
        try masqd.waitForStatus(containing: "new connections leave by ppp0")
        for port in [4731, 4732] as [UInt16] { try gateway.examineConnections(port: port) }
        #expect(try phone.ask().address == "192.0.2.20")
    }

    @Test(
        "An uplink whose gateway the kernel refuses is left out, and no other; that is told, and mended later"
    )
    func refusedGateway() throws {
        let lines = try TwoLines()
        let gateway = lines.gateway
        let text = TwoLines.configuration("ppp1", "ppp0", lines: ["gateway = \"10.99.99.99\""])
        let masqd = try Masqd(in: gateway.router, configuration: text)
        try masqd.waitForReady()
        let reason = "the kernel refused the route to 0.0.0.0/0 in table 7001: Network is unreachable"
        try masqd.waitForStatus(containing: "\(reason); new connections leave by ppp0")
        #expect(try masqd.log.contains("ppp1 is left out of [[uplink]] until the kernel takes it"))
        #expect(try lines.policy().contains("20062:\tfrom all lookup 7002 proto 109"))
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
        try gateway.router.ip("route add 10.99.99.99 dev ppp1")
        try masqd.waitForStatus(containing: "new connections leave by ppp1")
        #expect(try !masqd.status.contains("refused"))
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.9")
        #expect(try masqd.stop() == 0)
        #expect(try !lines.policy().contains { $0.contains("proto 109") })
    }

    @Test("An ICMP error of the gateway's finds the client although the connection has an uplink's mark")
    func errors() throws {
        let lines = try TwoLines()
        _ = try lines.start()
        let flow = try Conversation(.udp, from: lines.gateway.lan, to: Gateway.server)
        #expect(try flow.ask().address == "203.0.113.7")
        try flow.socket.set(IPPROTO_IP, IP_RECVERR, to: 1)
        try flow.socket.set(IPPROTO_IP, IP_TTL, to: 1)
        try flow.socket.send([1])
        // "Time exceeded" arrives as this.
        let failure = thrownError(Failure.self) { _ = try flow.socket.receive() }
        #expect(failure.map { "\($0)" }?.contains(String(cString: strerror(EHOSTUNREACH))) == true)
    }

    @Test(
        "A lost uplink's flows go, in both directions and only they, or wait, as configured; new ones take the other",
        arguments: ["drop", "keep"])
    func loss(onLoss: String) throws {
        let lines = try TwoLines()
        let gateway = lines.gateway
        try lines.serveThroughBothLines()
        let masqd = try lines.start("on_loss = \"\(onLoss)\"")
        let other = try Conversation(
            .tcp, from: gateway.wan, source: Endpoint(Gateway.server.address),
            to: Endpoint("203.0.113.9", 8080))
        #expect(try other.ask().address == Gateway.server.address)
        let inward = try Conversation(
            .udp, from: gateway.wan, source: Endpoint(Gateway.server.address, 5001),
            to: Endpoint("203.0.113.7", 8080))
        #expect(try inward.ask().address == Gateway.server.address)
        let phone = try Conversation(.udp, from: gateway.lan, to: Gateway.server)
        #expect(try phone.ask().address == "203.0.113.7")

        // The cable is pulled: the link stays, and the kernel keeps every connection.
        try gateway.wan.ip("link set isp-ppp0 down")
        try masqd.waitForStatus(containing: "new connections leave by ppp1")
        let log = try masqd.log
        #expect(log.contains("uplink ppp0 is lost, it has no carrier"))
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.9")
        if onLoss == "drop" {
            try eventually("the lost uplink's connections are gone") {
                try lines.connections(marked: "mark=48").isEmpty
                    && lines.connections(marked: "mark=32").isEmpty
            }
            try eventually("the phone goes on by the other line") {
                try answer { try phone.ask(limit: .unanswered).address } == "203.0.113.9"
            }
        } else {
            #expect(try lines.connections(marked: "mark=48").count == 1)
            #expect(try answer { try phone.ask(limit: .unanswered) } == nil)
        }
        #expect(try other.ask().address == Gateway.server.address)

        try gateway.wan.ip("link set isp-ppp0 up")
        try masqd.waitForStatus(containing: "new connections leave by ppp0")
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
        if onLoss == "keep" { #expect(try phone.ask().address == "203.0.113.7") }
        #expect(try other.ask().address == Gateway.server.address)
        #expect(try gateway.leaks() == 0)
    }

    @Test("A reconnection with another index and address is followed, and the time between bridged")
    func reconnection() throws {
        let lines = try TwoLines()
        let gateway = lines.gateway
        let masqd = try lines.start()
        for round in 1...5 {
            try gateway.hangUp()
            // The kernel alone leaves the empty table for the next one: no need to wait for masqd.
            #expect(try gateway.seenSource(.udp).address == "203.0.113.9")
            try masqd.waitForStatus(containing: "new connections leave by ppp1")
            try gateway.dialUp(address: "203.0.113.\(20 + round)", addressIPv6: nil)
            try masqd.waitForStatus(containing: "new connections leave by ppp0")
            let seen = try gateway.seenSource(.udp).address
            let log = try masqd.log
            let policy = try lines.policy()
            #expect(seen == "203.0.113.\(20 + round)", "\(log) \(policy)")
        }
        #expect(try gateway.leaks() == 0)
    }

    @Test(
        "A line that is up and leads nowhere is found out by its probe, and used again when that is answered")
    func probe() throws {
        let lines = try TwoLines()
        let gateway = lines.gateway
        let masqd = try lines.start(
            "probe = \"198.51.100.81:7777\"", "[policy_routing]", "probe_interval = 1", "probe_failures = 2")
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
        let flow = try Conversation(.udp, from: gateway.lan, to: Gateway.server)
        #expect(try flow.ask().address == "203.0.113.7")
        try gateway.wan.nft(
            """
            table inet broken {
                chain arriving {
                    type filter hook prerouting priority raw; policy accept;
                    iifname "isp-ppp0" drop
                }
            }

            """)
        try masqd.waitForStatus(containing: "ppp0 has no answer to its probes; new connections leave by ppp1")
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.9")
        try eventually("the flow goes on by the other line") {
            try answer { try flow.ask(limit: .unanswered).address } == "203.0.113.9"
        }
        try gateway.wan.nft("delete table inet broken\n")
        try masqd.waitForStatus(containing: "new connections leave by ppp0")
        #expect(try !masqd.status.contains("no answer"))
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
    }

    @Test("A target that refuses the connection answers all the same")
    func refusal() throws {
        let lines = try TwoLines()
        let masqd = try lines.start(
            "probe = \"198.51.100.81:9\"", "[policy_routing]", "probe_interval = 1", "probe_failures = 1")
        // One more round than the judgement takes.
        try lines.gateway.wan.watch("probes", "ip daddr 198.51.100.81 tcp dport 9")
        try eventually("three rounds are over") { try lines.gateway.wan.watched("probes") >= 3 }
        #expect(try masqd.status.contains("new connections leave by ppp0"))
    }

    @Test(
        "SIGTERM takes masqd's rules and routes away, and nobody else's; without [[uplink]] there never are any"
    )
    func stop() throws {
        let lines = try TwoLines()
        let router = lines.gateway.router
        try router.ip(
            "rule add fwmark 0x20/0xe0 lookup 7001 priority 20001",
            "rule add from 192.0.2.1 lookup 99 priority 5",
            "route add 192.0.2.0/24 dev dmz0 table 7001", "route add default dev dmz0 table 7002 metric 5")
        let before = try lines.policy()
        var masqd = try Masqd(in: router, configuration: Scenario.configuration)
        try masqd.waitForReady()
        #expect(try lines.policy() == before)
        #expect(try masqd.stop() == 0)

        masqd = try lines.start()
        let during = try lines.policy()
        #expect(during.contains("20061:\tfrom all lookup 7001 proto 109"))
        #expect(Set(before).isSubset(of: during))
        // Somebody else's default route in the table is the only one.
        #expect(
            during.filter {
                $0.hasPrefix("default") && $0.contains("table 7002") && $0.contains("scope link")
            }.count
                == 1)
        #expect(try masqd.stop() == 0)
        #expect(try lines.policy() == before)
    }

    @Test(
        "kill -9 and a hand-over leave all in force, and the next masqd adopts it",
        arguments: [SIGKILL, SIGUSR1])
    func adoption(signal: CInt) throws {
        let lines = try TwoLines()
        let gateway = lines.gateway
        var masqd = try lines.start()
        let policy = try lines.policy()
        let flow = try Conversation(.tcp, from: gateway.lan, to: Gateway.server)
        #expect(try flow.ask().address == "203.0.113.7")
        try masqd.stop(signal)
        #expect(try lines.policy() == policy)
        #expect(try flow.ask().address == "203.0.113.7")
        // In another order: the connection's mark still means the same line.
        masqd = try Masqd(in: gateway.router, configuration: TwoLines.configuration("ppp1", "ppp0"))
        try masqd.waitForReady()
        #expect(try flow.ask().address == "203.0.113.7")
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.9")
        #expect(try masqd.stop() == 0)
        #expect(try !lines.policy().contains { $0.contains("proto 109") })
    }

    @Test("What others delete of masqd's rules and routes is restored at once")
    func restored() throws {
        let lines = try TwoLines()
        let router = lines.gateway.router
        let masqd = try lines.start()
        let policy = try lines.policy()
        try router.ip("rule del priority 20001 protocol 109", "route flush table 7001")
        try eventually("the rule and the routes are back") { try lines.policy() == policy }
        try eventually("that is told") { try masqd.log.contains("somebody changed masqd's rules or routes") }
    }

    @Test("A strict rp_filter is told, with the command that helps")
    func strictReversePath() throws {
        let lines = try TwoLines()
        let masqd = try lines.start()
        try lines.gateway.router.setSysctl("ipv4/conf/ppp1/rp_filter", to: "1")
        try eventually("it is told") {
            try masqd.log.contains("sysctl -w net/ipv4/conf/ppp1/rp_filter=2")
        }
        #expect(try lines.gateway.router.sysctl("ipv4/conf/ppp1/rp_filter") == "1")
    }
}
