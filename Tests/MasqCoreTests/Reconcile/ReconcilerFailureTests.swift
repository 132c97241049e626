// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

@Suite struct ReconcilerFailureTests {
    private static let refusal = CommitFailure(
        reason: "the kernel refused chain forward: Out of memory", kind: .other)

    private static func started() -> SimulatedMachine {
        var machine = SimulatedMachine()
        machine.forwarding = [.ipv4: true, .ipv6: false]
        _ = machine.start(.howTo)
        return machine
    }

    @Test(
        "What will not get better by waiting ends the start with an exit status that says so",
        arguments: [(CommitFailure.Kind.notPermitted, 77 as Int32), (.unsupported, 69)])
    func hopeless(kind: CommitFailure.Kind, status: Int32) {
        var machine = SimulatedMachine()
        machine.failure = CommitFailure(reason: "no", kind: kind)
        let actions = machine.start(.howTo)
        #expect(actions.first == .log(.error, "no: no rules are in force"))
        #expect(actions.count == 2)
        #expect(machine.exitStatus?.rawValue == status)
        #expect(machine.forwarding == [.ipv4: false, .ipv6: false])
    }

    @Test(
        "Anything else is told once and tried again, after 100 ms, 200 ms, and so on up to a minute"
    )
    func backoff() {
        var machine = SimulatedMachine()
        machine.failure = Self.refusal
        #expect(
            machine.start(.howTo) == [
                .log(.error, "the kernel refused chain forward: Out of memory: no rules are in force"),
                .startRetryTimer(milliseconds: 100),
                .notifyStatus(
                    """
                    not in force: the kernel refused chain forward: Out of memory; waiting for ppp0; \
                    net.ipv4.ip_forward is 0: nothing is forwarded
                    """),
            ])
        for milliseconds in [200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000] {
            #expect(machine.fireTimer() == [.startRetryTimer(milliseconds: milliseconds)])
        }
        // Nothing is forwarded without rules, and READY is still owed.
        #expect(machine.forwarding[.ipv4] == false)
        #expect(machine.awaitsReady)

