// SPDX-License-Identifier: GPL-3.0-or-later

@testable import MasqCore

extension ExaminationTests.Case {
    /// The uplink itself.
    static let uplinks: [Self] = [
        Self(
            "the uplink is not there",
            """
            wrong ppp0 is not there: nothing leaves by it
                  look: ip -br link
            """
        ) { $0.links.byIndex[HealthyGateway.ppp] = nil },
        Self(
            "the uplink is called something else",
            """
            wrong ppp0 is not there: nothing leaves by it; the default route leads out of ppp1, which is no out_interface \
            of /etc/masqd.toml
                  look: ip -br link
            """
        ) { $0.link(HealthyGateway.ppp) { $0.name = "ppp1" } },
        Self(
            "the uplink is called something like it, and has no route yet",
            """
            wrong ppp0 is not there: nothing leaves by it; there is a link ppp1
                  look: ip -br link
            """
        ) {
            $0.link(HealthyGateway.ppp) { $0.name = "ppp1" }
            $0.routes.removeAll(where: \.isDefault)
        },
        Self(
            "no link is like the name but the one that the clients are behind",
            """
            wrong lan1 is not there: nothing leaves by it
                  look: ip -br link
            """
        ) {
            $0.configuration = .masquerading("lan1", "192.168.0.0/16")
            $0.routes.removeAll(where: \.isDefault)
            $0.answerWays()
        },
        Self(
            "no link is like the glob",
            """
            wrong no link is called wan*: nothing can leave
                  look: ip -br link
            """
        ) {
            $0.configuration?.outbound[0].outInterfaces = [.prefix("wan")]
            $0.links.byIndex[HealthyGateway.ppp] = nil
        },
        Self(
            "the uplink is down",
            """
            wrong ppp0 is down: nothing leaves by it
                  type: ip link set ppp0 up
            """
        ) { $0.link(HealthyGateway.ppp) { $0.isUp = false } },
        Self(
            "no carrier",
            """
            wrong ppp0 has no carrier: its cable, its modem or the far end is off
                  look: ip -s link show dev ppp0
            """
        ) { $0.link(HealthyGateway.ppp) { $0.hasCarrier = false } },
        Self(
            "no address at all",
            """
            wrong ppp0 has no IPv4 address: nothing can be masqueraded to it
                  look: journalctl -b -g ppp0
            """,
            """
            wrong ppp0 has no IPv6 address: nothing can be masqueraded to it
                  look: journalctl -b -g ppp0
            """
        ) { $0.link(HealthyGateway.ppp) { $0.addresses = [] } },
        Self(
            "no IPv6 address",
            """
            warn  ppp0 has no IPv6 address: nothing can be masqueraded to it
                  look: journalctl -b -g ppp0
            """
        ) { $0.link(HealthyGateway.ppp) { $0.addresses.removeLast() } },
        Self("no IPv6 address, and none is needed for what is routed") {
            $0.configuration?.outbound = [
                OutboundBlock(
                    line: 4, outInterfaces: [.name("ppp0")], source: [try IPNetwork("192.168.0.0/16")]),
                OutboundBlock(
                    line: 8, outInterfaces: [.name("ppp0")], source: [try IPNetwork("fd00:1::/64")],
                    translation: .routed(Routing())),
            ]
            $0.link(HealthyGateway.ppp) { $0.addresses.removeLast() }
        },
        Self(
            "a prefix that nobody has delegated yet",
            """
            wrong npt0 has no address in 2000::/3: what is mapped to its prefix does not leave
                  look: ip -6 address show dev npt0
            """
        ) {
            $0.mapPrefix(from: "npt0")
            $0.link(HealthyGateway.ppp) { $0.addresses.removeLast() }
        },
        Self("a prefix that is delegated to another link") {
            $0.mapPrefix(from: "npt0")
            $0.links.byIndex[HealthyGateway.other] = .link(
                "npt0", HealthyGateway.other, up: true, "2001:db8:1111::1")
            $0.link(HealthyGateway.ppp) { $0.addresses.removeLast() }
        },
        Self(
            "a private address, and a forward",
            """
            warn  ppp0 is up with 10.0.0.7, a private address: the router before it, 10.0.0.1, translates again \
            (double NAT), and what comes from outside has to be forwarded there too
            """
        ) {
            try $0.replaceAddress("10.0.0.7")
            $0.routes[0].gateway = IPAddress("10.0.0.1")
            try $0.forwardSomething()
        },
        Self("a private address, and nothing is forwarded") { try $0.replaceAddress("10.0.0.7") },
        Self(
            "carrier-grade NAT, and a forward",
            """
            warn  ppp0 is up with 100.127.0.7, of 100.64.0.0/10: the provider translates again, and nothing \
            from outside gets here; only they can give a public address (RFC 6598)
            """
        ) {
            try $0.replaceAddress("100.127.0.7")
            try $0.forwardSomething()
        },
        Self(
            "carrier-grade NAT",
            """
            hint  ppp0 is up with 100.127.0.7, of 100.64.0.0/10: the provider translates again, and nothing \
            from outside gets here; only they can give a public address (RFC 6598)
            """
        ) { try $0.replaceAddress("100.127.0.7") },
        Self(
            "an address that the link gave itself",
            """
            wrong ppp0 has only 169.254.3.4, which it gave itself: no DHCP server has answered it
                  look: journalctl -b -g ppp0
            """
        ) { try $0.replaceAddress("169.254.3.4") },
        Self("a public address beside a private one") {
            $0.link(HealthyGateway.ppp) {
                $0.addresses.insert(contentsOf: [IPAddress("10.0.0.7")].compactMap { $0 }, at: 0)
            }
        },
        Self(
            "the same network on both sides",
            """
            wrong ppp0 and lan0 are in the same network, 192.168.1.0/24: give lan0 another one
                  look: ip address show dev lan0
            """
        ) {
            try $0.replaceAddress("192.168.1.20")
            $0.routes.append(try Route("192.168.1.0/24", HealthyGateway.ppp, connected: true))
        },
        Self("a small MTU that masqd clamps to") { $0.link(HealthyGateway.ppp) { $0.mtu = 1492 } },
        Self("a small MTU, and segments that are small enough") {
            $0.link(HealthyGateway.ppp) { $0.mtu = 1492 }
            $0.configuration?.mss.clamp = .fixed(1432)
        },
        Self(
            "a small MTU, and segments that are larger",
            """
            warn  the MTU of ppp0 is 1492, and [mss] clamp is 1433, larger than the 1432 that fit: where ICMP is \
            filtered, connections hang once data flows
                  type: ${EDITOR:-vi} /etc/masqd.toml && masqd --check && systemctl reload masqd.service
            """
        ) {
            $0.link(HealthyGateway.ppp) { $0.mtu = 1492 }
            $0.configuration?.mss.clamp = .fixed(1433)
        },
        Self(
            "a small MTU that nobody clamps to",
            """
            warn  the MTU of ppp0 is 1492, [mss] clamp is "off", and nobody else clamps the MSS: where ICMP is \
            filtered, connections hang once data flows
                  type: ${EDITOR:-vi} /etc/masqd.toml && masqd --check && systemctl reload masqd.service
            """
        ) {
            $0.link(HealthyGateway.ppp) { $0.mtu = 1492 }
            $0.configuration?.mss.clamp = .off
        },
        Self("a small MTU that somebody else clamps to") {
            $0.link(HealthyGateway.ppp) { $0.mtu = 1492 }
            $0.configuration?.mss.clamp = .off
            // The own chain is still there, and goes at the next reload.
            $0.observations.segmentClamps = .seen(["inet masqd mss", "ip mangle FORWARD"])
        },
        Self("segments that are small enough for the one family that there is") {
            $0.configuration = .howTo
            $0.configuration?.mss.clamp = .fixed(1452)
            $0.link(HealthyGateway.ppp) { $0.mtu = 1492 }
            $0.answerWays()
        },
        Self(
            "segments that no packet has",
            """
            hint  the MTU of ppp0 is 1500, and [mss] clamp is 1461, larger than the 1460 that fit: it lowers nothing
                  type: ${EDITOR:-vi} /etc/masqd.toml && masqd --check && systemctl reload masqd.service
            """
        ) { $0.configuration?.mss.clamp = .fixed(1461) },
        Self("a number that is for another uplink") { $0.configuration?.mss.clamp = .fixed(1452) },
        Self(
            "a small MTU, and rules that are not in force",
            """
            wrong table inet masqd is not in force: nothing is masqueraded, and nothing held back
                  type: systemctl reload masqd.service
            """
        ) {
            $0.link(HealthyGateway.ppp) { $0.mtu = 1492 }
            $0.observations.segmentClamps = .seen([])
            $0.observations.table = .seen(TableComparison(isThere: false, changes: [.addTable(flags: 0)]))
        },
        Self("the same small MTU on both sides") {
            $0.configuration?.mss.clamp = .off
            $0.link(HealthyGateway.ppp) { $0.mtu = 1400 }
            $0.link(HealthyGateway.lan) { $0.mtu = 1400 }
        },
    ]

