// SPDX-License-Identifier: GPL-3.0-or-later

import TestSupport
import Testing

@Suite("A phone that keeps sending from one port finds its way back, whatever the uplink does")
struct PhoneTests {
    /// What happens to the uplink, and the address that it has afterwards.
    struct Outage: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let address: String
        let addressIPv6: String
        let happen: @Sendable (Gateway, Phone) throws -> Void

        init(
            _ name: String, then address: String = "203.0.113.7", _ addressIPv6: String = "2001:db8::7",
            _ happen: @escaping @Sendable (Gateway, Phone) throws -> Void
        ) {
            testDescription = name
            self.address = address
            self.addressIPv6 = addressIPv6
            self.happen = happen
        }
    }

    static let outages = [
        Outage("another address, with a peer", then: "203.0.113.8", "2001:db8::8") { gateway, _ in
            try gateway.wan.ip(
                "addr add 203.0.113.1 peer 203.0.113.8 dev isp-ppp0",
                "route add 2001:db8::8 dev isp-ppp0")
            try gateway.router.ip(
                "addr del 203.0.113.7 peer 203.0.113.1 dev ppp0",
                "addr add 203.0.113.8 peer 203.0.113.1 dev ppp0",
                "addr del 2001:db8::7 peer 2001:db8::1 dev ppp0",
                "addr add 2001:db8::8 peer 2001:db8::1 dev ppp0 nodad")
            try gateway.restoreRoutes()
        },
        Outage("the new address comes before the old one goes", then: "203.0.113.8") { gateway, _ in
            try gateway.wan.ip("addr add 203.0.113.1 peer 203.0.113.8 dev isp-ppp0")
            try gateway.router.ip(
                // With the same peer it would be secondary, and go with the first.
                "addr add 203.0.113.8 peer 203.0.113.2 dev ppp0",
                "addr del 203.0.113.7 peer 203.0.113.1 dev ppp0")
            try gateway.restoreRoutes()
        },
        Outage("down and up by hand, which loses the routes") { gateway, phone in
            try gateway.router.ip("link set ppp0 down")
            #expect(phone.isSilent())
            try gateway.router.ip(
                "link set ppp0 up", "addr replace 2001:db8::7 peer 2001:db8::1 dev ppp0 nodad")
            try gateway.waitUntilUp()
            try gateway.restoreRoutes()
        },
        Outage("dialed again, with another address and ifindex", then: "203.0.113.9", "2001:db8::9") {
            gateway, phone in
            try gateway.hangUp()
            #expect(phone.isSilent())
            try gateway.dialUp(address: "203.0.113.9", addressIPv6: "2001:db8::9")
        },
        Outage("dialed again, with the same address") { gateway, phone in
            try gateway.hangUp()
            #expect(phone.isSilent())
            try gateway.dialUp()
        },
    ]

    @Test("IPv4", arguments: outages)
    func ipv4(outage: Outage) throws {
        let scenario = try Scenario()
        let phone = try Phone(in: scenario.gateway.lan)
        try phone.waitUntilSeen(as: "203.0.113.7")
        try outage.happen(scenario.gateway, phone)
        try phone.waitUntilSeen(as: outage.address)
        #expect(try scenario.gateway.clientLeaks() == 0)
    }

    @Test("IPv6", arguments: outages)
    func ipv6(outage: Outage) throws {
        let scenario = try Scenario()
        let phone = try Phone(in: scenario.gateway.lan, to: Gateway.serverIPv6)
        try phone.waitUntilSeen(as: "2001:db8::7")
        try outage.happen(scenario.gateway, phone)
        try phone.waitUntilSeen(as: outage.addressIPv6)
        #expect(try scenario.gateway.clientLeaks() == 0)
    }

    @Test("Another address on an uplink without a peer")
    func withoutPeer() throws {
        let scenario = try Scenario()
        let gateway = scenario.gateway
        try gateway.wan.ip("addr flush dev isp-ppp0", "addr add 203.0.113.1/24 dev isp-ppp0")
        try gateway.router.ip("addr flush dev ppp0", "addr add 203.0.113.70/24 dev ppp0")
        try gateway.restoreRoutes()
        let phone = try Phone(in: gateway.lan)
        try phone.waitUntilSeen(as: "203.0.113.70")
        try gateway.router.ip("addr del 203.0.113.70/24 dev ppp0", "addr add 203.0.113.71/24 dev ppp0")
        try gateway.restoreRoutes()
        try phone.waitUntilSeen(as: "203.0.113.71")
        #expect(try gateway.clientLeaks() == 0)
    }

    @Test(
        "While the line was away it left untranslated by a fallback that is no uplink",
        arguments: [(true, "203.0.113.7"), (false, "203.0.113.9")])
    func fallback(isKept: Bool, address: String) throws {
        let scenario = try Scenario(
            Scenario.configuration + "[forward]\nunnamed_uplink = \"accept\"\n")
        let gateway = scenario.gateway
        let phone = try Phone(in: gateway.lan)
        try phone.waitUntilSeen(as: "203.0.113.7")
        try gateway.dmz.watch("fallback", "ip saddr 192.168.1.2")
        try gateway.router.ip("route add default via 10.9.0.2 dev dmz0 metric 1000")
        // Without a link of its own the flow is born again through the fallback, and stays so.
        if isKept { try gateway.router.ip("link set ppp0 down") } else { try gateway.hangUp() }
        try eventually("the phone leaves by the fallback") { try gateway.dmz.watched("fallback") > 3 }
        if isKept {
            try gateway.router.ip("link set ppp0 up")
            try gateway.waitUntilUp()
            // The link and its address alone are no way yet: it still leaves by the fallback.
            let count = try gateway.dmz.watched("fallback")
            try eventually("the fallback is in use") { try gateway.dmz.watched("fallback") > count + 3 }
            try gateway.restoreRoutes()
        } else {
            try gateway.dialUp(address: address)
        }
        try phone.waitUntilSeen(as: address)
        #expect(try gateway.leaks() == 0)
    }

    @Test("It began before masqd, through an uplink without rules, and is right after the start")
    func beforeMasqd() throws {
        let gateway = try Gateway()
        try gateway.forwardUntranslated()
        let phone = try Phone(in: gateway.lan)
        try eventually("it leaves untranslated") { try gateway.leaks() > 3 }
        let masqd = try Masqd(in: gateway.router, configuration: Scenario.configuration)
        try masqd.waitForReady()
        let leaks = try gateway.leaks()
        try phone.waitUntilSeen(as: "203.0.113.7")
        #expect(try gateway.leaks() == leaks, "private packets after READY")
    }
}
