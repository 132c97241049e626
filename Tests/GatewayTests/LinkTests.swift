// SPDX-License-Identifier: GPL-3.0-or-later

import TestSupport
import Testing

@Suite("Links come and go")
struct LinkTests {
    @Test("The rules are there before the uplink is, and its first packet is translated")
    func beforeTheUplink() throws {
        let scenario = try Scenario(dialedUp: false)
        let gateway = scenario.gateway
        #expect(gateway.router.interfaceIndex("ppp0") == nil)
        #expect(try gateway.router.masqdTable().contains("\"ppp0\""))
        try gateway.dialUp()
        #expect(try gateway.seenSource(.udp).address == "203.0.113.7")
        #expect(try gateway.leaks() == 0)
        try scenario.masqd.waitForStatus(containing: "ppp0 is up with 203.0.113.7")
    }

    @Test(
        "50 reconnections with another address and ifindex each: every first packet is right, nothing leaks"
    )
    func flaps() throws {
        let scenario = try Scenario()
        let gateway = scenario.gateway
        let table = try gateway.router.masqdTable()
        let phone = try Conversation(.udp, from: gateway.lan, to: Gateway.server)
        #expect(try phone.ask().address == "203.0.113.7")
        var indexes: Set<UInt32> = []
        for round in 1...50 {
            let address = "203.0.113.\(10 + round)"
            try gateway.hangUp()
            try gateway.dialUp(address: address, addressIPv6: "2001:db8::\(10 + round)")
            indexes.insert(try #require(gateway.router.interfaceIndex("ppp0")))
            #expect(try gateway.seenSource(.udp).address == address)
            #expect(try gateway.seenSource(.tcp).address == address)
            // An old flow's first packet may be lost: the kernel's worker forgets its entry a little later.
            var again: Endpoint?
            try eventually("the old flow goes on") {
                again = try answer { try phone.ask(limit: .unanswered) }
                return again != nil
            }
            #expect(again?.address == address)
            // Until masqd has seen the address, about a millisecond, nothing is masqueraded to the link.
            try scenario.masqd.waitForStatus(containing: "2001:db8::\(10 + round)")
            #expect(try gateway.seenSource(.udp, to: Gateway.serverIPv6).address == "2001:db8::\(10 + round)")
            try scenario.masqd.waitForStatus(containing: "ppp0 is up with \(address)")
        }
        #expect(indexes.count == 50)
        #expect(try gateway.leaks() == 0)
        // The sets that follow links and routes are as they were once masqd has seen the last ones.
        try eventually("the table is as before") { try gateway.router.masqdTable() == table }
    }

    @Test("A line that is dead behind a link that is up is told, and so is its return")
    func deadLine() throws {
        let scenario = try Scenario()
        let gateway = scenario.gateway
        try scenario.masqd.waitForStatus(containing: "ppp0 is up with 203.0.113.7")
        try gateway.wan.ip("link set isp-ppp0 down")
        try scenario.masqd.waitForStatus(containing: "ppp0 has no carrier")
        try gateway.wan.ip("link set isp-ppp0 up")
        try scenario.masqd.waitForStatus(containing: "ppp0 is up with 203.0.113.7")
        #expect(try gateway.leaks() == 0)
    }

    @Test("An uplink that gets its name by renaming is masqueraded from then on")
    func renamed() throws {
        let scenario = try Scenario(dialedUp: false)
        let gateway = scenario.gateway
        try gateway.dialUp("uplink0", addressIPv6: nil)
        try scenario.masqd.waitForStatus(containing: "leads out of uplink0, which no out_interface names")
        #expect(try gateway.isUnanswered(.udp))
        #expect(try gateway.leaks() == 0)
        try gateway.router.ip(
            "link set uplink0 down", "link set uplink0 name ppp0", "link set ppp0 up",
            "route add default dev ppp0")
        try gateway.waitUntilUp("ppp0", dialedAs: "uplink0")
        #expect(try gateway.seenSource(.udp).address == "203.0.113.7")
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
        #expect(try gateway.leaks() == 0)
    }

    @Test("A glob takes in interfaces that appear later, and lets go of none that are alike")
    func glob() throws {
        let scenario = try Scenario(
            """
            [[masquerade]]
            out_interface = "ppp*"
            source = "192.168.0.0/16"

            """, dialedUp: false)
        let gateway = scenario.gateway
        try gateway.dialUp("ppp7", addressIPv6: nil)
        #expect(try gateway.seenSource(.udp).address == "203.0.113.7")
        try gateway.hangUp("ppp7")
        try gateway.dialUp("ppp12", address: "203.0.113.12", addressIPv6: nil)
        #expect(try gateway.seenSource(.udp).address == "203.0.113.12")
        #expect(try gateway.leaks() == 0)
        try gateway.hangUp("ppp12")
        // Not an uplink; and only UDP went before, which does not send anything later by itself.
        try gateway.dialUp("pp0", addressIPv6: nil)
        try scenario.masqd.waitForStatus(containing: "leads out of pp0, which no out_interface names")
        #expect(try gateway.isUnanswered(.udp))
        #expect(try gateway.leaks() == 0)
    }
}
