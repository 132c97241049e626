// SPDX-License-Identifier: GPL-3.0-or-later

import Testing

@testable import MasqCore

@Suite struct MasqueradeSourceTests {
    private func isMissing(_ family: AddressFamily, on link: Link, beside others: Link...) throws -> Bool {
        let hidden = try [IPNetwork("192.168.0.0/16"), IPNetwork("fd00::/8")]
        return MasqueradeSource(
            links: Links([link] + others), family: family,
            hidden: AddressRanges(family: family, networks: hidden)
        ).isMissing(on: link)
    }

    private let lan = Link.link("lan0", 2, up: true, "192.168.1.1", "fd00:1::1")

    @Test("Without an address of the family the private network's would be taken")
    func nothing() throws {
        #expect(try isMissing(.ipv4, on: .link("ppp0", 7, up: true), beside: lan))
        #expect(try isMissing(.ipv4, on: .link("ppp0", 7, up: true, "2001:db8::7"), beside: lan))
        #expect(try isMissing(.ipv6, on: .link("ppp0", 7, up: true, "203.0.113.7", "fe80::1"), beside: lan))
    }

    @Test("An address of the link's own is taken, a private one too")
    func own() throws {
        #expect(try !isMissing(.ipv4, on: .link("ppp0", 7, up: true, "203.0.113.7"), beside: lan))
        #expect(try !isMissing(.ipv4, on: .link("ppp0", 7, up: true, "192.168.0.5"), beside: lan))
        #expect(try !isMissing(.ipv6, on: .link("ppp0", 7, up: true, "fd99::5"), beside: lan))
    }

    @Test("A tentative address is not taken, a deprecated one only where no link has a better one")
    func flags() throws {
        var link = Link.link("ppp0", 7, up: true, "2001:db8::7")
        let address = try #require(IPAddress("2001:db8::7"))
        link.deprecated = [address]
        #expect(try isMissing(.ipv6, on: link, beside: lan))
        #expect(try !isMissing(.ipv6, on: link, beside: .link("lan0", 2, up: true, "192.168.1.1")))
        link.deprecated = []
        link.unselectable = [address]
        #expect(try isMissing(.ipv6, on: link, beside: lan))
        #expect(try isMissing(.ipv6, on: link))
    }

    @Test("A link without numbers borrows a public address, unless a private one could be taken")
    func borrowed() throws {
        let public_ = Link.link("lan1", 3, up: true, "198.51.100.1", "2001:db8:1::1")
        #expect(try !isMissing(.ipv4, on: .link("ppp0", 7, up: true), beside: public_))
        #expect(try !isMissing(.ipv6, on: .link("ppp0", 7, up: true, "fe80::1"), beside: public_))
        #expect(try isMissing(.ipv4, on: .link("ppp0", 7, up: true), beside: public_, lan))
    }

    @Test("The address of its VRF is as good as its own, and those of other links outside are not asked")
    func vrf() throws {
        var link = Link.link("ppp0", 7, up: true)
        link.vrf = 9
        #expect(try !isMissing(.ipv4, on: link, beside: lan, .link("vrf1", 9, up: true, "203.0.113.7")))
        #expect(try isMissing(.ipv4, on: link, beside: lan, .link("vrf1", 9, up: true)))
        var inside = Link.link("lan1", 3, up: true, "192.168.2.1")
        inside.vrf = 9
        #expect(try isMissing(.ipv4, on: link, beside: inside, .link("vrf1", 9, up: true)))
    }
}

@Suite struct UnnamedUplinksTests {
    private let links = Links([
        .link("ppp0", 7, up: true, "203.0.113.7"), .link("eth0", 3, up: true, "203.0.113.9"),
    ])

    private func defaults(_ metrics: [(link: Int32, metric: UInt32)]) -> DefaultRoutes {
        var defaults = DefaultRoutes()
        defaults.entries = Set(metrics.map { .init(.ipv4, link: $0.link, metric: $0.metric) })
        return defaults
    }

    private func ways(_ metrics: (link: Int32, metric: UInt32)..., links: Links? = nil) -> UnnamedUplinks {
        UnnamedUplinks(.howTo, links ?? self.links, defaults(metrics))
    }

    @Test("A reserve is worth no word until the default route leads out of it")
    func reserve() {
        #expect(ways((7, 0), (3, 100)).summary == nil)
        #expect(ways((3, 100)).claims.count == 1)
        var down = links
        down.byIndex[7]?.isUp = false
        let fallen = ways((7, 0), (3, 100), links: down)
        #expect(
            fallen.summary
                == "the IPv4 default route leads out of eth0, which no out_interface names: held back")
        #expect(
            fallen.changes(since: ways((7, 0), (3, 100)), down, defaults([(7, 0), (3, 100)])).map(\.line) == [
                "the IPv4 default route leads out of eth0, which no out_interface names: what 192.168.0.0/16 "
                    + "sends by it is held back ([forward] unnamed_uplink = \"accept\" lets it leave)"
            ])
        #expect(
            ways((7, 0)).changes(since: fallen, links, defaults([(7, 0)])).map(\.line)
                == ["the IPv4 default route no longer leads out of eth0, which no out_interface names"])
    }

    @Test("A link that blocks name for some sources leaves the others held back, and says which")
    func partly() throws {
        var configuration = Configuration.howTo
        let other = try #require(configuration.outbound.first)
        configuration.outbound.append(other)
        configuration.outbound[1].source = [try IPNetwork("10.0.0.0/8")]
        configuration.outbound[1].outInterfaces = [.name("eth0")]
        let routes = defaults([(3, 0)])
        let partly = UnnamedUplinks(configuration, links, routes)
        #expect(
            partly.summary
                == "the IPv4 default route leads out of eth0, which no block names for 192.168.0.0/16: held back"
        )
        // A reload that names it for them, while the route stays where it is.
        configuration.outbound[1].source.append(try IPNetwork("192.168.0.0/16"))
        let named = UnnamedUplinks(configuration, links, routes)
        #expect(named.summary == nil)
        #expect(
            named.changes(since: partly, links, routes).map(\.line)
                == ["the IPv4 default route out of eth0 no longer concerns 192.168.0.0/16"])
    }

    @Test(
        "The pieces that OpenVPN lays over a default route lead anywhere too, other routes and tables do not")
    func pieces() throws {
        func leads(_ network: String, table: UInt32 = Route.mainTable) throws -> Bool {
            Route(try IPNetwork(network), link: 3, table: table).leadsAnywhere
        }
        for network in ["0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "::/0", "::/3", "2000::/4", "3000::/4"] {
            #expect(try leads(network), "\(network)")
        }
        for network in ["10.0.0.0/8", "fc00::/7", "ff00::/8", "2001:db8::/32"] {
            #expect(try !leads(network), "\(network)")
        }
        #expect(try !leads("0.0.0.0/0", table: 100))
    }
}
