// SPDX-License-Identifier: GPL-3.0-or-later

import Testing

@testable import MasqCore

extension ExaminationTests.Case {
    /// The file, the daemon, the switches.
    static let machine: [Self] = [
        Self(
            "a warning in the file",
            """
            warn  /etc/masqd.toml:3:1: warning: listed twice
                  type: ${EDITOR:-vi} /etc/masqd.toml && masqd --check && systemctl reload masqd.service
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
            "ip_forward",
            """
            wrong net.ipv4.ip_forward is 0: nothing is forwarded
                  type: sysctl -w net.ipv4.ip_forward=1
            """
        ) { $0.observations.forwarding = .seen([.ipv4: false, .ipv6: true]) },
        Self(
            "forwarding of IPv6, and an uplink whose router's advertisements are listened to",
            """
            wrong net.ipv6.conf.all.forwarding is 0: nothing is forwarded
                  type: sysctl -w net.ipv6.conf.ppp0.accept_ra=2
                  type: sysctl -w net.ipv6.conf.all.forwarding=1
            """
        ) { $0.observations.forwarding = .seen([.ipv4: true, .ipv6: false]) },
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

    /// The private side.
    static let inside: [Self] = [
        Self(
            "nobody is behind it",
            """
            warn  no link but the uplinks is up and has a network: there are no clients at present
                  look: ip -br address
            """
        ) { $0.link(HealthyGateway.lan) { $0.isUp = false } },
        Self(
            "a public network that is not there",
            """
            warn  192.186.0.0/16 of masqd.toml:4 is in none of the networks that are behind this machine now: \
            192.168.1.0/24 (lan0), fd00:1::/64 (lan0)
            """
        ) { $0.configuration?.outbound[0].source += [try IPNetwork("192.186.0.0/16")] },
        Self(
            "a private network that is not there: a VPN whose clients are away",
            """
            hint  10.8.0.0/24 of masqd.toml:4 is in none of the networks that are behind this machine now: \
            192.168.1.0/24 (lan0), fd00:1::/64 (lan0)
            """
        ) { $0.configuration?.outbound[0].source += [try IPNetwork("10.8.0.0/24")] },
        Self(
            "no source is right",
            """
            warn  10.0.0.0/8 (and 1 more) of masqd.toml:4 is in none of the networks that are behind this machine now: \
            192.168.1.0/24 (lan0), fd00:1::/64 (lan0)
                  type: ${EDITOR:-vi} /etc/masqd.toml && masqd --check && systemctl reload masqd.service
            """,
            "hint  192.168.1.0/24, behind lan0, is in no source of /etc/masqd.toml: masqd does not masquerade it",
            "hint  fd00:1::/64, behind lan0, is in no source of /etc/masqd.toml: masqd does not masquerade it"
        ) {
            $0.configuration?.outbound[0].source = [
                try IPNetwork("10.0.0.0/8"), try IPNetwork("fd00:2::/64"),
            ]
            $0.answerWays()
        },
        Self(
            "the inside link among the uplinks",
            """
            hint  no IPv4 default route leads out of lan0: only 192.168.1.0/24 is reached through it; the default route \
            leads out of ppp0
                  look: ip route show table all default
            """,
            """
            wrong 192.168.1.0/24 is on lan0, which is an out_interface of masqd.toml:4, and in source there too: what \
            comes from there is dropped as spoofed
                  type: ${EDITOR:-vi} /etc/masqd.toml && masqd --check && systemctl reload masqd.service
            """
        ) {
            $0.configuration = .howTo
            $0.configuration?.outbound[0].outInterfaces.append(.name("lan0"))
            $0.answerWays()
        },
        Self(
            "inside and outside swapped",
            """
            warn  no IPv4 default route leads out of lan0: only 192.168.1.0/24 is reached through it; the default route \
            leads out of ppp0, which is no out_interface of /etc/masqd.toml
                  look: ip route show table all default
            """,
            """
            wrong 192.168.1.0/24 is on lan0, which is an out_interface of masqd.toml:4, and in source there too
                  type: ${EDITOR:-vi} /etc/masqd.toml && masqd --check && systemctl reload masqd.service
            """
        ) {
            $0.configuration = .masquerading("lan0", "192.168.1.0/24")
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
            "hint  10.9.0.0/24, behind dmz0, is in no source of /etc/masqd.toml: masqd does not masquerade it"
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
}

extension HealthyGateway {
    mutating func replaceAddress(_ address: String) throws {
        link(Self.ppp) { $0.addresses[0] = IPAddress(address) ?? $0.addresses[0] }
    }

    /// `wan.9`, whose default route is worse than ppp0's.
    mutating func addUplink() throws {
        links.byIndex[Self.other] = .link("wan.9", Self.other, up: true, "198.51.100.9", "2001:db8:9::9")
        observations.linkSettings["wan.9"] = LinkSettings(
            reversePathFilter: 2, isForwarding: true, acceptsAdvertisements: 0)
        configuration?.outbound[0].outInterfaces.append(.name("wan.9"))
        for destination in ["0.0.0.0/0", "::/0"] {
            routes.append(Route(try IPNetwork(destination), link: Self.other, metric: 100))
        }
        answerWays()
    }

    /// `wan.9`, which has its own network and no way into the Internet.
    mutating func addConnectedUplink() throws {
        try addUplink()
        routes.removeAll { $0.link == Self.other }
        routes.append(try Route("198.51.100.0/24", Self.other, connected: true))
        answerWays()
    }

    /// A forward that no service of the machine is in the way of.
    mutating func forwardSomething() throws {
        configuration?.portForwards = [
            PortForward(
                line: 9, inInterfaces: [.name("ppp0")], transports: [.tcp], ports: 443...443,
                address: try #require(IPAddress("192.168.1.10")), firstPort: 443)
        ]
        observations.listeners = .seen([])
    }

    mutating func load(count: Int, maximum: Int, buckets: Int, memory: Int = 4 << 30) {
        observations.conntrack = .seen(
            ConntrackLoad(count: count, maximum: maximum, buckets: buckets, memory: memory))
    }
}
