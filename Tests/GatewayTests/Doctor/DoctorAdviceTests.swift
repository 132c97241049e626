// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport
import Testing

/// Healthy gateways that look odd: the doctor complains of nothing there, and has nothing to type that would break them.
@Suite("The doctor's advice")
struct DoctorAdviceTests {
    /// A gateway that works, its file, and the links that are its own.
    struct Odd: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let configuration: String
        /// As `ip` takes them, in the router's namespace.
        let links: [String]

        init(_ name: String, _ configuration: String, _ links: String...) {
            testDescription = name
            self.configuration = configuration
            self.links = links
        }

        static let all = [
            Odd(
                "the modem's page on the link below PPPoE, in a source that covers it too",
                "[[masquerade]]\nout_interface = [\"ppp0\", \"dmz0\"]\nsource = [\"192.168.0.0/16\", \"10.0.0.0/8\"]\n"
            ),
            Odd(
                "a VPN's server, whose clients reach the network and the world",
                """
                [[masquerade]]
                out_interface = "ppp0"
                source = ["192.168.0.0/16", "10.9.0.0/24"]
                [[routed]]
                out_interface = "dmz0"
                source = "192.168.0.0/16"
                unsolicited = "accept"

                """),
            Odd(
                "a server behind a tunnel that has its default route elsewhere",
                """
                [[masquerade]]
                out_interface = "ppp0"
                source = ["192.168.0.0/16", "10.9.0.0/24"]
                [[masquerade]]
                out_interface = "dmz0"
                source = "0.0.0.0/0"

                """),
            Odd(
                "a DMZ of public addresses, and a VPN whose clients are away",
                """
                [[masquerade]]
                out_interface = ["ppp0", "ppp9"]
                source = ["192.168.0.0/16", "10.8.0.0/24"]

                """, "addr replace 198.18.9.1/24 dev dmz0", "link add ppp9 type veth peer name far9",
                "link set ppp9 arp off up", "link set far9 up", "addr add 10.64.0.1 peer 10.64.0.2 dev ppp9"),
            Odd(
                "default routes as OpenVPN adds them",
                "[[masquerade]]\nout_interface = \"ppp0\"\nsource = \"192.168.0.0/16\"\n",
                "route add 0.0.0.0/1 dev ppp0", "route add 128.0.0.0/1 dev ppp0", "route del default"),
            Odd(
                "static routes only",
                "[[masquerade]]\nout_interface = \"ppp0\"\nsource = \"192.168.0.0/16\"\n",
                "route add 198.51.100.0/24 dev ppp0", "route del default"),
        ]
    }

    @Test(
        "Of a gateway that works and looks odd nothing is wrong, and there is nothing to type",
        arguments: Odd.all)
    func odd(_ odd: Odd) throws {
        let ward = try Ward(configuration: odd.configuration)
        for command in odd.links { try ward.gateway.router.ip(command) }
        try eventually("the client's connections leave") {
            try ward.gateway.isAnswered(.tcp, limit: .seconds(1))
        }
        let report = try ward.examine()
        #expect(report.complaints.map(\.line) == [])
        #expect(report.status == 0)
        #expect(report.commands == [])
    }

    /// One mistake in the file, or one fault of the machine, of which there is nothing to type that a router would need.
    @Test("Where the default route leads elsewhere, no advice moves it")
    func elsewhere() throws {
        for configuration in [
            // The names of inside and outside are swapped; the inside link is among the uplinks; the uplink has another name.
            "[[masquerade]]\nout_interface = \"lan0\"\nsource = [\"192.168.1.0/24\", \"172.20.0.0/24\"]\n",
            "[[masquerade]]\nout_interface = [\"ppp0\", \"lan0\"]\nsource = [\"192.168.1.0/24\", \"172.20.0.0/24\"]\n",
            "[[masquerade]]\nout_interface = \"ppp3\"\nsource = [\"192.168.1.0/24\", \"172.20.0.0/24\"]\n",
        ] {
            let ward = try Ward(configuration: configuration)
            let before = try ward.routes
            let report = try ward.examine()
            #expect(report.status == 1)
            #expect(report.complaints.contains { $0.line.hasPrefix("wrong ") })
            // Whoever types all that there is to type has the machine that it was.
            for command in report.commands where !command.hasPrefix("${EDITOR") { try ward.type(command) }
            #expect(try ward.routes == before)
        }
    }

    /// A perl script that advertises a default router out of a link, as a provider's router does (RFC 4861, 4.2).
    private static let advertisement = """
        use Socket qw(:all); socket(S, AF_INET6, SOCK_RAW, 58) or die $!;
        my $link = `cat /sys/class/net/$ARGV[0]/ifindex` + 0;
        setsockopt(S, 41, 18, pack("i", 255)) or die $!; setsockopt(S, 41, 17, pack("i", $link)) or die $!;
        send(S, pack("CCnCCnNN", 134, 0, 0, 64, 0, 1800, 0, 0), 0,
            pack_sockaddr_in6(0, inet_pton(AF_INET6, "ff02::1"), $link)) or die $!;
        """

    private func advertise(to ward: Ward) throws -> Bool {
        let wan = ward.gateway.wan
        try Command("perl", "-e", Self.advertisement, "isp-ppp0").run(in: wan).expectSuccess()
        let routes = try Command("ip", "-6", "route", "show", "default", "dev", "ppp0").run(
            in: ward.gateway.router)
        return routes.standardOutput.contains("proto ra")
    }

    @Test(
        "A router of IPv6 that lives on its router's advertisements is told to listen to them, before it forwards"
    )
    func advertisements() throws {
        let ward = try Ward(more: "[gateway]\nip_forward = \"ignore\"\n")
        let router = ward.gateway.router
        // As with Ethernet: a network, and a router that makes itself known.
        let flush = ["-6", "address", "flush", "scope"]
        try Command("ip", flush + ["global", "dev", "ppp0"]).run(in: router).expectSuccess()
        // The far end has the same hardware address here, and nobody listens to a router that calls itself as he does.
        try Command("ip", flush + ["link", "dev", "isp-ppp0"]).run(in: ward.gateway.wan).expectSuccess()
        try ward.gateway.wan.ip("addr add fe80::1/64 dev isp-ppp0 nodad")
        try router.ip("addr add 2001:db8::7/64 dev ppp0 nodad")
        try? router.ip("route del ::/0")
        try router.setSysctl("ipv6/conf/ppp0/accept_ra", to: "1")
        let deaf = try ward.examine()
        #expect(
            deaf.complaints.map(\.line) == [
                "wrong no IPv6 default route leads out of ppp0: only 2001:db8::/64 is reached through it; "
                    + "net.ipv6.conf.ppp0.accept_ra is 1, so a machine that forwards learns no route from its router"
            ])
        #expect(try !advertise(to: ward))
        for command in deaf.commands { try ward.type(command) }
        try eventually("the advertisement is heard") { try advertise(to: ward) }
        #expect(try ward.examine().status == 0)

        // The same machine before anybody made it a router.
        try router.setSysctl("ipv6/conf/ppp0/accept_ra", to: "1")
        try router.setSysctl("ipv6/conf/all/forwarding", to: "0")
        try eventually("a host hears it too") { try advertise(to: ward) }
        let host = try ward.examine()
        #expect(
            host.complaints.map(\.line) == ["wrong net.ipv6.conf.all.forwarding is 0: nothing is forwarded"])
        for command in host.commands { try ward.type(command) }
        #expect(try ward.examine().status == 0)
    }
}

extension Ward {
    /// Every route of the router.
    fileprivate var routes: String {
        get throws {
            let words = [
                "-c",
                "ip route show table all; ip -6 route show table all type unicast | sed 's/ expires.*//'",
            ]
            return try Command("sh", words).run(in: gateway.router).expectSuccess().standardOutput
        }
    }
}

extension Ward.Report {
    /// All that there is to type.
    var commands: [String] { complaints.flatMap(\.commands) }
}
