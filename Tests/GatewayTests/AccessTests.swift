// SPDX-License-Identifier: GPL-3.0-or-later

import TestSupport
import Testing

@Suite("Who may connect, and where to")
struct AccessTests {
    private static func configuration(_ lines: String) -> String { Scenario.configuration + "\n" + lines }

    @Test("A blocked client gets nowhere, another one everywhere", arguments: Conversation.Transport.allCases)
    func blockedClient(transport: Conversation.Transport) throws {
        let scenario = try Scenario(
            Self.configuration("[clients]\nblocked = [\"192.168.1.2\", \"fd00:1::2\"]\n"))
        let gateway = scenario.gateway
        try gateway.lan.ip("addr add 192.168.1.3/24 dev eth0")
        #expect(try gateway.isUnanswered(transport, from: "192.168.1.2"))
        #expect(try gateway.isUnanswered(transport, from: "fd00:1::2", to: Gateway.serverIPv6))
        #expect(try gateway.seenSource(transport, from: "192.168.1.3").address == "203.0.113.7")
        // What does not leave by an uplink is none of masqd's business.
        #expect(
            try gateway.seenSource(transport, from: "192.168.1.2", to: Gateway.dmzServer).address
                == "192.168.1.2")
        #expect(try gateway.router.packets(counter: "refused", table: "inet masqd") ?? 0 >= 2)
        #expect(try gateway.leaks() == 0)
    }

    @Test("Only the allowed clients get anywhere, and only to the allowed destinations")
    func allowed() throws {
        let scenario = try Scenario(
            Self.configuration(
                """
                [clients]
                allowed = "192.168.1.2"

                [destinations]
                allowed = "198.51.100.80/31"
                blocked = "198.51.100.81"

                """))
        let gateway = scenario.gateway
        try gateway.lan.ip("addr add 192.168.1.3/24 dev eth0")
        #expect(try gateway.isAnswered(.tcp, from: "192.168.1.2"))
        #expect(try gateway.isUnanswered(.tcp, from: "192.168.1.2", to: Gateway.secondServer))
        #expect(try gateway.isUnanswered(.tcp, from: "192.168.1.3"))
        #expect(try gateway.isUnanswered(.tcp, from: "fd00:1::2", to: Gateway.serverIPv6))
    }

    @Test(
        "A reload cuts the connections of a client that it blocks, and no others, whatever is repaired",
        arguments: [true, false])
    func reload(isRepairing: Bool) throws {
        let lines = "\n[conntrack]\nrepair = \(isRepairing)\n"
        let scenario = try Scenario(Scenario.configuration + lines)
        let gateway = scenario.gateway
        try gateway.lan.ip("addr add 192.168.1.3/24 dev eth0")
        let blocked = try Conversation(
            .udp, from: gateway.lan, source: Endpoint("192.168.1.2"), to: Gateway.server)
        let other = try Conversation(
            .udp, from: gateway.lan, source: Endpoint("192.168.1.3"), to: Gateway.server)
        _ = try blocked.ask()
        let seen = try other.ask()
        try scenario.masqd.reload(Self.configuration("[clients]\nblocked = \"192.168.1.2\"\n" + lines))
        try eventually("the connection is cut") {
            try answer { try blocked.ask(limit: .unanswered) } == nil
        }
        try eventually("it is told for what it is") {
            try scenario.masqd.log.contains("1 connection deleted, which [clients] refuses: udp 192.168.1.2:")
        }
        #expect(try other.ask() == seen)
        try scenario.masqd.reload(Scenario.configuration + lines)
        #expect(try blocked.ask().address == "203.0.113.7")
    }

    @Test("A file that changes is read again at a reload, and only what differs is sent")
    func file() throws {
        let scenario = try Scenario()
        let gateway = scenario.gateway
        var networks = (0..<2000).map { "10.\($0 / 256).\($0 % 256).0/24" }
        func write(_ last: String) throws {
            let text = (networks + [last]).joined(separator: "\n")
            try scenario.masqd.write(text, besideConfiguration: "blocked")
        }
        try write("198.51.100.81 # the second server\n")
        let configuration = Self.configuration("[destinations]\nblocked_file = \"blocked\"\n")
        try scenario.masqd.reload(configuration)
        #expect(try gateway.isAnswered(.tcp))
        #expect(try gateway.isUnanswered(.tcp, to: Gateway.secondServer))

        networks.append("198.51.100.80")
        try write("")
        let table = try gateway.router.masqdTable()
        try scenario.masqd.reload(configuration)
        #expect(try gateway.isUnanswered(.tcp))
        #expect(try gateway.isAnswered(.tcp, to: Gateway.secondServer))
        let removed = Set(table.split(separator: "\n")).subtracting(
            try gateway.router.masqdTable().split(separator: "\n"))
        #expect(removed.count <= 2)

        try scenario.masqd.write("nonsense\n", besideConfiguration: "blocked")
        let status = try scenario.masqd.reload(configuration)
        #expect(status.contains("blocked:1:1: error"))
        #expect(try gateway.isUnanswered(.tcp))
    }
}
