// SPDX-License-Identifier: GPL-3.0-or-later

import TestSupport
import Testing

@Suite("The log of drops")
struct DropLogTests {
    private static let inside = Endpoint("192.168.1.2", AddressServer.port)

    private static func configuration(_ lines: String..., group: Int = 5) -> String {
        Scenario.configuration + lines.map { $0 + "\n" }.joined() + log(to: group)
    }

    private static func log(to group: Int) -> String { "[log]\ndrops = \"nflog\"\ngroup = \(group)\n" }

    @Test("Who may not connect is told with the list that forbids it; who may is not")
    func access() throws {
        let scenario = try Scenario(
            Self.configuration(
                "[clients]", "blocked = \"192.168.1.66\"", "allowed = [\"192.168.1.2\", \"192.168.1.66\"]",
                "[destinations]", "blocked = \"198.51.100.81\"", "allowed = \"198.51.100.0/24\""))
        let gateway = scenario.gateway
        try gateway.lan.ip("addr add 192.168.1.66/24 dev eth0", "addr add 192.168.1.3/24 dev eth0")
        let log = try PacketLog(group: 5, in: gateway.router)
        #expect(try gateway.seenSource(.tcp, from: "192.168.1.2").address == "203.0.113.7")
        #expect(try log.entries() == [])
        for (source, server, reason) in [
            ("192.168.1.66", Gateway.server, "blocked client"),
            ("192.168.1.3", Gateway.server, "client not allowed"),
            ("192.168.1.2", Gateway.secondServer, "blocked destination"),
            ("192.168.1.2", Endpoint("203.0.113.1", 9), "destination not allowed"),
            ("fd00:1::2", Gateway.serverIPv6, "client not allowed"),
        ] {
            let count = try log.entries().count
            _ = try gateway.isUnanswered(.udp, from: source, to: server)
            let entry = PacketLog.Entry(
                prefix: "masqd drop: \(reason): ", source: source, destination: server.address)
            #expect(try log.entries().dropFirst(count) == [entry])
        }
    }