    /// The way out, and back.
    static let routes: [Self] = [
        Self(
            "no default route",
            """
            wrong no IPv4 default route leads out of ppp0: only 203.0.113.1/32 is reached through it
                  type: ip route add default dev ppp0
            """
        ) { $0.routes.removeFirst() },
        Self(
            "no default route, on a link with neighbours: which of them is the router is not known",
            """
            wrong no IPv4 default route leads out of ppp0: only 203.0.113.0/24 is reached through it
                  look: ip route show table all dev ppp0
            """
        ) {
            $0.routes.removeAll { $0.destination == (try? IPNetwork("203.0.113.1/32")) }
            $0.routes[0] = try Route("203.0.113.0/24", HealthyGateway.ppp, connected: true)
            $0.link(HealthyGateway.ppp) { $0.resolvesNeighbours = true }
        },
        Self(
            "no default route, and a private network to masquerade to: a site without the Internet",
            """
            warn  no IPv4 default route leads out of ppp0: only 10.0.0.0/24 is reached through it
                  look: ip route show table all dev ppp0
            """
        ) {
            try $0.replaceAddress("10.0.0.7")
            $0.routes.removeAll { $0.destination == (try? IPNetwork("203.0.113.1/32")) }
            $0.routes[0] = try Route("10.0.0.0/24", HealthyGateway.ppp, connected: true)
            $0.link(HealthyGateway.ppp) { $0.resolvesNeighbours = true }
        },
        Self(
            "the default route leads elsewhere",
            """
            warn  no IPv4 default route leads out of ppp0: only 203.0.113.1/32 is reached through it; the default route \
            leads out of lan0, which is no out_interface of /etc/masqd.toml
                  look: ip route show table all default
            """
        ) { $0.routes[0].link = HealthyGateway.lan },
        Self(
            "one uplink of two has the default route, the other its own network: a modem's page, a VPN, a DMZ",
            """
            hint  no IPv4 default route leads out of wan.9: only 198.51.100.0/24 is reached through it; the default route \
            leads out of ppp0
                  look: ip route show table all default
            """,
            """
            hint  no IPv6 default route leads out of wan.9: nothing is reached through it; the default route leads out of ppp0
                  look: ip -6 route show table all default
            """
        ) { try $0.addConnectedUplink() },
        Self(
            "one of the uplinks that connections are distributed over has no default route",
            """
            warn  no IPv4 default route leads out of wan.9: only 198.51.100.0/24 is reached through it; the default route \
            leads out of ppp0
                  look: ip route show table all default
            """,
            """
            warn  no IPv6 default route leads out of wan.9: nothing is reached through it; the default route leads out of ppp0
                  look: ip -6 route show table all default
            """
        ) {
            try $0.addConnectedUplink()
            try $0.addUplinkBlock()
            $0.configuration?.uplinks.append(UplinkBlock(line: 12, interface: "wan.9", number: 2))
            $0.answerRouting()
        },
        Self(
            "a router of IPv6 that does not listen to its own router",
            """
            wrong no IPv6 default route leads out of ppp0: nothing is reached through it; net.ipv6.conf.ppp0.accept_ra is \
            1, so a machine that forwards learns no route from its router
                  type: sysctl -w net.ipv6.conf.ppp0.accept_ra=2
            """
        ) { $0.routes.remove(at: 1) },
        Self(
            "no IPv6 default route, and nobody waits for advertisements",
            """
            wrong no IPv6 default route leads out of ppp0: only 2001:db8::1/128 is reached through it
                  type: ip -6 route add default dev ppp0
            """
        ) {
            $0.routes[1] = try Route("2001:db8::1/128", HealthyGateway.ppp, connected: true)
            $0.observations.linkSettings["ppp0"]?.acceptsAdvertisements = 0
        },
        Self("no default route, and others: somebody knows what he does") {
            $0.routes[0] = try Route("198.51.100.0/24", HealthyGateway.ppp)
        },
        Self("a strict rp_filter does no harm where the default route is") {
            $0.observations.linkSettings["ppp0"]?.reversePathFilter = 1
        },
        Self(
            "a strict rp_filter on the second of two uplinks",
            """
            wrong rp_filter of wan.9 is strict, and the best default route leads out of ppp0: what comes in by \
            wan.9 is dropped
                  type: sysctl -w net.ipv4.conf.wan/9.rp_filter=2
            """
        ) {
            try $0.addUplink()
            $0.observations.linkSettings["wan.9"]?.reversePathFilter = 1
        },
        Self("a strict rp_filter, and a default route that routing rules lead to") {
            try $0.addUplink()
            $0.observations.linkSettings["wan.9"]?.reversePathFilter = 1
            for index in $0.routes.indices where $0.routes[index].link == HealthyGateway.other {
                $0.routes[index].table = 51820
            }
        },
        Self("two uplinks, one of them in reserve") { try $0.addUplink() },
        Self(
            "of two uplinks one is down, and the other carries on",
            """
            warn  wan.9 is down: nothing leaves by it
                  type: ip link set wan.9 up
            """
        ) {
            try $0.addUplink()
            $0.link(HealthyGateway.other) { $0.isUp = false }
        },
        Self(
            "the kernel sends it elsewhere",
            """
            warn  what 192.168.1.0/24 behind lan0 sends into the Internet leaves by wan.9, which is no out_interface \
            of masqd.toml:4: masqd does not translate it
                  look: ip route get 198.41.0.4 from 192.168.1.2 iif lan0
            """,
            """
            wrong what fd00:1::/64 behind lan0 sends into the Internet has no way: the kernel refuses the route
                  look: ip -6 route get 2001:503:ba3e::2:30 from fd00:1::2 iif lan0
            """
        ) {
            try $0.addUplink()
            $0.configuration?.outbound[0].outInterfaces = [.name("ppp0")]
            $0.answerWays(HealthyGateway.other)
            guard var ways = $0.observations.ways.value else { return }
            ways[1].outputLink = nil
            $0.observations.ways = .seen(ways)
        },
        Self("the kernel sends it where another block masquerades it") {
            try $0.addUplink()
            let block = $0.configuration?.outbound[0]
            $0.configuration?.outbound[0].outInterfaces = [.name("ppp0")]
            if var block {
                block.outInterfaces = [.name("wan.9")]
                $0.configuration?.outbound.append(block)
            }
            $0.answerWays(HealthyGateway.ppp)
        },
    ]
}
