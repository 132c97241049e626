// SPDX-License-Identifier: GPL-3.0-or-later

import TestSupport
import Testing

@Suite("What is let through, and what is not")
struct FirewallTests {
    private let inside = Endpoint("192.168.1.2", AddressServer.port)

    @Test("Unsolicited connections into the private network are dropped and counted")
    func unsolicitedDropped() throws {
        let scenario = try Scenario()
        let (gateway, server) = try open(scenario)
        defer { withExtendedLifetime(server) {} }
        for transport in Conversation.Transport.allCases {
            #expect(
                try answer {
                    try Conversation(transport, from: gateway.wan, to: inside, limit: .unanswered)
                        .ask(limit: .unanswered)
                } == nil)
        }
        #expect(try gateway.lan.watched("arrived") == 0)
        #expect(try #require(try gateway.router.packets(counter: "unsolicited")) >= 2)
    }

    @Test("unsolicited = \"accept\" lets them in, and their answers out as they are")
    func unsolicitedAccepted() throws {
        let scenario = try Scenario(Scenario.configuration("[forward]", "unsolicited = \"accept\""))
        let (gateway, server) = try open(scenario)
        defer { withExtendedLifetime(server) {} }
        for transport in Conversation.Transport.allCases {
            let seen = try Conversation(transport, from: gateway.wan, to: inside).ask()
            #expect(seen.address == "203.0.113.1")
        }
        #expect(try gateway.router.packets(counter: "leak_guard") == 0)
    }

    @Test("What somebody else forwards on purpose with DNAT gets in", arguments: ["accept", "drop"])
    func destinationTranslated(policy: String) throws {
        let scenario = try Scenario(Scenario.configuration("[forward]", "policy = \"\(policy)\""))
        let (gateway, server) = try open(scenario)
        defer { withExtendedLifetime(server) {} }
        try gateway.router.nft(
            """
            table ip foreign {
                chain forwards {
                    type nat hook prerouting priority dstnat; policy accept;
                    iifname "ppp0" meta l4proto { tcp, udp } th dport 8080 dnat to 192.168.1.2:7777
                }
            }

            """)
        for transport in Conversation.Transport.allCases {
            let seen = try Conversation(transport, from: gateway.wan, to: Endpoint("203.0.113.7", 8080)).ask()
            #expect(seen.address == "203.0.113.1")
        }
        #expect(try gateway.leaks() == 0)
    }

    @Test("policy = \"drop\" drops what the file does not speak of; \"accept\" leaves it alone")
    func policy() throws {
        let scenario = try Scenario(Scenario.configuration("[forward]", "policy = \"drop\""))
        let gateway = scenario.gateway
        #expect(try gateway.isUnanswered(.tcp, to: Gateway.dmzServer))
        #expect(try gateway.isUnanswered(.udp, to: Gateway.dmzServer))
        #expect(try gateway.isUnanswered(.tcp, from: "172.20.0.2"))
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
        #expect(try gateway.seenSource(.udp, to: Gateway.serverIPv6).address == "2001:db8::7")
        try scenario.masqd.reload(Scenario.configuration("[forward]", "policy = \"accept\""))
        #expect(try gateway.seenSource(.tcp, to: Gateway.dmzServer).address == "192.168.1.2")
    }

    @Test("A private source that comes in by the uplink is dropped, not translated and sent back")
    func spoofed() throws {
        let scenario = try Scenario()
        let gateway = scenario.gateway
        try gateway.wan.ip("route add 198.51.100.200 dev isp-ppp0")
        try gateway.wan.watch("returned", "ip daddr 198.51.100.200")
        let victim = Endpoint("198.51.100.200", 4000)
        // An honest source shows that the way there and back is open.
        try RawPacket.sendUDP(from: Endpoint("198.51.100.80", 4000), to: victim, in: gateway.wan)
        try eventually("the honest packet returned") { try gateway.wan.watched("returned") == 1 }
        try RawPacket.sendUDP(from: Endpoint("192.168.1.9", 4000), to: victim, in: gateway.wan)
        try eventually("the spoofed packet was counted") {
            try gateway.router.packets(counter: "spoofed") == 1
        }
        #expect(try gateway.wan.watched("returned") == 1)
    }

    @Test("A packet of no connection (INVALID) does not leave with its private source")
    func invalid() throws {
        let gateway = try Gateway()
        try gateway.router.setSysctl("ipv4/ip_forward", to: "1")
        let middle = Endpoint("192.168.1.2", 5555)
        try RawPacket.sendAcknowledgement(from: middle, to: Gateway.server, in: gateway.lan)
        try eventually("without masqd it leaves") { try gateway.leaks() == 1 }

        let masqd = try Masqd(in: gateway.router, configuration: Scenario.configuration)
        try masqd.waitForReady()
        try gateway.router.setSysctl("netfilter/nf_conntrack_tcp_loose", to: "0")
        try RawPacket.sendAcknowledgement(from: middle, to: Gateway.server, in: gateway.lan)
        try eventually("the guard has counted it") {
            try gateway.router.packets(counter: "leak_guard") == 1
        }
        #expect(try gateway.leaks() == 1)
    }

    @Test("An untracked packet does not leave with its private source")
    func untracked() throws {
        let scenario = try Scenario()
        let gateway = scenario.gateway
        try gateway.router.nft(
            """
            table ip foreign {
                chain untracked {
                    type filter hook prerouting priority raw; policy accept;
                    udp dport 7777 notrack
                }
            }

            """)
        #expect(try gateway.isUnanswered(.udp))
        #expect(try gateway.router.packets(counter: "leak_guard") == 1)
        #expect(try gateway.leaks() == 0)
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
    }

    @Test("The gateway's own answer to a packet of no connection does not leave with its private address")
    func ownReset() throws {
        let gateway = try Gateway()
        let middle = Endpoint("198.51.100.80", 5555)
        let routerInside = Endpoint("192.168.1.1", 4444)
        try gateway.wan.ip("route replace 192.168.0.0/16 dev isp-ppp0")
        try gateway.router.watch("asked", "tcp sport 5555")
        try RawPacket.sendAcknowledgement(from: middle, to: routerInside, in: gateway.wan)
        try eventually("without masqd a reset comes back") { try gateway.leaks() == 1 }

        let masqd = try Masqd(in: gateway.router, configuration: Scenario.configuration)
        try masqd.waitForReady()
        try gateway.router.setSysctl("netfilter/nf_conntrack_tcp_loose", to: "0")
        try RawPacket.sendAcknowledgement(from: middle, to: routerInside, in: gateway.wan)
        try eventually("the gateway got it") { try gateway.router.watched("asked") == 2 }
        // What comes after it on the same way has arrived, so a reset would have, too.
        #expect(try gateway.seenSource(.udp).address == "203.0.113.7")
        #expect(try gateway.leaks() == 1)
    }

    /// A server inside, and a world that knows the way to it.
    private func open(_ scenario: Scenario) throws -> (Gateway, AddressServer) {
        let gateway = scenario.gateway
        try gateway.wan.ip("route replace 192.168.0.0/16 dev isp-ppp0")
        try gateway.lan.watch("arrived", "ip saddr 203.0.113.1")
        return (gateway, try AddressServer(in: gateway.lan, addresses: ["192.168.1.2"]))
    }
}
