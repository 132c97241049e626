// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

@Suite struct ReconcilerForeignTests {
    private let ruleset = Ruleset.desired(configuration(.repair))
    private static let nft = Culprit(process: 4711, name: "nft")
    private static let touch = ForeignTouch(deletesTable: false, culprit: nft)

    private static func configuration(_ mode: Configuration.Reconcile.Mode) -> Configuration {
        var configuration = Configuration.howTo
        configuration.reconcile.mode = mode
        // Connections are another matter: ReconcilerConnectionTests.
        configuration.conntrack.repair = false
        return configuration
    }

    private static func started(_ mode: Configuration.Reconcile.Mode) -> Reconciler {
        var reconciler = Reconciler()
        _ = reconciler.handle(.forwardingRead([.ipv4: true]))
        _ = reconciler.handle(.configurationLoaded(configuration(mode)))
        _ = reconciler.handle(.committed(changes: 40))
        return reconciler
    }

    @Test("repair mends at once, and says who it was and how much was mended")
    func mends() {
        var reconciler = Self.started(.repair)
        #expect(reconciler.handle(.tableTouched(Self.touch)) == [.commit(ruleset)])
        #expect(
            reconciler.handle(.committed(changes: 1, microseconds: 1_290)) == [
                .accuse(.warning, Self.nft, "changed table inet masqd: restored in 1.2 ms (1 object)"),
                .startCalmTimer(milliseconds: 1000),
            ])
        _ = reconciler.handle(
            .tableTouched(ForeignTouch(deletesTable: true, culprit: Culprit(process: 4712, name: "nft"))))
        #expect(
            reconciler.handle(.committed(changes: 40, microseconds: 300)) == [
                .accuse(
                    .warning, Culprit(process: 4712, name: "nft"),
                    "deleted table inet masqd: restored in 0.3 ms (40 objects)")
            ])
        // Nobody told who it was, and the culprit of the last time is not accused.
        _ = reconciler.handle(.touched)
        #expect(
            reconciler.handle(.committed(changes: 2)) == [
                .accuse(.warning, Culprit(), "changed table inet masqd: restored in 0.0 ms (2 objects)")
            ])
    }

    @Test("A foreign commit that changed nothing of ours is not worth a word")
    func harmless() {
        var reconciler = Self.started(.repair)
        _ = reconciler.handle(.tableTouched(Self.touch))
        #expect(reconciler.handle(.committed(changes: 0)).isEmpty)
    }

    @Test("Whoever fights is mended later and later, is told once, and peace makes it immediate again")
    func fight() {
        var reconciler = Self.started(.repair)
        func repair() -> [Action] {
            _ = reconciler.handle(.tableTouched(Self.touch))
            return reconciler.handle(.committed(changes: 1))
        }
        for _ in 1..<20 { #expect(repair().count { $0 == Self.restored } == 1) }
        #expect(
            repair() == [
                Self.restored,
                .log(
                    .warning,
                    """
                    table inet masqd was restored 20 times within a second: two programs fight over it, and \
                    from now on each repair waits longer
                    """),
            ])
        for delay in [100, 200, 400] {
            #expect(
                reconciler.handle(.tableTouched(Self.touch))
                    == [.startRetryTimer(milliseconds: delay), Self.waits])
            // What comes while it waits is mended with it.
            #expect(reconciler.handle(.tableTouched(Self.touch)).isEmpty)
            #expect(reconciler.handle(.touched).isEmpty)
            #expect(reconciler.handle(.retryTimerFired) == [.commit(ruleset)])
            let actions = reconciler.handle(.committed(changes: 1))
            #expect(
                actions.first
                    == .accuse(
                        .warning, Self.nft,
                        "changed table inet masqd: restored in 0.0 ms (1 object), after a wait of \(delay) ms"
                    ))
            #expect(actions.last == .notifyStatus("in force: /etc/masqd.toml; waiting for ppp0"))
            #expect(
                reconciler.handle(.calmTimerFired) == [.startCalmTimer(milliseconds: max(1000, 4 * delay))])
        }
        #expect(
            reconciler.handle(.calmTimerFired)
                == [.log(.notice, "nobody fights over table inet masqd any more")])
        #expect(reconciler.handle(.calmTimerFired).isEmpty)
        #expect(reconciler.handle(.tableTouched(Self.touch)) == [.commit(ruleset)])
    }

    private static let waits = Action.notifyStatus(
        "not as in /etc/masqd.toml: others change table inet masqd again and again, and repairs wait; waiting for ppp0"
    )

    private static let restored = Action.accuse(
        .warning, nft, "changed table inet masqd: restored in 0.0 ms (1 object)")

    @Test("A repair now and then is no fight")
    func noFight() {
        var reconciler = Self.started(.repair)
        for _ in 0..<3 {
            for _ in 1..<20 {
                _ = reconciler.handle(.tableTouched(Self.touch))
                _ = reconciler.handle(.committed(changes: 1))
            }
            #expect(reconciler.handle(.calmTimerFired).isEmpty)
        }
        #expect(reconciler.handle(.tableTouched(Self.touch)) == [.commit(ruleset)])
    }

    @Test("report says once who it was and how much differs, and changes nothing")
    func report() {
        var reconciler = Self.started(.report)
        #expect(reconciler.handle(.tableTouched(Self.touch)) == [.inspect(ruleset)])
        let report = Action.accuse(
            .warning, Self.nft,
            "changed table inet masqd: left as it is, as [reconcile] mode asks (objects that differ: 3)")
        let differs = Action.notifyStatus(
            "not as in /etc/masqd.toml: 3 objects differ, left as they are; waiting for ppp0")
        #expect(reconciler.handle(.inspected(changes: 3)) == [report, differs])
        _ = reconciler.handle(.tableTouched(Self.touch))
        #expect(reconciler.handle(.inspected(changes: 3)).isEmpty)
        #expect(reconciler.handle(.touched) == [.inspect(ruleset)])
        #expect(
            reconciler.handle(.inspected(changes: 0)) == [
                .notifyStatus("in force: /etc/masqd.toml; waiting for ppp0")
            ])
        // Once it was as it should be, the same again is worth a line again.
        _ = reconciler.handle(.tableTouched(Self.touch))
        #expect(reconciler.handle(.inspected(changes: 3)) == [report, differs])
    }

    @Test("A repair that was to wait is none any more where a reload meanwhile says report, or off")
    func staleRetry() {
        for (mode, actions) in [(.report, [.inspect(ruleset)]), (.off, [])]
            as [(Configuration.Reconcile.Mode, [Action])]
        {
            var reconciler = Self.started(.repair)
            for _ in 0..<20 {
                _ = reconciler.handle(.tableTouched(Self.touch))
                _ = reconciler.handle(.committed(changes: 1))
            }
            #expect(
                reconciler.handle(.tableTouched(Self.touch))
                    == [.startRetryTimer(milliseconds: 100), Self.waits])
            _ = reconciler.handle(.configurationLoaded(Self.configuration(mode)))
            // The reload has put the rules in force, and says so.
            #expect(
                reconciler.handle(.committed(changes: 0)).contains(
                    .notifyReady(status: "in force: /etc/masqd.toml; waiting for ppp0")))
            #expect(reconciler.handle(.retryTimerFired) == actions)
        }
    }

    @Test("off neither looks nor speaks, and still tells of links")
    func off() {
        var reconciler = Self.started(.off)
        #expect(reconciler.handle(.tableTouched(Self.touch)).isEmpty)
        #expect(reconciler.handle(.touched).isEmpty)
        #expect(
            reconciler.handle(.linksDumped(Links([.link("ppp0", 7, up: true, "203.0.113.7")]))) == [
                .log(.notice, "ppp0 is up with 203.0.113.7: masquerading 192.168.0.0/16"),
                // What others do to the traffic is another question than what they do to the table.
                .startForeignTimer(milliseconds: 250),
                .notifyStatus("in force: /etc/masqd.toml; ppp0 is up with 203.0.113.7"),
            ])
    }

    @Test(
        "Whatever the mode, the first commit is tried until it succeeds",
        arguments: ["repair", "report", "off"])
    func firstCommit(word: String) throws {
        var configuration = Configuration.howTo
        configuration.reconcile.mode = try #require(.init(rawValue: word))
        var machine = SimulatedMachine()
        machine.failure = CommitFailure(reason: "no", kind: .other)
        _ = machine.start(configuration)
        #expect(machine.table.table == Snapshot())
        machine.failure = nil
        _ = machine.send(.touched)
        #expect(machine.table.table.chains["forward"] != nil)
    }
}