    @Test("What is beyond a client's limits is told")
    func limits() throws {
        let scenario = try Scenario(
            Self.configuration("[clients]", "max_connections = 1", "new_connections = \"1/hour burst 3\""))
        let gateway = scenario.gateway
        let log = try PacketLog(group: 5, in: gateway.router)
        for _ in 0..<4 { _ = try gateway.isUnanswered(.udp) }
        #expect(
            try log.entries().map(\.prefix) == [
                "masqd drop: too many connections: ", "masqd drop: too many connections: ",
                "masqd drop: too many new connections: ",
            ])
    }

    @Test("What is spoofed, unsolicited, untranslated or forbidden by the policy is told with why")
    func guardsAndPolicy() throws {
        let scenario = try Scenario(Self.configuration("[forward]", "policy = \"drop\""))
        let gateway = scenario.gateway
        try gateway.wan.ip(
            "route add 198.51.100.200 dev isp-ppp0", "route replace 192.168.0.0/16 dev isp-ppp0")
        let log = try PacketLog(group: 5, in: gateway.router)
        let outside = Endpoint("198.51.100.200", 4000)

        #expect(try gateway.isUnanswered(.udp, to: Gateway.dmzServer))
        try RawPacket.sendUDP(from: Endpoint("192.168.1.9", 4000), to: outside, in: gateway.wan)
        try RawPacket.sendUDP(from: Endpoint("203.0.113.1", 4000), to: Self.inside, in: gateway.wan)
        try gateway.router.setSysctl("netfilter/nf_conntrack_tcp_loose", to: "0")
        let middle = Endpoint("192.168.1.2", 5555)
        try RawPacket.sendAcknowledgement(from: middle, to: Gateway.server, in: gateway.lan)

        let expected: [(String, String, String)] = [
            ("forward policy", "192.168.1.2", "10.9.0.2"), ("spoofed source", "192.168.1.9", outside.address),
            ("unsolicited", "203.0.113.1", "192.168.1.2"), ("untranslated", "192.168.1.2", "198.51.100.80"),
        ]
        try eventually("all four are told") { try log.entries().count >= expected.count }
        let entries = expected.map {
            PacketLog.Entry(prefix: "masqd drop: \($0.0): ", source: $0.1, destination: $0.2)
        }
        #expect(try Set(log.entries().map(\.description)) == Set(entries.map(\.description)))
        #expect(try gateway.leaks() == 0)
    }

    @Test("What waits for an uplink's prefix is told, with a prefix of one's own")
    func noPrefix() throws {
        let snat = "[[snat]]\nout_interface = \"ppp0\"\nsource = \"fd00:1::/64\"\nto = \"uplink-prefix\"\n"
        let scenario = try Scenario(snat + Self.log(to: 5) + "prefix = \"gw7 \"\n", dialedUp: false)
        let gateway = scenario.gateway
        try gateway.dialUp(addressIPv6: nil)
        try gateway.router.ip("route replace ::/0 dev ppp0")
        let log = try PacketLog(group: 5, in: gateway.router)
        #expect(try gateway.isUnanswered(.udp, to: Gateway.serverIPv6))
        #expect(
            try log.entries() == [
                .init(
                    prefix: "gw7 no prefix yet: ", source: "fd00:1::2",
                    destination: Gateway.serverIPv6.address)
            ])
    }

    @Test("A flood is told as often as the rate says and no oftener, and hides no other reason")
    func rate() throws {
        let scenario = try Scenario(Self.configuration() + "rate = \"1/hour burst 3\"\n")
        let gateway = scenario.gateway
        try gateway.wan.ip(
            "route add 198.51.100.200 dev isp-ppp0", "route replace 192.168.0.0/16 dev isp-ppp0")
        let log = try PacketLog(group: 5, in: gateway.router)
        let sender = Endpoint("203.0.113.1", 4000)
        for _ in 0..<50 { try RawPacket.sendUDP(from: sender, to: Self.inside, in: gateway.wan) }
        try eventually("all are dropped") { try gateway.router.packets(counter: "unsolicited") == 50 }
        #expect(try log.entries().count == 3)

        try RawPacket.sendUDP(
            from: Endpoint("192.168.1.9", 4000), to: Endpoint("198.51.100.200", 4000), in: gateway.wan)
        try eventually("the spoofed packet is told") {
            try log.entries().last?.prefix == "masqd drop: spoofed source: "
        }
    }

    @Test("A reload to off ends it and one to another group moves it; what is dropped stays the same")
    func reload() throws {
        let scenario = try Scenario()
        let gateway = scenario.gateway
        let quiet = try gateway.router.masqdTable()
        try gateway.wan.ip("route replace 192.168.0.0/16 dev isp-ppp0")
        let (first, second) = (
            try PacketLog(group: 5, in: gateway.router), try PacketLog(group: 6, in: gateway.router)
        )
        var dropped = 0
        func knock() throws {
            dropped += 1
            try RawPacket.sendUDP(
                from: Endpoint("203.0.113.1", 4000), to: Self.inside, in: gateway.wan)
            try eventually("it is dropped") {
                try gateway.router.packets(counter: "unsolicited") == dropped
            }
        }
        func told() throws -> [Int] { [try first.entries().count, try second.entries().count] }

        try scenario.masqd.reload(Self.configuration())
        try knock()
        try eventually("it is told") { try told() == [1, 0] }
        try scenario.masqd.reload(Self.configuration(group: 6))
        try knock()
        try eventually("it is told to the other group") { try told() == [1, 1] }
        try scenario.masqd.reload(Scenario.configuration)
        try knock()
        try knock()
        #expect(try told() == [1, 1])
        let chains = { (table: String) in
            Set(table.split(separator: "\n").filter { $0.contains("chain ") }.map { $0.prefix { $0 != "#" } })
        }
        #expect(try chains(gateway.router.masqdTable()) == chains(quiet))
    }

    /// The kernel writes to its log for the first network namespace only (net.netfilter.nf_log_all_netns): what arrives
    /// there is the machine tests' to see.
    @Test("With the kernel's own log the same packets are dropped, and no group is told")
    func kernel() throws {
        let scenario = try Scenario(
            Scenario.configuration + "[clients]\nblocked = \"192.168.1.2\"\n[log]\ndrops = \"kernel\"\n")
        let gateway = scenario.gateway
        let log = try PacketLog(group: 0, in: gateway.router)
        #expect(try gateway.isUnanswered(.udp))
        #expect(try gateway.isAnswered(.udp, from: "fd00:1::2", to: Gateway.serverIPv6))
        #expect(try gateway.router.packets(counter: "refused") == 1)
        #expect(try log.entries() == [])
    }
}
