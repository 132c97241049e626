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

extension NetworkNamespace {
    /// Everything that is in nf_tables, with the handles, without the counters' values.
    fileprivate func ruleset() throws -> String {
        try Command("nft", "-s", "-a", "list", "ruleset").run(in: self).expectSuccess().standardOutput
    }
}
