// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport
import Testing

@Suite("The doctor")
struct DoctorTests {
    @Test("Of a healthy gateway every step is ok, nothing is changed and the daemon is not disturbed")
    func healthy() throws {
        let ward = try Ward()
        let (router, masqd) = (ward.gateway.router, ward.masqd)
        #expect(try ward.gateway.seenSource(.tcp).address == "203.0.113.7")
        let before = try (ruleset: router.ruleset(), log: masqd.log, status: masqd.status)
        let report = try ward.examine()
        #expect(report.status == 0)
        #expect(report.lines.allSatisfy { $0.hasPrefix("ok    ") })
        for step in [
            "masqd is running (pid \(masqd.pid)", "net.ipv4.ip_forward is 1",
            "net.ipv6.conf.all.forwarding is 1",
            "ppp0 is up with 203.0.113.7", "ppp0 is up with 2001:db8::7",
            "the IPv4 default route leads out of ppp0",
            "the IPv6 default route leads out of ppp0", "rp_filter of ppp0 is off",
            "what 192.168.1.0/24 behind lan0 sends into the Internet leaves by ppp0",
            "what fd00:1::/64 behind lan0 sends into the Internet leaves by ppp0", "table inet masqd is as",
            "no rules of others drop", "the connection table holds ", "no old copy of table inet masqd",
        ] {
            #expect(report.lines.contains { $0.hasPrefix("ok    \(step)") }, "\(step)")
        }
        #expect(report.summary == "everything is as it should be")
        #expect(try router.ruleset() == before.ruleset)
        #expect(try router.sysctl("ipv4/ip_forward") == "1")
        #expect(try masqd.log == before.log)
        #expect(try masqd.status == before.status)
        #expect(try masqd.isRunning)
        #expect(try ward.gateway.seenSource(.tcp).address == "203.0.113.7")
    }

    @Test("Of a healthy gateway that uses everything every step is ok")
    func everything() throws {
        let ward = try Ward(
            configuration: Ward.ipv4,
            more: """
                [[snat]]
                out_interface = "ppp0"
                source = "fd00:1::/64"
                to = "uplink-prefix"
                inbound = true
                [[port_forward]]
                port = "8000-8010"
                to = "192.168.1.2"
                [[uplink]]
                interface = "ppp0"
                [conntrack]
                helpers = ["ftp", "sip"]
                timeouts = "rfc"
                [clients]
                blocked = "192.168.7.0/24"
                max_connections = 100
                [accounting]
                blocks = true
                clients = true
                forwards = true

                """)
        let report = try ward.examine()
        #expect(report.lines.filter { !$0.hasPrefix("ok    ") } == [])
        #expect(report.status == 0)
        #expect(report.lines.contains { $0.hasPrefix("ok    policy routing is as ") })
    }

    @Test("What this kernel lacks is said, once, and is no difference to the file")
    func lacking() throws {
        let ward = try Ward(more: "[forward]\nflow_offload = \"auto\"\n")
        let isLacking = try ward.masqd.status.contains("the kernel lacks flowtables")
        let report = try ward.examine()
        #expect(report.status == 0)
        #expect(
            report.lines.filter { !$0.hasPrefix("ok    ") }
                == (isLacking
                    ? [
                        "hint  this kernel has no flowtables: masqd goes on without them (modules: nf_flow_table_inet, "
                            + "nft_flow_offload)"
                    ] : []))
        #expect(report.lines.contains { $0.hasPrefix("ok    table inet masqd is as ") })

