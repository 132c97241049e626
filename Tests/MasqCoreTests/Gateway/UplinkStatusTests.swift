// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

@Suite struct UplinkStatusTests {
    private func status(_ configuration: Configuration = .howTo, _ links: Link...) -> UplinkStatus {
        UplinkStatus(configuration, Links(links))
    }

    @Test("Before anything is known there is nothing to tell")
    func nothing() {
        #expect(UplinkStatus().uplinks.isEmpty)
        #expect(UplinkStatus().changes(since: UplinkStatus()).isEmpty)
    }

    @Test("The state is what somebody who waits for the Internet needs: there, up, with an address")
    func states() {
        #expect(status().uplinks.map(\.state) == [.absent])
        #expect(status(.howTo, .link("ppp0", 7, up: false, "203.0.113.7")).uplinks.map(\.state) == [.down])
        #expect(status(.howTo, .link("ppp0", 7, up: true)).uplinks.map(\.state) == [.withoutAddress])
        #expect(
            status(.howTo, .link("ppp0", 7, up: true, "203.0.113.7")).uplinks.map(\.state)
                == [.up([IPAddress("203.0.113.7")].compactMap { $0 })])
    }

    @Test("An address that the kernel masquerades nothing to does not make an uplink usable")
    func uselessAddresses() throws {
        var configuration = Configuration.howTo
        configuration.outbound[0].source.append(try IPNetwork("fd00::/8"))
        let lan = Link.link("lan0", 2, up: true, "192.168.1.1", "fd00:1::1")
        var uplink = Link.link("ppp0", 7, up: true, "203.0.113.7", "2001:db8::7")
        let (first, second) = (uplink.addresses[0], uplink.addresses[1])
        uplink.deprecated = [second]
        let half = status(configuration, uplink, lan).uplinks[0]
        #expect(half.state == .up([first]))
        #expect(half.traffic == "masquerading 192.168.0.0/16")
        (uplink.deprecated, uplink.unselectable) = ([], [second])
        #expect(status(configuration, uplink, lan).uplinks[0].state == .up([first]))
        uplink.addresses = [second]
        #expect(status(configuration, uplink, lan).uplinks[0].state == .withoutAddress)
        uplink.unselectable = []
        #expect(status(configuration, uplink, lan).uplinks[0].state == .up([second]))
    }

    @Test("An address that goes while another stays is told as what it is")
    func lessAddresses() {
        let two = status(.howTo, .link("ppp0", 7, up: true, "203.0.113.7", "203.0.113.8"))
        let one = status(.howTo, .link("ppp0", 7, up: true, "203.0.113.7"))
        #expect(
            one.changes(since: two)
                == ["ppp0 has the address 203.0.113.8 no more: masquerading 192.168.0.0/16"])
    }

    @Test("A link whose line is dead is not called up, and its return is news")
    func carrier() {
        let up = Link.link("ppp0", 7, up: true, "203.0.113.7")
        var dead = up
        dead.hasCarrier = false
        let (before, without) = (status(.howTo, up), status(.howTo, dead))
        #expect(without.uplinks.map(\.state) == [.withoutCarrier])
        #expect(without.summary == "ppp0 has no carrier")
        #expect(without.changes(since: before) == ["ppp0 has no carrier: nothing leaves by it"])
        #expect(
            before.changes(since: without) == ["ppp0 is up with 203.0.113.7: masquerading 192.168.0.0/16"])
        // A link that is off has no carrier either, and that is not why.
        dead.isUp = false
        #expect(status(.howTo, dead).summary == "ppp0 is down")
    }

    @Test("An address counts where a source of its family is masqueraded, and never a link-local one")
    func families() {
        let link = Link.link("ppp0", 7, up: true, "fe80::1", "203.0.113.7", "2001:db8::1")
        let summaries = [["192.168.0.0/16"], ["fd00::/8"], ["192.168.0.0/16", "fd00::/8"]].map { sources in
            var configuration = Configuration.howTo
            configuration.outbound[0].source = sources.compactMap { try? IPNetwork($0) }
            return status(configuration, link).summary
        }
        #expect(
            summaries == [
                "ppp0 is up with 203.0.113.7", "ppp0 is up with 2001:db8::1",
                "ppp0 is up with 203.0.113.7, 2001:db8::1",
            ])
        #expect(
            status(.masquerading("ppp0", "fd00::/8"), .link("ppp0", 7, up: true, "fe80::1")).summary
                == "ppp0 is up without an address")
    }

    @Test("What is not masqueraded needs no address of the uplink's, unless it follows its prefix")
    func otherKinds() throws {
        let text = """
            [[routed]]
            out_interface = "ppp0"
            source = "2001:db8:1::/48"
            [[snat]]
            out_interface = "ppp0"
            source = "192.168.0.0/16"
            to = "203.0.113.10"
            """
        let following = """
            [[snat]]
            out_interface = "ppp0"
            source = "fd00:1::/64"
            to = "uplink-prefix"
            """
        func lines(_ text: String, _ link: Link) throws -> [String] {
            let configuration = Configuration.read(text.utf8.span, from: "a.toml").configuration
            return status(try #require(configuration), link).changes(since: UplinkStatus())
        }
        #expect(
            try lines(text, .link("ppp0", 7, up: true, "fe80::1"))
                == ["ppp0 is up: routing 2001:db8:1::/48, translating 192.168.0.0/16"])
        #expect(
            try lines(text, .link("ppp0", 7, up: true, "203.0.113.7"))
                == ["ppp0 is up with 203.0.113.7: routing 2001:db8:1::/48, translating 192.168.0.0/16"])
        #expect(
            try lines(following, .link("ppp0", 7, up: true, "203.0.113.7"))
                == ["ppp0 is up without an address: nothing can be masqueraded to it yet"])
        #expect(
            try lines(following, .link("ppp0", 7, up: true, "2001:db8::7"))
                == ["ppp0 is up with 2001:db8::7: translating fd00:1::/64"])
    }

    @Test("Uplinks are every configured name, and every link that a glob means, by name")
    func names() {
        var configuration = Configuration.masquerading("wan", "192.168.0.0/16")
        configuration.outbound += Configuration.masquerading("ppp*", "10.0.0.0/8", "fd00::/8").outbound
        configuration.outbound += Configuration.masquerading("ppp1", "10.0.0.0/8").outbound
        let status = status(
            configuration, .link("eth0", 2, up: true, "192.168.1.1"),
            .link("ppp0", 7, up: true, "203.0.113.7"),
            .link("ppp1", 9, up: false))
        #expect(status.uplinks.map(\.name) == ["ppp0", "ppp1", "wan"])
        #expect(status.uplinks.map(\.index) == [7, 9, nil])
        #expect(
            status.uplinks.map(\.traffic) == [
                "masquerading 10.0.0.0/8", "masquerading 10.0.0.0/8 and 2 more",
                "masquerading 192.168.0.0/16",
            ])
        #expect(status.summary == "ppp0 is up with 203.0.113.7; ppp1 is down; waiting for wan")
        #expect(self.status(.masquerading("ppp*", "10.0.0.0/8")).summary == "no uplink is there")
    }

    @Test("Each uplink that is there at the first look, or is not, gets a line of its own")
    func firstLook() {
        var configuration = Configuration.masquerading("wan", "192.168.0.0/16")
        configuration.outbound[0].outInterfaces += ["ppp0", "ppp1", "ppp2"].map(InterfacePattern.name)
        let first = status(
            configuration, .link("ppp0", 7, up: true, "203.0.113.7"), .link("ppp1", 8, up: false),
            .link("ppp2", 9, up: true))
        #expect(
            first.changes(since: UplinkStatus()) == [
                "ppp0 is up with 203.0.113.7: masquerading 192.168.0.0/16",
                "ppp1 is down: nothing leaves by it",
                "ppp2 is up without an address: nothing can be masqueraded to it yet",
                "wan is not there yet: the rules are, and wait for it",
            ])
        #expect(first.changes(since: first).isEmpty)
    }

    @Test("A prefix that is taken from another link is waited for, and told when it comes and changes")
    func delegation() throws {
        var snat = SourceNAT(to: [.uplinkPrefix])
        snat.prefixFrom = "npt0"
        let block = OutboundBlock(
            line: 1, outInterfaces: [.name("ppp0")], source: [try IPNetwork("fd00:1::/64")],
            translation: .snat(snat))
        let configuration = Configuration(origin: .commandLine, outbound: [block])
        let uplink = Link.link("ppp0", 7, up: true)
        func status(_ address: String) -> UplinkStatus {
            UplinkStatus(configuration, Links([uplink, .link("npt0", 8, up: true, address)]))
        }
        let before = UplinkStatus(configuration, Links([uplink]))
        #expect(before.summary == "ppp0 is up; waiting for a prefix on npt0")
        let after = status("2001:db8:1:2::1")
        #expect(after.summary == "ppp0 is up")
        #expect(after.changes(since: before) == ["npt0 has the prefix 2001:db8:1:2::/64"])
        #expect(
            status("2001:db8:9::1").changes(since: after) == ["npt0 has the prefix 2001:db8:9::/64"])
        #expect(status("fd00:9::1").changes(since: after) == ["waiting for a prefix on npt0"])
        #expect(after.changes(since: after) == [])
    }

    @Test("A link of a glob that goes is gone, a configured name that goes is waited for")
    func gone() {
        let link = Link.link("ppp0", 7, up: true, "203.0.113.7")
        #expect(
            status().changes(since: status(.howTo, link)) == ["ppp0 is gone: the rules stay, and wait for it"]
        )
        let glob = Configuration.masquerading("ppp*", "192.168.0.0/16")
        #expect(status(glob).changes(since: status(glob, link)) == ["ppp0 is gone"])
    }

    @Test("Where a link has addresses of one family, only that family's networks are said to be masqueraded")
    func oneFamily() {
        let both = Configuration.masquerading("ppp0", "192.168.0.0/16", "fd00::/8")
        let ipv6 = status(both, .link("ppp0", 7, up: true, "2001:db8::1"))
        #expect(
            ipv6.changes(since: status(both)) == ["ppp0 is up with 2001:db8::1: masquerading fd00::/8"])
        let all = status(both, .link("ppp0", 7, up: true, "203.0.113.7", "2001:db8::1"))
        #expect(
            all.changes(since: ipv6)
                == ["ppp0 has the address 203.0.113.7 too: masquerading 192.168.0.0/16 and 1 more"])
    }

    @Test("Two links that swap their names are told by the names that they had")
    func swapped() {
        let glob = Configuration.masquerading("ppp*", "192.168.0.0/16")
        let before = status(
            glob, .link("ppp0", 7, up: true, "203.0.113.7"), .link("ppp1", 8, up: true, "198.51.100.9"))
        let after = status(
            glob, .link("ppp1", 7, up: true, "203.0.113.7"), .link("ppp0", 8, up: true, "198.51.100.9"))
        #expect(
            after.changes(since: before) == [
                "ppp0 is up with 198.51.100.9 (it was ppp1): masquerading 192.168.0.0/16",
                "ppp1 is up with 203.0.113.7 (it was ppp0): masquerading 192.168.0.0/16",
            ])
    }

    @Test("A dump that names an index twice keeps the last")
    func links() {
        let links = Links([.link("ppp0", 7, up: false), .link("ppp1", 7, up: true)])
        #expect(links.byIndex.count == 1)
        #expect(links.named("ppp1")?.index == 7)
        #expect(links.named("ppp0") == nil)
    }
}
