// SPDX-License-Identifier: GPL-3.0-or-later

import Testing

@testable import MasqCore

@Suite struct ExaminationTests {
    /// One thing that is wrong, and all that the doctor says about it.
    struct Case: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let spoil: @Sendable (inout HealthyGateway) throws -> Void
        let complaints: [String]

        init(
            _ name: String, _ complaints: String...,
            spoil: @escaping @Sendable (inout HealthyGateway) throws -> Void
        ) {
            testDescription = name
            self.spoil = spoil
            self.complaints = complaints
        }
    }

    @Test("Of a healthy gateway every step is told, and each is ok")
    func healthy() throws {
        let examination = try HealthyGateway().examination
        #expect(
            examination.findings.map(\.description) == [
                "ok    /etc/masqd.toml has no error",
                "ok    masqd is running (pid 4711, unit masqd.service)",
                "ok    net.ipv4.ip_forward is 1",
                "ok    net.ipv6.conf.all.forwarding is 1",
                "ok    ppp0 is up with 203.0.113.7",
                "ok    the IPv4 default route leads out of ppp0",
                "ok    rp_filter of ppp0 is off",
                "ok    ppp0 is up with 2001:db8::7",
                "ok    the IPv6 default route leads out of ppp0",
                "ok    the networks in /etc/masqd.toml are behind this machine",
                "ok    what 192.168.1.0/24 behind lan0 sends into the Internet leaves by ppp0",
                "ok    what fd00:1::/64 behind lan0 sends into the Internet leaves by ppp0",
                "ok    table inet masqd is as /etc/masqd.toml asks for",
                "ok    no rules of others drop masqueraded traffic, or translate it first",
                "ok    the connection table holds 100 of 262144 connections",
                "ok    no old copy of table inet masqd is loaded at boot",
            ])
        #expect(!examination.needsAction)
        #expect(!examination.isIncomplete)
        #expect(examination.summary == "everything is as it should be")
    }

    @Test("One thing that is wrong is one finding, with what it means and what to type", arguments: Case.all)
    func findings(_ case: Case) throws {
        var gateway = try HealthyGateway()
        try `case`.spoil(&gateway)
        #expect(gateway.complaints == `case`.complaints)
    }

    @Test("What masqd clamps is said where it does, and what is not in force is not claimed")
    func clamps() throws {
        var gateway = try HealthyGateway()
        gateway.link(HealthyGateway.ppp) { $0.mtu = 1492 }
        func claims() -> [String] {
            gateway.examination.findings.map(\.claim).filter { $0.contains("MTU") }
        }
        #expect(claims() == ["the MTU of ppp0 is 1492, and masqd clamps the MSS to it"])
        gateway.configuration?.mss.clamp = .fixed(1400)
        #expect(claims() == ["the MTU of ppp0 is 1492, and masqd clamps the MSS to 1400"])
        gateway.observations.segmentClamps = .seen(["ip mangle FORWARD"])
        #expect(claims() == [])
        gateway.configuration?.mss.clamp = .off
        #expect(claims() == ["the MTU of ppp0 is 1492, and ip mangle FORWARD clamps the MSS"])
    }

    @Test("Of many services on forwarded ports eight are named")
    func manyServices() throws {
        var gateway = try HealthyGateway()
        gateway.configuration?.portForwards = [
            PortForward(
                line: 9, inInterfaces: [.name("ppp0")], transports: [.tcp], ports: 1...1000,
                address: try #require(IPAddress("192.168.1.10")), firstPort: 1)
        ]
        let anywhere = IPAddress(family: .ipv4, value: 0)
        gateway.observations.listeners = .seen(Set((20...29).map { Listener(.tcp, anywhere, $0) }))
        let claims = gateway.examination.findings.filter { $0.severity == .warning }.map(\.claim)
        #expect(claims.count == 9)
        #expect(claims.first?.hasPrefix("tcp port 20 is forwarded to 192.168.1.10 (masqd.toml:9): ") == true)
        #expect(claims.last == "2 more services are on forwarded ports")
    }

    @Test("Hints and what was not looked at need no action, warnings and errors do")
    func severity() throws {
        var gateway = try HealthyGateway()
        gateway.observations.conntrack = .seen(nil)
        #expect(!gateway.examination.needsAction)
        gateway.observations.table = .unseen(why: "needs CAP_NET_ADMIN")
        #expect(!gateway.examination.needsAction)
        #expect(gateway.examination.isIncomplete)
        #expect(gateway.examination.summary == "nothing wrong in what was looked at")
        gateway.observations.holder = .seen(nil)
        #expect(gateway.examination.needsAction)
        #expect(gateway.examination.summary == "1 not as it should be; not everything was looked at")
        gateway.observations.forwarding = .seen([.ipv4: false, .ipv6: true])
        #expect(gateway.examination.summary == "1 wrong, 1 not as it should be; not everything was looked at")
    }

    @Test("A file that can't be used is told with all its errors, and what does not need it is looked at")
    func badFile() throws {
        var gateway = try HealthyGateway()
        gateway.configuration = nil
        gateway.diagnostics = [
            Diagnostic(
                .error, origin: "/etc/masqd.toml", position: .init(line: 3, column: 10), message: "no"),
            Diagnostic(
                .error, origin: "/etc/masqd.toml", position: .init(line: 4, column: 1), message: "nor this"),
        ]
        gateway.observations.forwarding = .seen([.ipv4: false])
        #expect(
            gateway.complaints == [
                "wrong /etc/masqd.toml:3:10: error: no",
                "wrong /etc/masqd.toml:4:1: error: nor this",
                """
                wrong /etc/masqd.toml can't be used: what depends on it is not looked at
                      type: ${EDITOR:-vi} /etc/masqd.toml && masqd --check && systemctl reload masqd.service
                """,
                // No command: nothing would be translated.
                "wrong net.ipv4.ip_forward is 0: nothing is forwarded",
            ])
        #expect(
            gateway.examination.findings.filter { $0.severity == .ok }.map(\.claim) == [
                "masqd is running (pid 4711, unit masqd.service)",
                "the connection table holds 100 of 262144 connections",
                "no old copy of table inet masqd is loaded at boot",
            ])
    }

    @Test("What puts the configuration in force is a reload where masqd runs, and else its start")
    func inForce() throws {
        let table = Observed.seen(TableComparison(isThere: false, changes: [.addTable(flags: 0)]))
        for (holder, origin, command) in [
            (LockHolder(process: 4711), Configuration.Origin.file("/etc/masqd.toml"), "kill -HUP 4711"),
            (LockHolder(process: 4711, unit: "ssh.service"), .file("/etc/masqd.toml"), "kill -HUP 4711"),
            (nil, .file("/etc/masqd.toml"), "systemctl start masqd"),
            (nil, .file("/etc/my gateway.toml"), "masqd --config '/etc/my gateway.toml'"),
            (nil, .file("a'b"), "masqd --config 'a'\\''b'"),
            (
                nil, .commandLine,
                "masqd --out-interface ppp0 --source 192.168.0.0/16 --source fd00:1::/64"
            ),
        ] {
            var gateway = try HealthyGateway()
            gateway.origin = origin
            gateway.observations.table = table
            gateway.observations.holder = .seen(holder)
            #expect(
                gateway.examination.findings.contains { $0.severity == .wrong && $0.commands == [command] })
        }
        // One runs, and which process it is can't be seen: a second one would be refused.
        var gateway = try HealthyGateway()
        gateway.observations.table = table
        gateway.observations.holder = .seen(LockHolder(process: nil))
        #expect(gateway.examination.findings.filter { $0.severity == .wrong }.flatMap(\.commands) == [])
    }
}

extension ExaminationTests.Case {
    static let all = machine + uplinks + routes + inside + rules + services
}
