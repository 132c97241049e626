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

    /// One thing that somebody spoils, all that the doctor says about it, and whether typing that mends it.
    struct Case: CustomTestStringConvertible, Sendable {
        let testDescription: String
        var more = ""
        let spoil: @Sendable (Ward) throws -> Void
        let complaints: [String]
        let isCured: Bool

        init(
            _ name: String, with more: String = "", _ complaints: String..., isCured: Bool = true,
            spoil: @escaping @Sendable (Ward) throws -> Void
        ) {
            testDescription = name
            self.more = more
            self.spoil = spoil
            self.complaints = complaints
            self.isCured = isCured
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
        guard `case`.isCured else { return }
        for command in report.complaints.flatMap(\.commands) { try ward.type(command) }
        // A reload is over a little later.
        try eventually("the gateway is healthy again") { try ward.examine().status == 0 }
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
                "wrong no IPv4 default route leads out of ppp0: nothing leaves by it"
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

extension DoctorTests.Case {
    static let all: [Self] = [
        Self(
            "ip_forward is 0", with: "[gateway]\nip_forward = \"ignore\"\n",
            "wrong net.ipv4.ip_forward is 0: nothing is forwarded"
        ) { try $0.gateway.router.setSysctl("ipv4/ip_forward", to: "0") },
        Self(
            "forwarding is off for the inside link",
            "wrong net.ipv4.conf.lan0.forwarding is 0: what comes in by lan0 is not forwarded"
        ) { try $0.gateway.router.setSysctl("ipv4/conf/lan0/forwarding", to: "0") },
        Self("the uplink is gone", "wrong ppp0 is not there: nothing leaves by it", isCured: false) {
            try $0.gateway.hangUp()
        },
        Self("no route", "wrong no IPv4 default route leads out of ppp0: nothing leaves by it") {
            try $0.gateway.router.ip("route del default")
        },
        Self(
            "the route leads elsewhere",
            "wrong no IPv4 default route leads out of ppp0; it leads out of dmz0: nothing leaves by it"
        ) { try $0.gateway.router.ip("route replace default via 10.9.0.2 dev dmz0") },
        Self(
            "policy routing sends a network elsewhere",
            "wrong what 172.20.0.0/24 behind lan0 sends into the Internet leaves by dmz0, which is no out_interface "
                + "of masqd.toml:1: nobody masquerades it", isCured: false
        ) {
            try $0.gateway.router.ip(
                "route add default via 10.9.0.2 dev dmz0 table 100", "rule add from 172.20.0.0/24 lookup 100")
        },
        Self(
            "a strict rp_filter on a second uplink",
            "wrong rp_filter of ppp1 is strict, and the best default route leads out of ppp0: what comes in by ppp1 "
                + "is dropped"
        ) {
            try $0.gateway.dialUp(
                "ppp1", address: "203.0.113.9", addressIPv6: "2001:db8::9", destinations: ["198.51.100.81/32"]
            )
            try $0.gateway.router.ip(
                "route add default dev ppp1 metric 100", "route replace ::/0 dev ppp0",
                "route add ::/0 dev ppp1 metric 2000")
            try $0.gateway.router.setSysctl("ipv4/conf/ppp1/rp_filter", to: "1")
        },
        Self(
            "a rule deleted by nft", with: "[reconcile]\nmode = \"off\"\n",
            "wrong table inet masqd is not as PATH asks for: chain forward differs"
        ) { try $0.gateway.router.nft("flush chain inet masqd forward\n") },
        Self(
            "a file that was not put in force",
            "wrong table inet masqd is not as PATH asks for: set masquerade_1_source differs"
        ) {
            try $0.masqd.write(
                configuration: $0.configuration.replacing("192.168.0.0/16", with: "192.168.0.0/17"))
        },
        Self(
            "iptables -P FORWARD DROP",
            "wrong ip filter FORWARD (iptables) drops what 192.168.0.0/16 and 2 more sends out of ppp0, and the answers: "
                + "its policy is drop"
        ) { try Command("iptables-nft", "-P", "FORWARD", "DROP").run(in: $0.gateway.router).expectSuccess() },
        Self(
            "a second masquerade",
            "warn  ip nat POSTROUTING (iptables) translates what 192.168.0.0/16 and 2 more sends out of ppp0 before masqd "
                + "does: rule 1 is masquerade"
        ) {
            try Command("iptables-nft", "-t", "nat", "-A", "POSTROUTING", "-o", "ppp0", "-j", "MASQUERADE")
                .run(in: $0.gateway.router).expectSuccess()
        },
        Self(
            "an MTU that nobody clamps the MSS to", with: "[mss]\nclamp = \"off\"\n",
            "warn  the MTU of ppp0 is 1492, [mss] clamp is \"off\", and nobody else clamps the MSS: where ICMP is "
                + "filtered, connections hang once data flows", isCured: false
        ) { try $0.gateway.router.ip("link set ppp0 mtu 1492") },
        Self(
            "an old copy of the rules at the next boot",
            "warn  /etc/nftables.conf:3 has a copy of table inet masqd, which is loaded at boot, however old it is"
        ) {
            let table = try $0.gateway.router.nftListing("table", "inet", "masqd")
            try $0.saveRuleset("#!/usr/sbin/nft -f\nflush ruleset\n\(table)table ip other {\n}\n")
        },
        Self(
            "a private uplink address",
            """
            warn  ppp0 is up with 10.64.0.7, a private address: the router before it translates again (double NAT), \
            and what comes from outside has to be forwarded there too
            """, isCured: false
        ) {
            try $0.gateway.hangUp()
            try $0.gateway.dialUp(address: "10.64.0.7")
        },
        Self(
            "carrier-grade NAT",
            """
            warn  ppp0 is up with 100.64.0.7, of 100.64.0.0/10: the provider translates again, and nothing from \
            outside gets here; only he can give a public address (RFC 6598)
            """, isCured: false
        ) {
            try $0.gateway.hangUp()
            try $0.gateway.dialUp(address: "100.64.0.7")
        },
        Self(
            "nobody behind it is in the file",
            "warn  192.186.0.0/16 of masqd.toml:1 is no network behind this machine, which are 10.9.0.0/24 (dmz0), "
                + "172.20.0.0/24 (lan0), 192.168.1.0/24 (lan0), fd00:1::/64 (lan0): a typo, or a link that is not up",
            isCured: false
        ) {
            try $0.masqd.reload(
                $0.configuration.replacing("192.168.0.0/16", with: "192.168.0.0/16\", \"192.186.0.0/16"))
        },
    ]
}

/// A gateway with a masqd that is ready, and a doctor who sees an /etc of its own.
final class Ward: Sendable {
    nonisolated(unsafe) let gateway: Gateway
    nonisolated(unsafe) let masqd: Masqd
    nonisolated(unsafe) private let etc: TemporaryFolder
    /// What masqd was started with.
    let configuration: String

    /// Every network behind the router.
    static let configuration = """
        [[masquerade]]
        out_interface = ["ppp0", "ppp1*"]
        source = ["192.168.0.0/16", "172.20.0.0/24", "10.9.0.0/24", "fd00:1::/64"]

        """

    /// The same without IPv6.
    static let ipv4 = configuration.replacing(", \"fd00:1::/64\"", with: "")

    init(configuration: String = Ward.configuration, more: String = "") throws {
        self.configuration = configuration + more
        gateway = try Gateway()
        for name in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            try gateway.router.setSysctl(name, to: "1")
        }
        etc = try TemporaryFolder()
        masqd = try Masqd(in: gateway.router, configuration: self.configuration)
        try masqd.waitForReady()
    }

    /// What the doctor says.
    func examine(through wrapper: [String] = []) throws -> Report {
        let words = wrapper + [Masqd.binary, "--doctor", masqd.configurationPath]
        return try Report(inOwnEtc(words).run(in: gateway.router), masqd.configurationPath)
    }

    /// Types a command of the doctor's.
    func type(_ command: String) throws {
        let words = ["sh", "-ec", command]
        // Debian's iptables is a link into /etc, so all else gets the real one.
        let isAboutEtc = command.contains("/etc/")
        try (isAboutEtc ? inOwnEtc(words) : Command("env", words)).run(in: gateway.router).expectSuccess()
    }

    /// Types a command that does not end.
    func start(_ command: String) throws -> ChildProcess {
        let folder = Masqd.binary.split(separator: "/", omittingEmptySubsequences: false).dropLast()
        let words = ["PATH=\(folder.joined(separator: "/")):$PATH; exec \(command)"]
        return try Command("sh", ["-ec"] + words).start(in: gateway.router)
    }

    /// Writes the file that is loaded at boot.
    func saveRuleset(_ text: String) throws { try etc.write(text, to: "nftables.conf") }

    /// A command that finds the folder in the place of /etc.
    private func inOwnEtc(_ words: [String]) -> Command {
        let script = "mount --bind \"$0\" /etc; exec \"$@\""
        return Command("unshare", ["--mount", "sh", "-ec", script, etc.path] + words)
    }

    /// The doctor's words, line by line.
    struct Report {
        let status: CInt
        /// A line for each step.
        let lines: [String]
        /// What is wrong, with what to type; the configuration's path is PATH.
        let complaints: [(line: String, commands: [String])]
        let summary: String

        init(_ output: Command.Output, _ path: String = "") throws {
            status = output.status
            let all = output.standardOutput.split(separator: "\n").map(String.init)
            guard output.standardError.isEmpty, let last = all.last else {
                throw Failure("the doctor said: \(output.standardOutput)\(output.standardError)")
            }
            summary = last
            let introduction = "      type: "
            lines = all.dropLast().filter { !$0.hasPrefix(introduction) }
            var complaints: [(line: String, commands: [String])] = []
            var isComplaint = false
            for line in all.dropLast() {
                if line.hasPrefix(introduction) {
                    if isComplaint {
                        complaints[complaints.count - 1].commands.append(
                            String(line.dropFirst(introduction.count)))
                    }
                    continue
                }
                isComplaint = line.hasPrefix("warn ") || line.hasPrefix("wrong ")
                if isComplaint {
                    complaints.append((path.isEmpty ? line : line.replacing(path, with: "PATH"), []))
                }
            }
            self.complaints = complaints
        }
    }
}

extension NetworkNamespace {
    /// Everything that is in nf_tables, with the handles, without the counters' values.
    fileprivate func ruleset() throws -> String {
        try Command("nft", "-s", "-a", "list", "ruleset").run(in: self).expectSuccess().standardOutput
    }
}
