// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport
import Testing

@Suite("Nothing private leaves where nothing would translate it")
struct LeakTests {
    private static let clients = [
        (source: "192.168.1.2", server: Gateway.server, uplink: "203.0.113.7"),
        (source: "fd00:1::2", server: Gateway.serverIPv6, uplink: "2001:db8::7"),
    ]

    /// Asks in both families over TCP and UDP, and pings, where no answer can come.
    private func refuses(_ gateway: Gateway) throws {
        for client in Self.clients {
            for transport in Conversation.Transport.allCases {
                #expect(try gateway.isUnanswered(transport, from: client.source, to: client.server))
            }
        }
    }

    @Test("An uplink that appears without an address lets nothing out until it has one")
    func withoutAddress() throws {
        let scenario = try Scenario(dialedUp: false)
        let gateway = scenario.gateway
        try NetworkNamespace.link("ppp0", of: gateway.router, with: "isp-ppp0", of: gateway.wan)
        try gateway.wan.ip(
            "link set isp-ppp0 address 02:00:00:00:00:01 arp off up",
            "addr add 203.0.113.1 peer 203.0.113.7 dev isp-ppp0",
            "addr add 2001:db8::1 peer 2001:db8::7 dev isp-ppp0 nodad",
            // The peer's route may be missing where the link came up behind the address.
            "route replace 2001:db8::7 dev isp-ppp0")
        try gateway.router.ip(
            "link set ppp0 address 02:00:00:00:00:01 arp off", "link set ppp0 up",
            "route add default dev ppp0",
            "route add ::/0 dev ppp0")
        try gateway.waitUntilUp()
        try scenario.masqd.waitForStatus(containing: "ppp0 is up without an address")
        try refuses(gateway)
        #expect(try gateway.leaks() == 0)
        // The gateway's own, which the kernel gives the private network's address.
        #expect(throws: Failure.self, "the kernel tells the sender that it was dropped") {
            try Conversation(.udp, from: gateway.router, to: Gateway.server, limit: .unanswered)
                .ask(limit: .unanswered)
        }
        #expect(try gateway.leaks() == 0)
        #expect(try #require(try gateway.router.packets(counter: "leak_guard")) > 0)