        guard isLacking else { return }
        try ward.masqd.write(
            configuration: ward.configuration.replacing("\"auto\"", with: "\"software\""))
        let insistent = try ward.examine()
        #expect(insistent.status == 1)
        #expect(insistent.complaints.count == 1)
        #expect(
            insistent.complaints.first?.line.contains("the kernel refused flowtable fastpath: ") == true)
        #expect(insistent.complaints.first?.commands == [])
    }

    @Test("Where masqd clamps the MSS to a small MTU, that is as it should be; a number has to fit")
    func segmentSize() throws {
        let ward = try Ward()
        try ward.gateway.router.ip("link set ppp0 mtu 1492")
        let clamped = try ward.examine()
        #expect(clamped.status == 0)
        #expect(clamped.lines.contains("ok    the MTU of ppp0 is 1492, and masqd clamps the MSS to it"))
        for (size, isFitting) in [(1432, true), (1433, false)] {
            try ward.masqd.reload(ward.configuration + "[mss]\nclamp = \(size)\n")
            let report = try ward.examine()
            #expect(report.status == (isFitting ? 0 : 1))
            let claim = "ok    the MTU of ppp0 is 1492, and masqd clamps the MSS to \(size)"
            #expect(report.lines.contains(claim) == isFitting)
        }
        try ward.masqd.reload(ward.configuration + "[mss]\nclamp = \"off\"\n")
        #expect(try ward.examine().status == 1)
        try ward.gateway.router.nft(
            """
            table inet other {
                chain clamps {
                    type filter hook forward priority mangle;
                    tcp flags syn tcp option maxseg size set rt mtu
                }
            }

            """)
        let others = try ward.examine()
        #expect(others.status == 0)
        #expect(others.lines.contains("ok    the MTU of ppp0 is 1492, and inet other clamps clamps the MSS"))
    }

    @Test("A service of the gateway's own on a forwarded port is named, with the forward's line")
    func hiddenService() throws {
        let ward = try Ward(more: "[[port_forward]]\nport = 2222\nto = \"192.168.1.2:22\"\n")
        #expect(
            try ward.examine().lines.contains("ok    no service of this machine is on a forwarded port"))
        let service = try ward.gateway.router.run { try Socket(.tcp) }
        try service.bind(Endpoint("0.0.0.0", 2222))
        try service.listen()
        let report = try ward.examine()
        #expect(report.status == 1)
        #expect(
            report.complaints.map(\.line) == [
                "warn  tcp port 2222 is forwarded to 192.168.1.2 (masqd.toml:4): what listens on 0.0.0.0:2222 here is "
                    + "not reached from there"
            ])
    }

    @Test("With two uplinks every step is ok, and rules of routing that somebody took away are missed")
    func uplinks() throws {
        let lines = TwoLines.configuration("ppp0", "ppp1", lines: ["[reconcile]", "mode = \"off\""])
        let two = try TwoLines()
        for name in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            try two.gateway.router.setSysctl(name, to: "1")
        }
        for name in ["ppp0", "ppp1"] {
            try two.gateway.router.setSysctl("ipv4/conf/\(name)/rp_filter", to: "2")
        }
        let masqd = try Masqd(in: two.gateway.router, configuration: lines)
        try masqd.waitForReady()
        func examine() throws -> Ward.Report {
            try Ward.Report(
                Command(Masqd.binary, "--doctor", masqd.configurationPath).run(in: two.gateway.router),
                masqd.configurationPath)
        }
        try eventually("every step is ok") { try examine().complaints.isEmpty }
        try two.gateway.router.ip("rule del pref 20001")
        let report = try examine()
        #expect(
            report.complaints.map(\.line) == [
                "wrong policy routing is not as PATH asks for: the routing rule 20001 for IPv4 differs"
            ])
        #expect(report.complaints.first?.commands == ["kill -HUP \(masqd.pid)"])
        try two.gateway.router.setSysctl("ipv4/conf/ppp1/rp_filter", to: "1")
        let strict = try examine()
        #expect(
            strict.complaints.first?.line
                == "warn  rp_filter of ppp1 is strict: what comes in by it is dropped while another uplink is preferred"
        )
        for command in strict.complaints.flatMap(\.commands) {
            try Command("sh", "-ec", command).run(in: two.gateway.router).expectSuccess()
        }
        try eventually("every step is ok again") { try examine().complaints.isEmpty }
    }

    /// One thing that somebody spoils, all that the doctor says about it, and whether typing that mends it.
    struct Case: CustomTestStringConvertible, Sendable {
        let testDescription: String
        var more = ""
        let spoil: @Sendable (Ward) throws -> Void
        let complaints: [String]
        let isCured: Bool
        /// What stands in for the editor of the file.
        let editor: String

        init(
            _ name: String, with more: String = "", _ complaints: String..., isCured: Bool = true,
            editor: String = "false",
            spoil: @escaping @Sendable (Ward) throws -> Void
        ) {
            testDescription = name
            self.more = more
            self.spoil = spoil
            self.complaints = complaints
            self.isCured = isCured
            self.editor = editor
        }
    }

    @Test(
        "One thing that is wrong is what the doctor says, and typing what he says mends it",
        arguments: Case.all)
    func spoilt(_ case: Case) throws {
        let ward = try Ward(more: `case`.more)
        #expect(try ward.examine().status == 0)
        try `case`.spoil(ward)
        let report = try ward.examine()
        #expect(report.status == 1)
        #expect(report.complaints.map(\.line) == `case`.complaints)
        let commands = report.complaints.flatMap(\.commands)
        #expect(commands.isEmpty == !`case`.isCured)
        guard `case`.isCured else { return }
        for command in commands { try ward.type(command, editor: `case`.editor) }
        // A reload is over a little later.
        try eventually("the gateway is healthy again") { try ward.examine().status == 0 }
        // And nothing else is broken: the world, and the other networks.
        #expect(try ward.gateway.seenSource(.tcp).address == "203.0.113.7")
        #expect(try ward.gateway.seenSource(.tcp, to: Gateway.serverIPv6).address == "2001:db8::7")
        #expect(try ward.gateway.isAnswered(.tcp, to: Gateway.dmzServer))
    }

    @Test("An uplink that was down is brought back step by step")
    func inTurn() throws {
        let ward = try Ward(configuration: Ward.ipv4)
        try ward.gateway.router.ip("link set ppp0 down")
        let down = try ward.examine()
        #expect(down.complaints.map(\.line) == ["wrong ppp0 is down: nothing leaves by it"])
        try ward.type(try #require(down.complaints.first?.commands.first))
        try ward.gateway.waitUntilUp()
        let routeless = try ward.examine()
        #expect(
            routeless.complaints.map(\.line) == [
                "wrong no IPv4 default route leads out of ppp0: only 203.0.113.1/32 is reached through it"
            ])
        try ward.type(try #require(routeless.complaints.first?.commands.first))
        #expect(try ward.examine().status == 0)
        #expect(try ward.gateway.seenSource(.tcp).address == "203.0.113.7")
    }

    @Test("Without a daemon the rules that it left are judged, and typing what is said starts one")
    func withoutDaemon() throws {
        let ward = try Ward()
        #expect(try ward.masqd.stop(SIGUSR1) == 0)
        let handedOver = try ward.examine()
        #expect(handedOver.status == 1)
        #expect(
            handedOver.complaints.map(\.line) == [
                "warn  no masqd is running: nobody mends the rules and connections when something changes"
            ])
        try ward.gateway.router.nft("delete table inet masqd\n")
        try ward.gateway.router.setSysctl("ipv4/ip_forward", to: "0")
        try ward.gateway.router.setSysctl("ipv6/conf/all/forwarding", to: "0")
        let gone = try ward.examine()
        #expect(
            gone.complaints.map(\.line) == [
                "warn  no masqd is running: nobody mends the rules and connections when something changes",
                "wrong net.ipv4.ip_forward is 0: nothing is forwarded",
                "wrong net.ipv6.conf.all.forwarding is 0: nothing is forwarded",
                "wrong table inet masqd is not in force: nothing is masqueraded, and nothing held back",
            ])
        let commands = Set(gone.complaints.flatMap(\.commands))
        #expect(commands == ["masqd --config \(ward.masqd.configurationPath)"])
        // Forwarding goes on with IPv6's router advertisements off; the kernel brings the route back at once.
        let started = try ward.start(try #require(commands.first))
        try eventually("the gateway is healthy again") { try ward.examine().status == 0 }
        #expect(try started.isRunning)
    }

    @Test("A file that can't be used ends with 78, and what does not need it is looked at all the same")
    func badFile() throws {
        let ward = try Ward()
        try ward.masqd.write(
            configuration: "[[masquerade]]\nout_interface = 1\nsource = \"192.168.0.0/33\"\n")
        let path = ward.masqd.configurationPath
        let report = try ward.examine()
        #expect(report.status == 78)
        #expect(report.complaints.count == 3)
        #expect(report.lines.contains { $0.hasPrefix("wrong \(path):2:17: error: ") })
        #expect(report.lines.contains { $0.hasPrefix("wrong \(path):3:10: error: ") })
        #expect(report.lines.contains("ok    net.ipv4.ip_forward is 1"))
        #expect(report.lines.contains { $0.hasPrefix("ok    masqd is running (pid \(ward.masqd.pid)") })
    }

    @Test("Without privileges everything else is looked at, and the exit status says that it was not all")
    func unprivileged() throws {
        let ward = try Ward()
        let report = try ward.examine(through: ["setpriv", "--bounding-set=-all", "--inh-caps=-all"])
        #expect(report.status == 77)
        #expect(
            report.lines.filter { !$0.hasPrefix("ok    ") } == [
                "skip  the rules in force: not looked at: needs CAP_NET_ADMIN",
                "skip  the rules of others: not looked at: needs CAP_NET_ADMIN",
            ])
        #expect(report.summary == "nothing wrong in what was looked at")
        try ward.gateway.router.setSysctl("ipv4/conf/lan0/forwarding", to: "0")
        #expect(try ward.examine(through: ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]).status == 1)
    }

    @Test("The how-to's one line stands in place of a file")
    func commandLine() throws {
        let namespace = try NetworkNamespace()
        let report = try Ward.Report(
            Command(Masqd.binary, "--doctor", "-o", "ppp0", "-s", "192.168.0.0/16").run(in: namespace))
        #expect(report.status == 1)
        #expect(
            report.complaints.contains {
                $0.line.hasPrefix("wrong table inet masqd is not in force")
                    && $0.commands == ["masqd --out-interface ppp0 --source 192.168.0.0/16"]
            })
        #expect(try namespace.nftListing() == "")
    }
}

extension NetworkNamespace {
    /// Everything that is in nf_tables, with the handles, without the counters' values.
    fileprivate func ruleset() throws -> String {
        try Command("nft", "-s", "-a", "list", "ruleset").run(in: self).expectSuccess().standardOutput
    }
}
