// SPDX-License-Identifier: GPL-3.0-or-later

@testable import MasqCore

extension ExaminationTests.Case {
    /// The file, the daemon, the switches.
    static let machine: [Self] = [
        Self(
            "a warning in the file",
            """
            warn  /etc/masqd.toml:3:1: warning: listed twice
                  type: sensible-editor /etc/masqd.toml && masqd --check && systemctl reload masqd.service
            """
        ) {
            $0.diagnostics = [
                Diagnostic(
                    .warning, origin: "/etc/masqd.toml", position: .init(line: 3, column: 1),
                    message: "listed twice")
            ]
        },
        Self(
            "no daemon",
            """
            warn  no masqd is running: nobody mends the rules and connections when something changes
                  type: systemctl start masqd
            """
        ) { $0.observations.holder = .seen(nil) },
        Self(
            "a stranger with the daemon's name",
            """
            warn  pid 99, of another user, holds the address @masqd and is no masqd
                  type: ps -fp 99
            """
        ) { $0.observations.holder = .seen(LockHolder(process: 99, isStranger: true)) },
        Self(
            "ip_forward",
            """
            wrong net.ipv4.ip_forward is 0: nothing is forwarded
                  type: sysctl -w net.ipv4.ip_forward=1
            """
        ) { $0.observations.forwarding = .seen([.ipv4: false, .ipv6: true]) },
        Self(
            "no daemon has switched forwarding on",
            """
            warn  no masqd is running: nobody mends the rules and connections when something changes
                  type: systemctl start masqd
            """,
            """
            wrong net.ipv6.conf.all.forwarding is 0: nothing is forwarded
                  type: systemctl start masqd
            """
        ) {
            $0.observations.holder = .seen(nil)
            $0.observations.forwarding = .seen([.ipv4: true, .ipv6: false])
        },
        Self("no IPv6", "wrong net.ipv6.conf.all.forwarding is not there: this kernel runs without IPv6") {
            $0.observations.forwarding = .seen([.ipv4: true])
        },
        Self("IPv6 is off and nobody wants it") {
            $0.observations.forwarding = .seen([.ipv4: true, .ipv6: false])
            $0.configuration = .howTo
            $0.answerWays()
        },
        Self(
            "forwarding is off for one link",
            """
            wrong net.ipv4.conf.lan0.forwarding is 0: what comes in by lan0 is not forwarded
                  type: sysctl -w net.ipv4.conf.lan0.forwarding=1
            """
        ) {
            $0.observations.linkSettings["lan0"]?.isForwarding = false
            // Of no importance here.
            $0.observations.linkSettings["lo"]?.isForwarding = false
        },
    ]

