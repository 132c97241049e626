// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

@Suite struct ReconcilerStartTests {
    @Test("Nothing is done before there is a configuration")
    func waits() {
        var reconciler = Reconciler()
        #expect(reconciler.handle(.memoryFound(.ipv4ForwardingWasOff)).isEmpty)
        #expect(reconciler.handle(.forwardingRead([.ipv4: false])).isEmpty)
        #expect(reconciler.handle(.linksDumped(Links())).isEmpty)
        #expect(reconciler.handle(.touched).isEmpty)
        #expect(reconciler.handle(.retryTimerFired).isEmpty)
        #expect(reconciler.status == "starting")
    }

    @Test("The configuration is committed, and READY comes when the kernel has it")
    func commits() {
        var reconciler = Reconciler()
        _ = reconciler.handle(.forwardingRead([.ipv4: true, .ipv6: false]))
        _ = reconciler.handle(.linksDumped(Links()))
        #expect(reconciler.handle(.configurationLoaded(.howTo)) == [.commit(.desired(.howTo))])
        #expect(
            reconciler.handle(.committed(changes: 40)) == [
                .log(.notice, "ppp0 is not there yet: the rules are, and wait for it"),
                .log(.info, "/etc/masqd.toml is in force"),
                .notifyReady(status: "in force: /etc/masqd.toml; waiting for ppp0"),
                .auditForeign(ForeignAudit(.howTo, Links())), .rearmLeakAlarm,
                .startRepairTimer(milliseconds: 50),
            ])
    }

    @Test("Forwarding is switched on behind the rules, before READY, and the table remembers it")
    func switchesOn() {
        var reconciler = Reconciler()
        _ = reconciler.handle(.forwardingRead([.ipv4: false, .ipv6: false]))
        #expect(
            reconciler.handle(.configurationLoaded(.howTo))
                == [.commit(.desired(.howTo, memory: .ipv4ForwardingWasOff))])
        #expect(
            reconciler.handle(.committed(changes: 40)) == [
                .setForwarding(.ipv4, true),
                .log(.notice, "ppp0 is not there yet: the rules are, and wait for it"),
                .log(.info, "/etc/masqd.toml is in force"),
                .notifyReady(status: "in force: /etc/masqd.toml; waiting for ppp0"),
                .auditForeign(ForeignAudit(.howTo, Links())), .rearmLeakAlarm,
                .startRepairTimer(milliseconds: 50),
            ])
    }

    @Test("A link that is there already is reported as it is")
    func linkIsThere() {
        var machine = SimulatedMachine()
        machine.links = Links([
            .link("lo", 1, up: true, "127.0.0.1"), .link("ppp0", 7, up: true, "203.0.113.7"),
        ])
        #expect(
            machine.start(.howTo) == [
                .setForwarding(.ipv4, true),
                .log(.notice, "ppp0 is up with 203.0.113.7: masquerading 192.168.0.0/16"),
                .log(.info, "/etc/masqd.toml is in force"),
                .notifyReady(status: "in force: /etc/masqd.toml; ppp0 is up with 203.0.113.7"),
            ])
    }

    @Test("In whatever order the machine is looked at, the end is the same", arguments: 0..<24)
    func anyOrder(permutation: Int) {
        var events: [Event] = [
            .memoryFound([]), .forwardingRead([.ipv4: false, .ipv6: false]),
            .linksDumped(Links([.link("ppp0", 7, up: true, "203.0.113.7")])), .configurationLoaded(.howTo),
        ]
        var machine = SimulatedMachine()
        var actions: [Action] = []
        var number = permutation
        while !events.isEmpty {
            actions += machine.send(events.remove(at: number % events.count))
            number /= events.count + 1
        }
        _ = machine.send(.linksDumped(Links([.link("ppp0", 7, up: true, "203.0.113.7")])))

        #expect(machine.table.table.chains["forward"] != nil)
        #expect(machine.forwarding == [.ipv4: true, .ipv6: false])
        #expect(actions.count { if case .notifyReady = $0 { true } else { false } } == 1)
        let news = "ppp0 is up with 203.0.113.7: masquerading 192.168.0.0/16"
        #expect(actions.count { $0 == .log(.notice, news) } == 1)
        #expect(machine.violations.isEmpty)
    }

    @Test("What an earlier process left is adopted in silence, with what the table remembers")
    func adopts() {
        var machine = SimulatedMachine()
        machine.links = Links([.link("ppp0", 7, up: true, "203.0.113.7")])
        _ = machine.start(.howTo)
        let left = machine.table.table
        #expect(left.memory == .ipv4ForwardingWasOff)
        // The first process is killed: nothing changes, and forwarding is on.
        #expect(
            machine.start(.howTo) == [
                .log(.notice, "ppp0 is up with 203.0.113.7: masquerading 192.168.0.0/16"),
                .log(.info, "/etc/masqd.toml is in force: nothing had to change"),
                .notifyReady(status: "in force: /etc/masqd.toml; ppp0 is up with 203.0.113.7"),
            ])
        #expect(machine.commits.last == 0)
        #expect(machine.table.table == left)
        _ = machine.send(.stopRequested)
        #expect(machine.forwarding == [.ipv4: false, .ipv6: false])
    }

    @Test("The status names the command line where there is no file")
    func commandLine() {
        var machine = SimulatedMachine()
        var configuration = Configuration.howTo
        configuration.origin = .commandLine
        #expect(
            machine.start(configuration).last
                == .notifyReady(status: "in force: the command line; waiting for ppp0"))
    }
}
