// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

@Suite struct ReconcilerConnectionTests {
    private static let up = Links([.link("ppp0", 7, up: true, "203.0.113.7")])

    private static func started(repair: Bool = true) -> Reconciler {
        var configuration = Configuration.howTo
        configuration.conntrack.repair = repair
        var reconciler = Reconciler()
        _ = reconciler.handle(.forwardingRead([.ipv4: true]))
        _ = reconciler.handle(.linksDumped(up))
        _ = reconciler.handle(.configurationLoaded(configuration))
        _ = reconciler.handle(.committed(changes: 0))
        return reconciler
    }

    @Test("Connections are examined behind a commit that changed something, at start and at repairs")
    func behindCommits() {
        var reconciler = Reconciler()
        _ = reconciler.handle(.configurationLoaded(.howTo))
        let delayed = Action.startRepairTimer(milliseconds: 50)
        #expect(reconciler.handle(.committed(changes: 42)).last == delayed)
        #expect(reconciler.handle(.repairTimerFired) == [.repairConnections])
        #expect(!reconciler.handle(.committed(changes: 0)).contains(delayed))
        #expect(reconciler.handle(.committed(changes: 1)).last == delayed)
    }

    @Test("Connections are examined where the uplinks or the default route changed, and not else")
    func behindEvents() {
        var reconciler = Self.started()
        #expect(!reconciler.handle(.linksDumped(Self.up)).contains(.startRepairTimer(milliseconds: 5)))
        let other = Links([.link("ppp0", 7, up: true, "198.51.100.9")])
        #expect(reconciler.handle(.linksDumped(other)).last == .startRepairTimer(milliseconds: 5))
        #expect(reconciler.handle(.touched).last == .startRepairTimer(milliseconds: 5))
    }

    @Test("Before rules are in force, and where the configuration does not want it, none is examined")
    func never() {
        var reconciler = Reconciler()
        _ = reconciler.handle(.configurationLoaded(.howTo))
        #expect(!reconciler.handle(.touched).contains(.startRepairTimer(milliseconds: 5)))
        #expect(reconciler.handle(.leakSeen).isEmpty)

        reconciler = Self.started(repair: false)
        #expect(!reconciler.handle(.touched).contains(.startRepairTimer(milliseconds: 5)))
        #expect(!reconciler.handle(.linksDumped(Links())).contains(.startRepairTimer(milliseconds: 5)))
        #expect(!reconciler.handle(.committed(changes: 3)).contains(.startRepairTimer(milliseconds: 50)))
    }

    @Test("What was deleted is told with one example, and nothing is told where nothing was")
    func told() throws {
        var reconciler = Self.started()
        let (client, server) = (
            try #require(IPAddress("192.168.1.2")), try #require(IPAddress("198.51.100.80"))
        )
        var flow = Flow(
            source: client, destination: server, translatedSource: client, transport: 17, sourcePort: 5060,
            destinationPort: 5061)
        #expect(
            reconciler.handle(.connectionsRepaired(deleted: 1, example: flow)) == [
                .log(
                    .notice,
                    """
                    1 connection deleted, to be translated anew: \
                    udp 192.168.1.2:5060 to 198.51.100.80:5061 was untranslated
                    """)
            ])
        flow.translatedSource = try #require(IPAddress("203.0.113.7"))
        flow.transport = 6
        #expect(
            reconciler.handle(.connectionsRepaired(deleted: 7, example: flow)) == [
                .log(
                    .notice,
                    """
                    7 connections deleted, to be translated anew: \
                    tcp 192.168.1.2:5060 to 198.51.100.80:5061 kept the address 203.0.113.7
                    """)
            ])
        #expect(reconciler.handle(.connectionsRepaired(deleted: 0, example: nil)).isEmpty)
    }

    @Test("The alarm is armed again after a second, and later and later where nothing could be mended")
    func alarm() {
        var reconciler = Self.started()
        for (deleted, silence) in [(3, 1000), (0, 2000), (0, 4000), (3, 1000), (0, 2000)] {
            #expect(reconciler.handle(.leakSeen) == [.repairConnections])
            #expect(
                reconciler.handle(.connectionsRepaired(deleted: deleted, example: nil))
                    == [.startAlarmTimer(milliseconds: silence)])
            #expect(reconciler.handle(.alarmTimerFired) == [.rearmLeakAlarm])
        }
        for _ in 0..<10 {
            _ = reconciler.handle(.leakSeen)
            _ = reconciler.handle(.connectionsRepaired(deleted: 0, example: nil))
        }
        _ = reconciler.handle(.leakSeen)
        #expect(
            reconciler.handle(.connectionsRepaired(deleted: 0, example: nil))
                == [.startAlarmTimer(milliseconds: 60_000)])
    }

    @Test("Where a ring may have been lost, the alarm is armed anew: behind each commit, and lost notifications")
    func lostRing() {
        var reconciler = Self.started()
        let isArmed = { (actions: [Action]) in actions.contains(.rearmLeakAlarm) }
        // masqd does not listen while it commits, whether or not there was anything to change.
        #expect(isArmed(reconciler.handle(.committed(changes: 0))))
        #expect(isArmed(reconciler.handle(.committed(changes: 1))))
        #expect(isArmed(reconciler.handle(.notificationsLost)))
        // A walk that comes will arm it, and the silence behind it is kept, but for new rules.
        _ = reconciler.handle(.leakSeen)
        #expect(!isArmed(reconciler.handle(.committed(changes: 1))))
        _ = reconciler.handle(.connectionsRepaired(deleted: 0, example: nil))
        #expect(!isArmed(reconciler.handle(.committed(changes: 0))))
        #expect(!isArmed(reconciler.handle(.notificationsLost)))
        #expect(isArmed(reconciler.handle(.committed(changes: 1))))
    }

    @Test("A process that finds everything as it should be arms the alarm and walks: the one before may have left it")
    func adopted() {
        var reconciler = Reconciler()
        _ = reconciler.handle(.configurationLoaded(.howTo))
        let actions = reconciler.handle(.committed(changes: 0))
        #expect(actions.contains(.rearmLeakAlarm))
        #expect(actions.last == .startRepairTimer(milliseconds: 50))
    }

    @Test("An alarm that the kernel does not arm is tried again, later and later, and told once")
    func refusedAlarm() {
        var reconciler = Self.started()
        let timer = { Action.startAlarmTimer(milliseconds: $0) }
        #expect(reconciler.handle(.alarmFailed(reason: "no")) == [timer(2000)])
        #expect(reconciler.handle(.alarmTimerFired) == [.rearmLeakAlarm])
        #expect(
            reconciler.handle(.alarmFailed(reason: "no"))
                == [.log(.warning, "no: leaks are dropped, but not mended"), timer(4000)])
        _ = reconciler.handle(.alarmTimerFired)
        #expect(reconciler.handle(.alarmFailed(reason: "no")) == [timer(8000)])
    }
}
