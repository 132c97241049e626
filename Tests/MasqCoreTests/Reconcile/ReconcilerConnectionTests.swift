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

    @Test("Routes that are never quiet do not put a walk off for ever")
    func neverQuiet() {
        var reconciler = Self.started()
        let delay = Action.startRepairTimer(milliseconds: 5)
        let starts = (0..<100).count { _ in reconciler.handle(.touched).contains(delay) }
        #expect(starts == 20)
        #expect(reconciler.handle(.repairTimerFired) == [.repairConnections])
        #expect(reconciler.handle(.touched).contains(delay))
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
            reconciler.handle(.connectionsRepaired(DeletedFlows(1, .untranslated, flow))) == [
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
            reconciler.handle(.connectionsRepaired(DeletedFlows(7, .keptAddress, flow))) == [
                .log(
                    .notice,
                    """
                    7 connections deleted, to be translated anew: \
                    tcp 192.168.1.2:5060 to 198.51.100.80:5061 kept the address 203.0.113.7
                    """)
            ])
        #expect(reconciler.handle(.connectionsRepaired(DeletedFlows())).isEmpty)
        // What is refused will not be translated anew, whatever address it has.
        for (fault, table) in [
            (FlowFault.clientRefused, "[clients]"), (.destinationRefused, "[destinations]"),
        ] {
            #expect(
                reconciler.handle(.connectionsRepaired(DeletedFlows(2, fault, flow))) == [
                    .log(
                        .notice,
                        "2 connections deleted, which \(table) refuses: tcp 192.168.1.2:5060 to 198.51.100.80:5061"
                    )
                ])
        }
    }

    @Test(
        "What is left alone since its route is not certain is told once for each cause, until the next configuration"
    )
    func leftAlone() throws {
        var reconciler = Self.started()
        let (client, server) = (
            try #require(IPAddress("192.168.1.2")), try #require(IPAddress("198.51.100.80"))
        )
        let flow = Flow(source: client, destination: server, translatedSource: client, transport: 1)
        func found(_ doubt: Doubt, _ count: Int) -> Event {
            var deleted = DeletedFlows()
            for _ in 0..<count { deleted.undecided.add(flow, doubt) }
            return .connectionsRepaired(deleted)
        }
        let rule = Doubt.rule("routing rule 100 (fwmark 0x77)")
        let line = """
            2 connections left alone, since their route is not certain: icmp 192.168.1.2 to 198.51.100.80 is \
            untranslated; cause: routing rule 100 (fwmark 0x77)
            """
        #expect(reconciler.handle(found(rule, 2)) == [.log(.notice, line)])
        #expect(reconciler.handle(found(rule, 3)).isEmpty)
        #expect(reconciler.handle(found(.bridge, 1)).count == 1)
        #expect(reconciler.handle(found(rule, 2)).isEmpty)
        _ = reconciler.handle(.configurationLoaded(.howTo))
        #expect(reconciler.handle(found(rule, 2)).contains(.log(.notice, line)))
    }

    @Test("With repair = false connections are examined for what a reload refuses, where it refuses anybody")
    func refusedWithoutRepair() throws {
        for table in ["[clients]", "[destinations]"] {
            var reconciler = Self.started(repair: false)
            let text = """
                [conntrack]
                repair = false
                [[masquerade]]
                out_interface = "ppp0"
                source = "192.168.0.0/16"
                \(table)
                blocked = "192.0.2.0/24"
                """
            let blocking = try #require(Configuration.read(text.utf8.span, from: "a.toml").configuration)
            _ = reconciler.handle(.configurationLoaded(blocking))
            #expect(reconciler.handle(.committed(changes: 3)).last == .startRepairTimer(milliseconds: 50))
            #expect(reconciler.handle(.repairTimerFired) == [.repairConnections])
            // What links do makes nothing refused.
            #expect(!reconciler.handle(.linksDumped(Links())).contains(.startRepairTimer(milliseconds: 5)))
        }
    }

    @Test(
        "What masqd never gave is somebody else's only while others may translate: not known is as good as may"
    )
    func othersTranslations() throws {
        var reconciler = Self.started()
        let source = try #require(IPAddress("192.168.1.2"))
        var flow = Flow(
            source: source, destination: try #require(IPAddress("198.51.100.80")),
            translatedSource: try #require(IPAddress("192.0.2.55")))
        let isSuspicious = { reconciler.flowJudge?.isSuspicious(flow) == true }
        #expect(!isSuspicious())
        _ = reconciler.handle(.foreignAudited(ForeignReport()))
        #expect(isSuspicious())
        _ = reconciler.handle(.foreignTouched)
        #expect(!isSuspicious())
        var report = ForeignReport()
        report.mayTranslate = true
        _ = reconciler.handle(.foreignAudited(report))
        #expect(!isSuspicious())
        // What ppp0 had before was masqd's.
        _ = reconciler.handle(.linksDumped(Links([.link("ppp0", 7, up: true, "203.0.113.8")])))
        flow.translatedSource = try #require(IPAddress("203.0.113.7"))
        #expect(isSuspicious())
    }

    @Test(
        "A walk that fails is made again, later and later, is told once, and what it deleted is told all the same"
    )
    func failedWalk() {
        var reconciler = Self.started()
        let failed = Event.connectionsRepaired(DeletedFlows(), failure: "no")
        let line = Action.log(.error, "no: stale connections can't be found")
        for (round, delay) in [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200].enumerated() {
            #expect(
                reconciler.handle(failed) == (round == 0 ? [line] : [])
                    + [.startRepairTimer(milliseconds: delay)])
            #expect(reconciler.handle(.repairTimerFired) == [.repairConnections])
        }
        #expect(reconciler.handle(failed).isEmpty)
        #expect(reconciler.handle(.connectionsRepaired(DeletedFlows())).isEmpty)
        let half = Event.connectionsRepaired(DeletedFlows(2, .untranslated), failure: "no")
        #expect(reconciler.handle(half).count == 3)
        // An alarm that was to be answered is armed again.
        _ = reconciler.handle(.leakSeen)
        #expect(reconciler.handle(failed).contains(.startAlarmTimer(milliseconds: 2000)))
    }

    @Test("The alarm is armed again after a second, and later and later where nothing could be mended")
    func alarm() {
        var reconciler = Self.started()
        for (deleted, silence) in [(3, 1000), (0, 2000), (0, 4000), (3, 1000), (0, 2000)] {
            #expect(reconciler.handle(.leakSeen) == [.repairConnections])
            #expect(
                reconciler.handle(.connectionsRepaired(DeletedFlows(deleted, .untranslated))).last
                    == .startAlarmTimer(milliseconds: silence))
            #expect(reconciler.handle(.alarmTimerFired) == [.rearmLeakAlarm])
        }
        for _ in 0..<10 {
            _ = reconciler.handle(.leakSeen)
            _ = reconciler.handle(.connectionsRepaired(DeletedFlows()))
        }
        _ = reconciler.handle(.leakSeen)
        #expect(
            reconciler.handle(.connectionsRepaired(DeletedFlows()))
                == [.startAlarmTimer(milliseconds: 60_000)])
    }

    @Test("Where a ring may have been lost, the alarm is armed anew: behind commits and lost notifications")
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
        _ = reconciler.handle(.connectionsRepaired(DeletedFlows()))
        #expect(!isArmed(reconciler.handle(.committed(changes: 0))))
        #expect(!isArmed(reconciler.handle(.notificationsLost)))
        #expect(isArmed(reconciler.handle(.committed(changes: 1))))
    }

    @Test(
        "A process that finds all as it should be arms the alarm and walks: the one before may have left it")
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
