// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport
import Testing

@Suite("Flows that the kernel would leave wrong for ever")
struct RepairTests {
    @Test("A flow that began before masqd is translated after its start, and right ones are left alone")
    func bornUntranslated() throws {
        let gateway = try Gateway()
        try gateway.forwardUntranslated()
        let phone = try Conversation(.udp, from: gateway.lan, to: Gateway.server)
        #expect(try answer { try phone.ask(limit: .unanswered) } == nil)
        #expect(try gateway.leaks() == 1)
        let untouched = try Conversation(.tcp, from: gateway.lan, to: Gateway.dmzServer)
        #expect(try untouched.ask().address == "192.168.1.2")

        let masqd = try Masqd(in: gateway.router, configuration: Scenario.configuration)
        try masqd.waitForReady()
        try eventually("the phone is seen with the gateway's address") {
            try answer { try phone.ask(limit: .unanswered).address } == "203.0.113.7"
        }
        #expect(try untouched.ask().address == "192.168.1.2")
        #expect(try gateway.leaks() == 1)
    }

    @Test("What leaks is mended, also by a masqd that finds the alarm rung and not armed again")
    func alarm() throws {
        let gateway = try Gateway()
        let masqd = try Masqd(in: gateway.router, configuration: Scenario.configuration)
        try masqd.waitForReady()
        try expectMended(gateway, port: 4711)
        try masqd.stop(SIGUSR1)
        let phone = try gateway.untranslatedFlow(port: 4712)
        #expect(try answer { try phone.ask(limit: .unanswered) } == nil)
        #expect(try gateway.router.nftListing("quotas").contains("used"))
        let next = try Masqd(in: gateway.router, configuration: Scenario.configuration)
        try next.waitForReady()
        try eventually("the alarm is armed") { try !gateway.router.nftListing("quotas").contains("used") }
        try expectMended(gateway, port: 4713)
        #expect(try gateway.leaks() == 0)
    }

    @Test(
        "A connection that somebody else's rule gave an address outlives a walk, which the machine need not have"
    )
    func translatedByOthers() throws {
        let gateway = try Gateway()
        try gateway.wan.ip("route add 192.0.2.55 dev isp-ppp0")
        try gateway.router.nft(
            """
            table ip foreign {
                chain translate {
                    type nat hook postrouting priority srcnat; policy accept;
                    ip saddr 192.168.1.2 ip daddr 198.51.100.81 oifname "ppp0" snat to 192.0.2.55
                }
            }

            """)
        let masqd = try Masqd(in: gateway.router, configuration: Scenario.configuration)
        try masqd.waitForReady()
        let pooled = try Conversation(.tcp, from: gateway.lan, to: Gateway.secondServer)
        #expect(try pooled.ask().address == "192.0.2.55")
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
        // TCP itself would go on with another entry.
        let entry = {
            try Command("conntrack", "-L", "-o", "id", "-p", "tcp", "-d", Gateway.secondServer.address)
                .run(in: gateway.router).expectSuccess().standardOutput.split(separator: " ").last {
                    $0.hasPrefix("id=")
                }
        }
        let before = try #require(try entry())
        for port in [4721, 4722] as [UInt16] { try gateway.examineConnections(port: port) }
        #expect(try entry() == before)
        #expect(try pooled.ask().address == "192.0.2.55")
    }

    @Test("A connection that others route by its mark, with an address in a block's source, outlives a walk")
    func routedByOthers() throws {
        let gateway = try Gateway()
        // Into the Internet by way of a VPN, whose own address is private.
        try gateway.router.ip(
            "addr add 192.168.99.2/24 dev dmz0", "route add default via 10.9.0.2 table 77",
            "rule add fwmark 0x77 lookup 77 pref 100")
        try gateway.dmz.ip("addr add 192.168.99.1/24 dev eth0", "addr add 198.51.100.90/32 dev lo")
        let server = try AddressServer(in: gateway.dmz, addresses: ["198.51.100.90"])
        defer { withExtendedLifetime(server) {} }
        try gateway.router.nft(
            """
            table ip vpn {
                chain marks {
                    type filter hook prerouting priority mangle; policy accept;
                    iifname "lan0" ip daddr 198.51.100.90 ct mark set 0x77
                    iifname "lan0" ct mark 0x77 meta mark set ct mark
                }
                chain translate {
                    type nat hook postrouting priority srcnat; policy accept;
                    oifname "dmz0" snat to 192.168.99.2
                }
            }

            """)
        let masqd = try Masqd(in: gateway.router, configuration: Scenario.configuration)
        try masqd.waitForReady()
        let tunneled = try Conversation(
            .tcp, from: gateway.lan, to: Endpoint("198.51.100.90", AddressServer.port))
        #expect(try tunneled.ask().address == "192.168.99.2")
        let entry = {
            try Command("conntrack", "-L", "-o", "id", "-p", "tcp", "-d", "198.51.100.90")
                .run(in: gateway.router).expectSuccess().standardOutput.split(separator: " ").last {
                    $0.hasPrefix("id=")
                }
        }
        let before = try #require(try entry())
        // The rule may be for this flow too, so the walk that finds it says so.
        let phone = try gateway.untranslatedFlow(port: 4731)
        try gateway.router.ip("route add default dev ppp0 metric 9999")
        try eventually("a walk is over") { try masqd.log.contains("left alone") }
        #expect(try masqd.log.contains("routing rule 100 (fwmark 0x77)"))
        #expect(try masqd.log.contains("udp 192.168.1.2:4731"))
        // Without the rule it is certain.
        try gateway.router.ip("rule del pref 100", "route add default dev ppp0 metric 9998")
        try eventually("the untranslated flow is found") {
            try answer { try phone.ask(limit: .unanswered).address } == "203.0.113.7"
        }
        try gateway.router.ip("rule add fwmark 0x77 lookup 77 pref 100")
        #expect(try entry() == before)
        #expect(try tunneled.ask().address == "192.168.99.2")
    }

    private func expectMended(_ gateway: Gateway, port: UInt16) throws {
        let phone = try gateway.untranslatedFlow(port: port)
        try eventually("the flow is seen with the gateway's address") {
            try answer { try phone.ask(limit: .unanswered).address } == "203.0.113.7"
        }
    }
}
