// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

@Suite struct ReconcilerStopTests {
    /// The machine at every point of a life at which a signal can come.
    enum Point: CaseIterable {
        case beforeTheConfiguration, running, startFails, reloadFails, refused

        var machine: SimulatedMachine {
            var machine = SimulatedMachine()
            if self == .beforeTheConfiguration { return machine }
            let failure = CommitFailure(reason: "no", kind: .other)
            if self == .startFails { machine.failure = failure }
            _ = machine.start(.howTo)
            if self == .refused { _ = machine.reload(refusedBecause: "bad") }
            if self == .reloadFails {
                machine.failure = failure
                _ = machine.reload(.masquerading("eth1", "10.0.0.0/8"))
            }
            return machine
        }
    }

    @Test(
        "A stop ends with forwarding as it was, then without the table, then with success",
        arguments: Point.allCases)
    func stop(point: Point) {
        var machine = point.machine
        let putBack = [Action.setForwarding(.ipv4, false)]
        let wasSwitchedOn = machine.forwarding[.ipv4] == true
        #expect(
            machine.send(.stopRequested) == (wasSwitchedOn ? putBack : []) + [
                .removeTable, .log(.notice, "table inet masqd is removed"), .exit(.success),
            ])
        #expect(machine.forwarding == [.ipv4: false, .ipv6: false])
        #expect(machine.table.table == Snapshot())
    }

    @Test("A hand-over ends with everything in place", arguments: Point.allCases)
    func handOver(point: Point) {
        var machine = point.machine
        let (table, forwarding) = (machine.table.table, machine.forwarding)
        #expect(
            machine.send(.handOverRequested) == [
                .log(.notice, "handing over: table inet masqd stays in force"), .exit(.success),
            ])
        #expect(machine.table.table == table)
        #expect(machine.forwarding == forwarding)
    }

    @Test("After the end nothing is answered any more", arguments: [Event.stopRequested, .handOverRequested])
    func silence(end: Event) {
        var machine = Point.running.machine
        _ = machine.send(end)
        let events: [Event] = [
            .configurationLoaded(.howTo), .configurationRefused(reason: "bad"), .memoryFound([]),
            .linksDumped(Links()), .forwardingRead([.ipv4: false]), .touched, .committed(changes: 1),
            .commitFailed(CommitFailure(reason: "no", kind: .other)), .retryTimerFired, .calmTimerFired,
            .alarmTimerFired, .leakSeen, .inspected(changes: 1), .stopRequested, .handOverRequested,
        ]
        for event in events { #expect(machine.send(event).isEmpty) }
    }

    @Test("What was handed over is stopped by the next process, which puts forwarding back")
    func nextProcess() {
        var machine = Point.running.machine
        _ = machine.send(.handOverRequested)
        _ = machine.start(.howTo)
        #expect(machine.commits.last == 0)
        _ = machine.send(.stopRequested)
        #expect(machine.forwarding == [.ipv4: false, .ipv6: false])
        #expect(machine.table.table == Snapshot())
    }

    @Test("Forwarding that the next configuration does not manage stays on when it stops")
    func nextConfigurationIgnores() {
        var machine = Point.running.machine
        _ = machine.send(.handOverRequested)
        _ = machine.start(.masquerading("ppp0", "192.168.0.0/16", ipForward: .ignore))
        _ = machine.send(.stopRequested)
        #expect(machine.forwarding == [.ipv4: true, .ipv6: false])
    }
}