    /// The uplink itself.
    static let uplinks: [Self] = [
        Self(
            "the uplink is not there",
            """
            wrong ppp0 is not there: nothing leaves by it
                  type: pon
            """
        ) { $0.links.byIndex[HealthyGateway.ppp] = nil },
        Self(
            "the uplink is called something else",
            """
            wrong ppp0 is not there: nothing leaves by it (did you mean ppp1?)
                  type: pon
            """
        ) { $0.link(HealthyGateway.ppp) { $0.name = "ppp1" } },
        Self(
            "no link is like the glob",
            """
            wrong no link is called wan*: nothing can leave
                  type: ip -br link
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
                  type: ip -s link show dev ppp0
            """
        ) { $0.link(HealthyGateway.ppp) { $0.hasCarrier = false } },
        Self(
            "no address at all",
            """
            wrong ppp0 has no IPv4 address: nothing can be masqueraded to it
                  type: journalctl -b -g ppp0
            """,
            """
            wrong ppp0 has no IPv6 address: nothing can be masqueraded to it
                  type: journalctl -b -g ppp0
            """
        ) { $0.link(HealthyGateway.ppp) { $0.addresses = [] } },
        Self(
            "no IPv6 address",
            """
            warn  ppp0 has no IPv6 address: nothing can be masqueraded to it
                  type: journalctl -b -g ppp0
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
            "a private address",
            """
            warn  ppp0 is up with 10.0.0.7, a private address: the router before it, 10.0.0.1, translates again \
            (double NAT), and what comes from outside has to be forwarded there too
            """
        ) {
            try $0.replaceAddress("10.0.0.7")
            $0.routes[0].gateway = IPAddress("10.0.0.1")
        },
        Self(
            "carrier-grade NAT",
            """
            warn  ppp0 is up with 100.127.0.7, of 100.64.0.0/10: the provider translates again, and nothing \
            from outside gets here; only he can give a public address (RFC 6598)
            """
        ) { try $0.replaceAddress("100.127.0.7") },
        Self(
            "an address that the link gave itself",
            """
            wrong ppp0 has only 169.254.3.4, which it gave itself: no DHCP server has answered it
                  type: journalctl -b -g ppp0
            """
        ) { try $0.replaceAddress("169.254.3.4") },
        Self("a public address beside a private one") {
            $0.link(HealthyGateway.ppp) {
                $0.addresses.insert(contentsOf: [IPAddress("10.0.0.7")].compactMap { $0 }, at: 0)
            }
        },
        Self(
            "the same network on both sides",
            "warn  ppp0 is up with 192.168.1.20, a private address: the router before it translates again "
                + "(double NAT), and what comes from outside has to be forwarded there too",
            """
            wrong ppp0 and lan0 are in the same network, 192.168.1.0/24: give lan0 another one
                  type: ip address show dev lan0
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
                  type: sensible-editor /etc/masqd.toml && masqd --check && systemctl reload masqd.service
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
                  type: sensible-editor /etc/masqd.toml && masqd --check && systemctl reload masqd.service
            """
        ) {
            $0.link(HealthyGateway.ppp) { $0.mtu = 1492 }
            $0.configuration?.mss.clamp = .off
        },
        Self("a small MTU that somebody else clamps to") {
            $0.link(HealthyGateway.ppp) { $0.mtu = 1492 }
            $0.configuration?.mss.clamp = .off
            $0.observations.segmentClamps = .seen(["ip mangle FORWARD"])
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
            wrong no IPv4 default route leads out of ppp0: nothing leaves by it
                  type: ip route add default dev ppp0
            """
        ) { $0.routes.removeFirst() },
        Self(
            "no default route, on a link with neighbours",
            """
            wrong no IPv4 default route leads out of ppp0: nothing leaves by it
                  type: ip route add default via ROUTER dev ppp0
            """
        ) {
            $0.routes.removeAll { $0.destination == (try? IPNetwork("203.0.113.1/32")) }
            $0.routes.removeFirst()
            $0.link(HealthyGateway.ppp) { $0.resolvesNeighbours = true }
        },
        Self(
            "no default route, on a link with neighbours and a peer",
            """
            wrong no IPv4 default route leads out of ppp0: nothing leaves by it
                  type: ip route add default via 203.0.113.1 dev ppp0
            """
        ) {
            $0.routes.removeFirst()
            $0.link(HealthyGateway.ppp) { $0.resolvesNeighbours = true }
        },
        Self(
            "the default route leads elsewhere",
            """
            wrong no IPv4 default route leads out of ppp0; it leads out of lan0: nothing leaves by it
                  type: ip route replace default dev ppp0
            """
        ) { $0.routes[0].link = HealthyGateway.lan },
        Self(
            "a router of IPv6 that does not listen to its own router",
            """
            wrong no IPv6 default route leads out of ppp0: nothing leaves by it; net.ipv6.conf.ppp0.accept_ra is 1, \
            so a machine that forwards learns no route from its router
                  type: sysctl -w net.ipv6.conf.ppp0.accept_ra=2
            """
        ) { $0.routes.remove(at: 1) },
        Self(
            "no IPv6 default route, and nobody waits for advertisements",
            """
            wrong no IPv6 default route leads out of ppp0: nothing leaves by it
                  type: ip -6 route add default dev ppp0
            """
        ) {
            $0.routes.remove(at: 1)
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
            wrong what 192.168.1.0/24 behind lan0 sends into the Internet leaves by wan.9, which is no out_interface \
            of masqd.toml:4: nobody masquerades it
                  type: ip route get 198.41.0.4 from 192.168.1.2 iif lan0
            """,
            """
            wrong what fd00:1::/64 behind lan0 sends into the Internet has no way: the kernel refuses the route
                  type: ip -6 route get 2001:503:ba3e::2:30 from fd00:1::2 iif lan0
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

    /// The private side.
    static let inside: [Self] = [
        Self(
            "nobody is behind it",
            """
            wrong no network is behind this machine: no link but the uplinks is up and has an address
                  type: ip -br address
            """
        ) { $0.link(HealthyGateway.lan) { $0.isUp = false } },
        Self(
            "a typo in a source",
            """
            warn  192.186.0.0/16 of masqd.toml:4 is no network behind this machine, which are 192.168.1.0/24 (lan0), \
            fd00:1::/64 (lan0): a typo, or a link that is not up
                  type: sensible-editor /etc/masqd.toml && masqd --check && systemctl reload masqd.service
            """
        ) { $0.configuration?.outbound[0].source += [try IPNetwork("192.186.0.0/16")] },
        Self(
            "no source is right",
            """
            wrong 10.0.0.0/8 (and 1 more) of masqd.toml:4 is no network behind this machine, which are \
            192.168.1.0/24 (lan0), fd00:1::/64 (lan0): a typo, or a link that is not up
                  type: sensible-editor /etc/masqd.toml && masqd --check && systemctl reload masqd.service
            """,
            """
            hint  192.168.1.0/24, behind lan0, is in no source of /etc/masqd.toml: masqd does not masquerade it
                  type: sensible-editor /etc/masqd.toml && masqd --check && systemctl reload masqd.service
            """,
            """
            hint  fd00:1::/64, behind lan0, is in no source of /etc/masqd.toml: masqd does not masquerade it
                  type: sensible-editor /etc/masqd.toml && masqd --check && systemctl reload masqd.service
            """
        ) {
            $0.configuration?.outbound[0].source = [
                try IPNetwork("10.0.0.0/8"), try IPNetwork("fd00:2::/64"),
            ]
            $0.answerWays()
        },
        Self("all private ranges, of which one is there") {
            $0.configuration?.outbound[0].source += [
                try IPNetwork("10.0.0.0/8"), try IPNetwork("172.16.0.0/12"), try IPNetwork("fd00::/8"),
            ]
        },
        Self("a network behind another router") {
            $0.configuration?.outbound[0].source += [try IPNetwork("172.20.0.0/24")]
            $0.routes.append(try Route("172.20.0.0/16", HealthyGateway.lan))
        },
        Self(
            "a client network that the file does not know",
            """
            hint  10.9.0.0/24, behind dmz0, is in no source of /etc/masqd.toml: masqd does not masquerade it
                  type: sensible-editor /etc/masqd.toml && masqd --check && systemctl reload masqd.service
            """
        ) {
            $0.link(HealthyGateway.other) { $0.name = "dmz0" }
            // A public network is routed, and a host's route is no network.
            $0.routes += [
                try Route("10.9.0.0/24", HealthyGateway.other, connected: true),
                try Route("198.51.100.0/24", HealthyGateway.other, connected: true),
                try Route("10.10.0.1/32", HealthyGateway.other),
            ]
        },
    ]

    /// Rules, others' rules, connections, and the next boot.
    static let rules: [Self] = [
        Self(
            "no rules",
            """
            wrong table inet masqd is not in force: nothing is masqueraded, and nothing held back
                  type: systemctl reload masqd.service
            """
        ) {
            $0.observations.table = .seen(
                TableComparison(isThere: false, changes: [.addTable(flags: 0), .addChain("forward", nil)]))
        },
        Self(
            "rules that differ",
            """
            wrong table inet masqd is not as /etc/masqd.toml asks for: counter leak_guard is missing, chain forward \
            differs, set masquerade_1_source differs, set mine should not be there, chain guard is missing, and 1 more
                  type: systemctl reload masqd.service
            """
        ) {
            $0.observations.table = .seen(
                TableComparison(
                    isThere: true,
                    changes: [
                        .addObject(.counter("leak_guard")), .flushChain("forward"),
                        .deleteElements(set: "masquerade_1_source", .interfaces([])), .flushSet("mine"),
                        .deleteSet("mine"), .addChain("guard", nil), .addRule(chain: "forward", []),
                        .addRule(chain: "guard", []), .deleteChain("mine"),
                    ]))
        },
        Self(
            "rules that can't be read", "skip  the rules in force: not looked at: needs CAP_NET_ADMIN"
        ) { $0.observations.table = .unseen(why: "needs CAP_NET_ADMIN") },
        Self(
            "others' rules",
            """
            wrong it drops
                  type: open it
                  type: and load it
            """, "warn  it translates", "hint  it may translate (3 more networks need the same)"
        ) {
            $0.observations.foreign = .seen(
                ForeignReport(findings: [
                    .init(
                        kind: .dropsBoth, owner: .ufw, baseChain: "a", claim: "it drops",
                        advice: ["open it", "and load it"]),
                    .init(kind: .translates, owner: .ufw, baseChain: "b", claim: "it translates", advice: []),
                    .init(
                        kind: .mayTranslate, owner: .ufw, baseChain: "c", claim: "it may translate",
                        advice: [],
                        unlisted: 3),
                ]))
        },
        Self(
            "others' rules that are hidden",
            "skip  the rules of iptables-legacy: not looked at: only root may read them"
        ) {
            var report = ForeignReport()
            report.isComplete = false
            $0.observations.foreign = .seen(report)
        },
        Self("no connections yet", "hint  the kernel tracks no connections: no rule has asked for it yet") {
            $0.observations.conntrack = .seen(nil)
        },
        Self(
            "many connections",
            """
            warn  the connection table holds 80000 of 100000 connections: it is nearly full
                  type: sysctl -w net.netfilter.nf_conntrack_max=200000
            """
        ) { $0.load(count: 80_000, maximum: 100_000, buckets: 65_536) },
        Self(
            "too many connections",
            """
            wrong the connection table holds 100000 of 100000 connections: it is full, and new ones are dropped
                  type: sysctl -w net.netfilter.nf_conntrack_max=200000
            """
        ) { $0.load(count: 100_000, maximum: 100_000, buckets: 65_536) },
        Self(
            "too many connections for the memory",
            """
            warn  the connection table holds 80000 of 100000 connections: it is nearly full: a larger one would take \
            more than a quarter of the memory
                  type: conntrack -S
            """
        ) { $0.load(count: 80_000, maximum: 100_000, buckets: 65_536, memory: 256 << 20) },
        Self(
            "a table that the memory is too small for",
            """
            hint  nf_conntrack_max is 1000000: a full table would take 381 of 512 MiB of memory
                  type: sysctl -w net.netfilter.nf_conntrack_max=335544
            """
        ) { $0.load(count: 0, maximum: 1_000_000, buckets: 262_144, memory: 512 << 20) },
        Self(
            "long chains",
            """
            hint  nf_conntrack_max is 1000000 with 65536 buckets: looking a connection up in a full table is slow
                  type: sysctl -w net.netfilter.nf_conntrack_buckets=250000
            """
        ) { $0.load(count: 0, maximum: 1_000_000, buckets: 65_536) },
        Self(
            "failures",
            """
            hint  12 packets were dropped since boot, as the connection table had no room for them; does it grow?
                  type: conntrack -S
            """,
            """
            hint  7 connections failed since boot, as their ports were taken: a few are normal; does it grow?
                  type: conntrack -S
            """
        ) {
            var load = $0.observations.conntrack.value ?? nil
            load?.failures = .init(drops: 12, failedInsertions: 7)
            $0.observations.conntrack = .seen(load)
        },
        Self(
            "an old copy at the next boot",
            """
            warn  /etc/nftables.conf:3 has a copy of table inet masqd, which is loaded at boot, however old it is
                  type: sed -i.bak '3,9d;20,30d' /etc/nftables.conf
            """
        ) {
            $0.observations.savedRuleset = .seen(
                SavedRuleset(path: "/etc/nftables.conf", copies: [3...9, 20...30]))
        },
    ]
}

extension HealthyGateway {
    fileprivate mutating func replaceAddress(_ address: String) throws {
        link(Self.ppp) { $0.addresses[0] = IPAddress(address) ?? $0.addresses[0] }
    }

    /// `wan.9`, whose default route is worse than ppp0's.
    fileprivate mutating func addUplink() throws {
        links.byIndex[Self.other] = .link("wan.9", Self.other, up: true, "198.51.100.9", "2001:db8:9::9")
        observations.linkSettings["wan.9"] = LinkSettings(
            reversePathFilter: 2, isForwarding: true, acceptsAdvertisements: 0)
        configuration?.outbound[0].outInterfaces.append(.name("wan.9"))
        for destination in ["0.0.0.0/0", "::/0"] {
            routes.append(Route(try IPNetwork(destination), link: Self.other, metric: 100))
        }
        answerWays()
    }

    fileprivate mutating func load(count: Int, maximum: Int, buckets: Int, memory: Int = 4 << 30) {
        observations.conntrack = .seen(
            ConntrackLoad(count: count, maximum: maximum, buckets: buckets, memory: memory))
    }
}
