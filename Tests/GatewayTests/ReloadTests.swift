// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport
import Testing

@Suite("SIGHUP")
struct ReloadTests {
    @Test("A changed file is in force when READY=1 comes, for new connections; old ones go on")
    func changed() throws {
        let scenario = try Scenario()
        let gateway = scenario.gateway
        let conversation = try Conversation(.tcp, from: gateway.lan, to: Gateway.server)
        let seen = try conversation.ask()
        let status = try scenario.masqd.reload(Scenario.configuration("ports = \"50000-50009\""))
        #expect(status.hasPrefix("in force: "))
        #expect((50000...50009).contains(try gateway.seenSource(.tcp).port))
        #expect(try conversation.ask() == seen)
    }

    @Test("The service manager learns of a reload at once, also while an earlier one rests")
    func announced() throws {
        let scenario = try Scenario()
        // So large that the rest behind it, twenty times as long, outlives everything that follows.
        let many = (0..<40_000).map { "10.\($0 >> 8).\($0 & 255).1" }.joined(separator: "\n")
        try scenario.masqd.write(many, besideConfiguration: "many.list")
        let large = Scenario.configuration + "[clients]\nblocked_file = \"many.list\"\n"
        try scenario.masqd.reload(large)
        try scenario.masqd.write(configuration: Scenario.configuration("ports = \"50000-50009\""))
        let before = try scenario.masqd.messages.count
        scenario.masqd.send(SIGHUP)
        try scenario.gateway.router.ip("link set ppp0 down")
        try scenario.masqd.waitForStatus(containing: "ppp0 is down")
        let lines = try scenario.masqd.messages[before...].flatMap { $0 }
        let announcement = try #require(lines.firstIndex(of: "RELOADING=1"))
        #expect(announcement < (lines.firstIndex { $0.contains("ppp0 is down") } ?? 0))
        #expect(!lines.contains("READY=1"))
        try scenario.masqd.waitForReady()
        #expect(try scenario.gateway.router.masqdTable().contains("50000-50009"))
    }

    @Test("A network taken out of the file is no longer translated, one put in is")
    func sources() throws {
        let scenario = try Scenario()
        let gateway = scenario.gateway
        #expect(try gateway.seenSource(.tcp, from: "172.20.0.2").address == "172.20.0.2")
        try scenario.masqd.reload(
            """
            [[masquerade]]
            out_interface = "ppp0"
            source = ["192.168.0.0/16", "172.20.0.0/16"]

            """)
        #expect(try gateway.seenSource(.tcp, from: "172.20.0.2").address == "203.0.113.7")
        try scenario.masqd.reload(Scenario.configuration)
        #expect(try gateway.seenSource(.tcp, from: "172.20.0.2").address == "172.20.0.2")
        #expect(try gateway.leaks() == 0)
    }

    @Test("A bad file changes nothing, and the status says where it is bad")
    func refused() throws {
        let scenario = try Scenario()
        let router = scenario.gateway.router
        let table = try router.masqdTable()
        let bad = try scenario.masqd.reload(
            """
            [[masquerade]]
            out_interface = "ppp0"
            source = "192.168.0.0/33"
            colour = "blue"

            """)
        #expect(bad.hasPrefix("in force: "))
        #expect(bad.contains("masqd.toml:3:10: error: "))
        #expect(try router.masqdTable() == table)
        #expect(try scenario.masqd.log.contains("masqd.toml:4:1: error: "))
        #expect(try scenario.gateway.seenSource(.tcp).address == "203.0.113.7")
        let good = try scenario.masqd.reload(Scenario.configuration)
        #expect(good.hasPrefix("in force: "))
        #expect(!good.contains("error"))
        #expect(try router.masqdTable() == table)
    }

    @Test("200 reloads under load lose no connection, leak nothing and keep the counters of other blocks")
    func underLoad() throws {
        let other = """
            [[masquerade]]
            out_interface = "ppp0"
            source = "172.20.0.0/16"

            """
        let variants = [
            Scenario.configuration,
            Scenario.configuration("random = \"fully-random\"", "exclude = \"10.8.0.0/16\""),
            Scenario.configuration("ports = \"20000-60000\"", "persistent = true"),
            Scenario.configuration("exclude = [\"10.8.0.0/16\", \"10.9.0.0/16\"]"),
        ]
        let ends = ["", "[forward]\npolicy = \"drop\"\n", "[forward]\nunsolicited = \"accept\"\n"]
        let scenario = try Scenario(variants[0] + other)
        let gateway = scenario.gateway
        #expect(try gateway.seenSource(.tcp, from: "172.20.0.2").address == "203.0.113.7")
        let conversation = try Conversation(.tcp, from: gateway.lan, to: Gateway.server)
        let seen = try conversation.ask()

        let traffic = try Traffic(through: gateway, seenAs: "203.0.113.7")
        try traffic.waitForProgress()
        var counted = try #require(try gateway.router.packets(counter: "masquerade_1"))
        for round in 1...200 {
            try scenario.masqd.reload(variants[round % variants.count] + other + ends[round % ends.count])
            guard round.isMultiple(of: 20) else { continue }
            try traffic.waitForProgress()
            let now = try #require(try gateway.router.packets(counter: "masquerade_1"))
            #expect(now > counted)
            counted = now
        }
        #expect(traffic.stop().failures == [])
        #expect(try conversation.ask() == seen)
        #expect(try gateway.leaks() == 0)
        #expect(try gateway.router.packets(counter: "masquerade_2") == 1)
    }

    @Test("From one network to two and back, each of thousands of new flows is translated")
    func fromRuleToSet() throws {
        let one = Scenario.configuration
        let two = one.replacing("/16\"", with: "/16\", \"10.0.0.0/8\"")
        let scenario = try Scenario(one)
        let gateway = scenario.gateway
        try gateway.router.setSysctl("netfilter/nf_conntrack_udp_timeout", to: "1")
        let isOver = Guarded(false)
        let flood = try gateway.lan.run { try BackgroundThread { Self.beginFlows(until: isOver) } }
        defer {
            isOver.withLock { $0 = true }
            flood.join()
        }
        try eventually("flows begin") { try gateway.router.packets(counter: "masquerade_1") ?? 0 > 1000 }
        for round in 0..<300 { try scenario.masqd.reload(round % 2 == 0 ? two : one) }
        #expect(try gateway.leaks() == 0)
    }

    /// Begins a flow with each datagram, to another port each time.
    private static func beginFlows(until isOver: Guarded<Bool>) {
        do {
            let socket = try Socket(.udp)
            var port: UInt16 = 0
            while !isOver.withLock({ $0 }) {
                port = port == .max ? 1 : port + 1
                try socket.send([0], to: Endpoint("198.51.100.80", port))
            }
        } catch {
            Issue.record("\(error)")
        }
    }
}