        machine.failure = nil
        let actions = machine.fireTimer()
        #expect(actions.first == .log(.notice, "the rules are in force"))
        #expect(actions.contains(.setForwarding(.ipv4, true)))
        #expect(actions.last == .notifyReady(status: "in force: /etc/masqd.toml; waiting for ppp0"))
        #expect(machine.fireTimer().isEmpty)
        #expect(machine.violations.isEmpty)
    }

    @Test(
        "What the kernel lacks and the gateway can do without is left out and told; a reload tries it again")
    func missingFeature() throws {
        var configuration = Configuration.howTo
        configuration.gateway.ipForward = .ignore
        configuration.conntrack.helpers = [.init(.ftp), .init(.tftp)]
        let full = Ruleset.desired(configuration)
        let rest = Ruleset.desired(configuration, without: [.helper("helper_ftp")])
        #expect(rest.helpers.map(\.name) == ["helper_tftp"])

        var reconciler = Reconciler()
        #expect(reconciler.handle(.configurationLoaded(configuration)) == [.commit(full)])
        let failure = CommitFailure(reason: "no FTP", kind: .unsupported, missing: .helper("helper_ftp"))
        #expect(
            reconciler.handle(.commitFailed(failure)) == [
                .log(.warning, "no FTP: going on without it"), .commit(rest),
            ])
        let actions = reconciler.handle(.committed(changes: 40))
        #expect(
            actions.contains(
                .notifyReady(
                    status:
                        "in force: /etc/masqd.toml; waiting for ppp0; the kernel lacks ct helper helper_ftp")
            ))
        #expect(reconciler.handle(.configurationLoaded(configuration)) == [.commit(full)])
        // Refused for its absence once more though it was left out: a failure like any other.
        _ = reconciler.handle(.commitFailed(failure))
        let second = reconciler.handle(.commitFailed(failure))
        #expect(second.first == .log(.error, "no FTP: the previous rules stay in force"))
    }

    @Test("A link that went before the commit is worth a word only if the next look misses it too")
    func outdated() {
        var machine = Self.started()
        machine.failure = CommitFailure(reason: "no ppp0", kind: .outdated)
        #expect(machine.send(.touched).first == .startRetryTimer(milliseconds: 100))
        machine.failure = nil
        #expect(machine.fireTimer().isEmpty)

        machine.failure = CommitFailure(reason: "no ppp0", kind: .outdated)
        #expect(machine.send(.touched).first == .startRetryTimer(milliseconds: 100))
        let actions = machine.fireTimer()
        #expect(actions.first == .log(.error, "no ppp0: the previous rules stay in force"))
        #expect(actions.contains(.startRetryTimer(milliseconds: 200)))
        machine.failure = nil
        #expect(machine.fireTimer().first == .log(.notice, "the rules are in force again"))
        #expect(machine.violations.isEmpty)
    }

    @Test("Another reason is told again, and after a success the waits are short again")
    func anotherReason() {
        var machine = Self.started()
        machine.failure = Self.refusal
        #expect(
            machine.send(.touched).first
                == .log(
                    .error,
                    "the kernel refused chain forward: Out of memory: the previous rules stay in force"))
        #expect(machine.fireTimer().contains(.startRetryTimer(milliseconds: 200)))
        machine.failure = CommitFailure(reason: "other", kind: .notPermitted)
        let actions = machine.fireTimer()
        #expect(actions.first == .log(.error, "other: the previous rules stay in force"))
        #expect(actions.contains(.startRetryTimer(milliseconds: 400)))
        #expect(machine.exitStatus == nil)

        machine.failure = nil
        #expect(machine.fireTimer().first == .log(.notice, "the rules are in force again"))
        machine.failure = Self.refusal
        #expect(machine.send(.touched).contains(.startRetryTimer(milliseconds: 100)))
    }

    @Test("A reload that the kernel refuses is answered once, the old rules stay, and it is tried again")
    func reload() {
        var machine = Self.started()
        let old = machine.table.table
        machine.failure = Self.refusal
        let actions = machine.reload(.masquerading("eth1", "10.0.0.0/8"))
        #expect(
            actions.first
                == .log(
                    .error,
                    "the kernel refused chain forward: Out of memory: the previous rules stay in force"))
        #expect(actions.count { if case .notifyReady = $0 { true } else { false } } == 1)
        #expect(
            actions.suffix(2) == [
                .notifyReady(
                    status: """
                        in force: the previous rules; the kernel refused chain forward: Out of memory; \
                        waiting for ppp0
                        """),
                .startRetryTimer(milliseconds: 100),
            ])
        #expect(machine.table.table == old)

        machine.failure = nil
        #expect(
            machine.fireTimer() == [
                .log(.notice, "the rules are in force again"),
                .log(.notice, "eth1 is not there yet: the rules are, and wait for it"),
                .notifyStatus("in force: /etc/masqd.toml; waiting for eth1"),
            ])
        #expect(machine.table.table == Snapshot(textOf: .desired(.masquerading("eth1", "10.0.0.0/8"))))
        #expect(machine.violations.isEmpty)
        #expect(!machine.awaitsReady)
    }

    @Test("A reload that the kernel has no means for is not a reason to end what works")
    func reloadUnsupported() {
        var machine = Self.started()
        machine.failure = CommitFailure(reason: "no", kind: .unsupported)
        #expect(
            machine.reload(.masquerading("eth1", "10.0.0.0/8")).first
                == .log(.error, "no: the previous rules stay in force"))
        #expect(machine.exitStatus == nil)
    }

    @Test("A reload in the middle of a wait is tried at once, with short waits again")
    func reloadWhileWaiting() {
        var machine = SimulatedMachine()
        machine.failure = Self.refusal
        _ = machine.start(.howTo)
        for _ in 0..<5 { _ = machine.fireTimer() }
        #expect(machine.reload(.howTo).contains(.startRetryTimer(milliseconds: 100)))
        machine.failure = nil
        let actions = machine.send(.linksDumped(Links()))
        #expect(actions.count { if case .notifyReady = $0 { true } else { false } } == 1)
        #expect(machine.violations.isEmpty)
    }

    @Test("A reload that is refused while the start still fails is not READY: that comes with the rules")
    func refusedWhileWaiting() {
        var machine = SimulatedMachine()
        machine.forwarding[.ipv4] = true
        machine.failure = Self.refusal
        _ = machine.start(.howTo)
        machine.forwarding[.ipv4] = true
        let refused = "waiting for ppp0; the reload was refused: bad"
        #expect(
            machine.reload(refusedBecause: "bad")
                == [
                    .notifyStatus("not in force: the kernel refused chain forward: Out of memory; \(refused)")
                ])
        let required = Configuration.masquerading("ppp0", "192.168.0.0/16", ipForward: .require)
        #expect(!machine.reload(required).contains { if case .notifyReady = $0 { true } else { false } })
        machine.failure = nil
        #expect(machine.fireTimer().count { if case .notifyReady = $0 { true } else { false } } == 1)
        #expect(machine.violations.isEmpty)
    }

    @Test("What a failed reload would need is not switched on before its rules are there")
    func noForwardingAhead() {
        var machine = Self.started()
        machine.failure = Self.refusal
        _ = machine.reload(.masquerading("ppp0", "192.168.0.0/16", "fd00::/8"))
        _ = machine.send(.forwardingRead(machine.forwarding))
        #expect(machine.forwarding == [.ipv4: true, .ipv6: false])
        machine.failure = nil
        _ = machine.fireTimer()
        #expect(machine.forwarding == [.ipv4: true, .ipv6: true])
    }

    @Test("Where a reload failed, what differs is nobody else's change, whatever the mode")
    func failedReloadIsNotForeign() {
        var machine = Self.started()
        machine.failure = Self.refusal
        var configuration = Configuration.masquerading("eth1", "10.0.0.0/8")
        configuration.reconcile.mode = .report
        _ = machine.reload(configuration)
        machine.failure = nil
        let actions = machine.send(.touched)
        #expect(!actions.contains { if case .log(.warning, _) = $0 { true } else { false } })
        #expect(machine.table.table == Snapshot(textOf: .desired(configuration)))
    }

    @Test("While commits fail no uplink is said to be served")
    func noNews() {
        var machine = Self.started()
        machine.failure = Self.refusal
        let up = machine.change(.link("ppp0", 7, up: true, "203.0.113.7"))
        let line = "ppp0 is up with 203.0.113.7: masquerading 192.168.0.0/16"
        #expect(!up.contains(.log(.notice, line)))
        machine.failure = nil
        #expect(machine.fireTimer().contains(.log(.notice, line)))
    }

    @Test("What can't be read is told once and tried again, later each time, and its return is told too")
    func unreadable() {
        var machine = Self.started()
        let line = Action.log(
            .error, "can't list links: Interrupted: the rules stay as they are until that can be read again")
        let event = Event.unreadable(reason: "can't list links: Interrupted")
        #expect(machine.send(event) == [line])
        #expect(machine.send(event) == [])
        #expect(machine.send(.readable) == [.log(.notice, "links and forwarding switches are read again")])
        #expect(machine.send(.readable) == [])
        #expect(machine.send(event) == [line])

        var reconciler = Reconciler()
        for milliseconds in [100, 200, 400] {
            #expect(reconciler.handle(event).last == .startReadingTimer(milliseconds: milliseconds))
        }
        _ = reconciler.handle(.readable)
        #expect(reconciler.handle(event).last == .startReadingTimer(milliseconds: 100))
    }
}