        try gateway.router.ip(
            "addr add 203.0.113.7 peer 203.0.113.1 dev ppp0",
            "addr add 2001:db8::7 peer 2001:db8::1 dev ppp0 nodad")
        try scenario.masqd.waitForStatus(containing: "ppp0 is up with 203.0.113.7, 2001:db8::7")
        for client in Self.clients {
            #expect(
                try gateway.seenSource(.udp, from: client.source, to: client.server).address == client.uplink)
            #expect(
                try gateway.seenSource(.tcp, from: client.source, to: client.server).address == client.uplink)
        }
        #expect(try gateway.leaks() == 0)
    }

    @Test("An uplink whose only IPv6 address is deprecated lets nothing out with another link's")
    func deprecated() throws {
        let scenario = try Scenario()
        let gateway = scenario.gateway
        try scenario.masqd.waitForStatus(containing: "2001:db8::7")
        try gateway.router.setSysctl("ipv6/conf/ppp0/use_oif_addrs_only", to: "0")
        try gateway.router.ip(
            "addr change 2001:db8::7 peer 2001:db8::1 dev ppp0 preferred_lft 0 valid_lft 1000")
        try eventually("it is held back") {
            try gateway.router.nftListing("set", "inet", "masqd", "without_address_ipv6").contains("ppp0")
        }
        #expect(try !scenario.masqd.status.contains("2001:db8::7"))
        #expect(try gateway.isUnanswered(.udp, from: "fd00:1::2", to: Gateway.serverIPv6))
        #expect(try gateway.isAnswered(.udp))
        #expect(try gateway.leaks() == 0)
    }

    @Test("The uplink's IPv6 address goes 100 times under new flows, and nothing private leaves")
    func addressGoes() throws {
        let scenario = try Scenario()
        let gateway = scenario.gateway
        try scenario.masqd.waitForStatus(containing: "2001:db8::7")
        try eventually("the kernel chooses among the uplink's own") {
            try gateway.router.sysctl("ipv6/conf/ppp0/use_oif_addrs_only") == "1"
        }
        let flows = try NewFlows(in: gateway.lan, to: Gateway.serverIPv6.address)
        for _ in 0..<100 {
            let sent = flows.sent
            try gateway.router.ip(
                "addr del 2001:db8::7 peer 2001:db8::1 dev ppp0", "route replace ::/0 dev ppp0")
            try eventually("flows begin without an address") { flows.sent > sent + 20 }
            let more = flows.sent
            try gateway.router.ip("addr add 2001:db8::7 peer 2001:db8::1 dev ppp0 nodad")
            try eventually("flows begin with an address") { flows.sent > more + 20 }
        }
        flows.stop()
        #expect(try gateway.leaks() == 0)
        // Links that change so often are looked at after a rest.
        try eventually("masqd has seen the address") {
            try !gateway.router.nftListing("set", "inet", "masqd", "without_address_ipv6").contains("ppp0")
        }
        #expect(try gateway.seenSource(.udp, to: Gateway.serverIPv6).address == "2001:db8::7")
        #expect(try scenario.masqd.stop() == 0)
        #expect(try gateway.router.sysctl("ipv6/conf/ppp0/use_oif_addrs_only") == "0")
    }

    @Test("An uplink's own address may be one of the private networks: another router translates again")
    func privateUplink() throws {
        let scenario = try Scenario(dialedUp: false)
        let gateway = scenario.gateway
        try gateway.dialUp(address: "192.168.77.7", addressIPv6: nil)
        #expect(try gateway.seenSource(.udp).address == "192.168.77.7")
        #expect(try gateway.seenSource(.tcp).address == "192.168.77.7")
    }

    @Test("A killed masqd leaves NAT running for an uplink that comes back with another address")
    func killed() throws {
        let scenario = try Scenario()
        let gateway = scenario.gateway
        try gateway.router.ip("addr flush dev ppp0 scope global")
        try scenario.masqd.waitForStatus(containing: "ppp0 is up without an address")
        #expect(try scenario.masqd.stop(SIGKILL) != 0)
        try gateway.hangUp()
        try gateway.dialUp(address: "203.0.113.99", addressIPv6: "2001:db8::99")
        #expect(try gateway.seenSource(.udp).address == "203.0.113.99")
        #expect(try gateway.seenSource(.udp, to: Gateway.serverIPv6).address == "2001:db8::99")
        #expect(try gateway.leaks() == 0)
    }

    @Test("What falls back on an uplink that no block names is held back, and status and log say so at once")
    func unnamed() throws {
        let scenario = try Scenario()
        let gateway = scenario.gateway
        try gateway.dialUp("eth9", address: "203.0.113.9", addressIPv6: nil, destinations: ["203.0.113.200"])
        try gateway.router.ip("route add default dev eth9 metric 100", "route add ::/0 dev eth9 metric 4096")
        #expect(try gateway.isAnswered(.udp))
        // The reserve is known before it is needed.
        try eventually("eth9 is known") {
            try gateway.router.nftListing("set", "inet", "masqd", "default_route").contains("eth9")
        }
        let flows = try NewFlows(in: gateway.lan, to: Gateway.server.address)
        try gateway.hangUp()
        try scenario.masqd.waitForStatus(
            containing: "the IPv4 default route leads out of eth9, which no out_interface names")
        #expect(try scenario.masqd.log.contains("what 192.168.0.0/16 sends by it is held back"))
        try refuses(gateway)
        flows.stop()
        #expect(try gateway.leaks() == 0)
        #expect(try #require(try gateway.router.packets(counter: "unnamed_uplink")) > 0)

        // Named by a reload, it carries the traffic at once; a name that is another's holds it back at once.
        let named = Scenario.configuration.replacing("ppp0", with: "eth9")
        _ = try scenario.masqd.reload(named)
        #expect(try gateway.seenSource(.udp).address == "203.0.113.9")
        #expect(
            try scenario.masqd.log.contains("default route out of eth9 no longer concerns 192.168.0.0/16"))
        #expect(try !scenario.masqd.log.contains("no longer leads out of eth9"))
        _ = try scenario.masqd.reload(Scenario.configuration)
        #expect(try gateway.isUnanswered(.udp))
        #expect(try gateway.leaks() == 0)
        _ = try scenario.masqd.reload(Scenario.configuration + "[forward]\nunnamed_uplink = \"accept\"\n")
        #expect(try gateway.isUnanswered(.udp))
        #expect(try gateway.leaks() > 0)
        try scenario.masqd.waitForStatus(containing: "which no out_interface names")
    }

    @Test(
        "A VPN gateway that is a host of the network inside keeps its own Internet, and its clients wait for the VPN"
    )
    func hostInside() throws {
        let gateway = try Gateway()
        // What is the uplink elsewhere is here the LAN's own router, behind an address of the LAN.
        try gateway.dialUp("lan9", address: "192.168.77.7", addressIPv6: nil)
        let configuration = Scenario.configuration.replacing("ppp0", with: "vpn0")
        let masqd = try Masqd(in: gateway.router, configuration: configuration)
        try masqd.waitForStatus(containing: "the IPv4 default route leads out of lan9")
        let own = try Conversation(.udp, from: gateway.router, to: Gateway.server)
        #expect(try own.ask().address == "192.168.77.7")
        #expect(try gateway.isUnanswered(.udp))
        #expect(try gateway.isUnanswered(.tcp))
        #expect(try #require(try gateway.router.packets(counter: "unnamed_uplink")) > 0)
    }

    @Test("An uplink that loses its name under new flows takes nothing private out")
    func renamedAway() throws {
        let scenario = try Scenario()
        let gateway = scenario.gateway
        let flows = try NewFlows(in: gateway.lan, to: Gateway.server.address)
        try eventually("flows begin") { flows.sent > 100 }
        let rename = try Command("ip", "link", "set", "ppp0", "name", "other9").run(in: gateway.router)
        // Linux 6.1 renames no link that is up, and takes its routes away.
        guard rename.status == 0 else {
            return withKnownIssue("Linux before 6.2 renames no link that is up") {
                try rename.expectSuccess()
            }
        }
        let sent = flows.sent
        try eventually("flows begin behind it") { flows.sent > sent + 500 }
        try scenario.masqd.waitForStatus(containing: "leads out of other9, which no out_interface names")
        flows.stop()
        #expect(try gateway.leaks() == 0)
    }
}

extension String {
    fileprivate func replacing(_ old: String, with new: String) -> String {
        split(separator: old, omittingEmptySubsequences: false).joined(separator: new)
    }
}
