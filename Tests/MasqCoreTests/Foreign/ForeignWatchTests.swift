// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

@Suite("When masqd looks at others' tables, and what it says")
struct ForeignWatchTests {
    private static func configuration() throws -> Configuration {
        let block = OutboundBlock(
            line: 1, outInterfaces: [.name("ppp0")], source: [try IPNetwork("192.168.0.0/16")])
        return Configuration(origin: .commandLine, outbound: [block])
    }

    private static func started() throws -> Reconciler {
        var reconciler = Reconciler()
        _ = reconciler.handle(.configurationLoaded(try configuration()))
        let actions = reconciler.handle(.committed(changes: 1))
        let ready = try #require(actions.firstIndex { if case .notifyReady = $0 { true } else { false } })
        let audit = try #require(actions.firstIndex { if case .auditForeign = $0 { true } else { false } })
        #expect(ready < audit)
        _ = reconciler.handle(.foreignAudited(.init()))
        return reconciler
    }

    private static let finding = ForeignFinding(
        kind: .dropsBoth, owner: .docker, baseChain: "ip filter FORWARD", claim: "it drops", advice: ["do"])

    private static let gone = Action.log(
        .notice, "ip filter FORWARD (Docker) drops masqueraded traffic no more")

    @Test("A finding is said once, stands in the status, and is taken back")
    func findings() throws {
        var reconciler = try Self.started()
        let first = reconciler.handle(.foreignAudited(.init(findings: [Self.finding])))
        #expect(first.first == .log(.warning, "it drops; to permit it: do"))
        #expect(first.last == .notifyStatus(reconciler.status))
        #expect(reconciler.status.contains("ip filter FORWARD (Docker) drops masqueraded traffic"))
        #expect(reconciler.handle(.foreignAudited(.init(findings: [Self.finding]))) == [])
        #expect(reconciler.handle(.foreignAudited(.init())).first == Self.gone)
        #expect(!reconciler.status.contains("FORWARD"))
    }

    @Test("A look that fails is told once, and made again, later and later, until others commit")
    func unread() throws {
        var reconciler = try Self.started()
        let failed = Event.foreignUnread(reason: "no")
        for delay in [500, 1000, 2000, 4000, 8000, 16000, 32000] {
            let line = Action.log(.warning, "no: can't tell whether others drop masqueraded traffic")
            #expect(
                reconciler.handle(failed) == (delay == 500 ? [line] : [])
                    + [.startForeignTimer(milliseconds: delay)])
            #expect(reconciler.handle(.foreignTimerFired).count == 1)
        }
        #expect(reconciler.handle(failed).isEmpty)
        #expect(reconciler.handle(.foreignTouched) == [.startForeignTimer(milliseconds: 250)])
        _ = reconciler.handle(.foreignAudited(ForeignReport()))
        #expect(reconciler.handle(failed).count == 2)
    }

    @Test("masqd looks when others have been quiet for a while, or after two seconds")
    func debounce() throws {
        var reconciler = try Self.started()
        #expect(reconciler.handle(.foreignTouched) == [.startForeignTimer(milliseconds: 250)])
        #expect(reconciler.handle(.foreignTouched) == [])
        #expect(reconciler.handle(.foreignTimerFired) == [.startForeignTimer(milliseconds: 250)])
        #expect(reconciler.handle(.foreignTimerFired).count == 1)
        _ = reconciler.handle(.foreignAudited(.init()))
        var delays = 0
        var actions = reconciler.handle(.foreignTouched)
        while actions == [.startForeignTimer(milliseconds: 250)] {
            delays += 1
            _ = reconciler.handle(.foreignTouched)
            actions = reconciler.handle(.foreignTimerFired)
        }
        #expect(delays == 8)
        guard case .auditForeign? = actions.first else {
            Issue.record("\(actions) is no look")
            return
        }
    }

    @Test("A look that took 100 ms is not made again for two seconds")
    func rest() throws {
        var reconciler = try Self.started()
        _ = reconciler.handle(.foreignAudited(.init(), microseconds: 100_000))
        #expect(reconciler.handle(.foreignTouched) == [.startForeignTimer(milliseconds: 2000)])
        _ = reconciler.handle(.foreignTouched)
        guard case .auditForeign? = reconciler.handle(.foreignTimerFired).first else {
            Issue.record("no look")
            return
        }
    }

    @Test("Another link of the inside is another reason to look")
    func links() throws {
        var reconciler = try Self.started()
        let address = try #require(IPAddress("192.168.1.1"))
        let links = Links([Link(index: 3, name: "lan0", isUp: true, addresses: [address])])
        let timer = Action.startForeignTimer(milliseconds: 250)
        #expect(reconciler.handle(.linksDumped(links)).contains(timer))
        #expect(!reconciler.handle(.linksDumped(links)).contains(timer))
    }

    @Test("foreign_drop = \"off\" looks at nothing, and forgets what it knew")
    func off() throws {
        var reconciler = try Self.started()
        _ = reconciler.handle(.foreignAudited(.init(findings: [Self.finding])))
        var configuration = try Self.configuration()
        configuration.forward.foreignDrop = .off
        _ = reconciler.handle(.configurationLoaded(configuration))
        let actions = reconciler.handle(.committed(changes: 0))
        #expect(!actions.contains { if case .auditForeign = $0 { true } else { false } })
        #expect(!reconciler.status.contains("FORWARD"))
        #expect(reconciler.handle(.foreignTouched) == [])
    }

    @Test("A look that \"off\" came before is no reason not to look again behind it")
    func offMeanwhile() throws {
        var reconciler = try Self.started()
        let delay = [Action.startForeignTimer(milliseconds: 250)]
        #expect(reconciler.handle(.foreignTouched) == delay)
        for foreignDrop in [Configuration.ForeignDrop.off, .report] {
            var configuration = try Self.configuration()
            configuration.forward.foreignDrop = foreignDrop
            _ = reconciler.handle(.configurationLoaded(configuration))
            _ = reconciler.handle(.committed(changes: 0))
            if foreignDrop == .off { #expect(reconciler.handle(.foreignTimerFired) == []) }
        }
        #expect(reconciler.handle(.foreignTouched) == delay)
    }
}

@Suite("When masqd opens others' chains, and closes them")
struct ForeignWatchOpenTests {
    private static let edits = [
        ForeignEdit(
            .ip, table: "filter", chain: "FORWARD", .insert(mark: 0x1000, before: nil),
            baseChain: "ip filter FORWARD", reason: "ip filter FORWARD (ufw): its policy is drop"),
        ForeignEdit(.ip, table: "filter", chain: "x", .delete(handle: 4)),
    ]
    private static let needed = ForeignReport(permission: .firstPackets, edits: edits, generation: 7)
    private static let inPlace = ForeignReport(permission: .firstPackets, generation: 8)

    private static func configuration(_ foreignDrop: Configuration.ForeignDrop) -> Configuration {
        var configuration = Configuration.howTo
        configuration.gateway.ipForward = .ignore
        configuration.conntrack.repair = false
        configuration.forward.foreignDrop = foreignDrop
        return configuration
    }

    private static func ruleset(_ foreignDrop: Configuration.ForeignDrop, _ memory: KernelMemory) -> Ruleset {
        .desired(configuration(foreignDrop), memory: memory)
    }

    private static func started(
        _ foreignDrop: Configuration.ForeignDrop = .open, memory: KernelMemory = []
    ) -> Reconciler {
        var reconciler = Reconciler()
        _ = reconciler.handle(.memoryFound(memory))
        #expect(
            reconciler.handle(.configurationLoaded(configuration(foreignDrop)))
                == [
                    .commit(ruleset(foreignDrop, foreignDrop == .open ? memory : .opened(with: memory.marks)))
                ])
        return reconciler
    }

    private static func isLook(_ actions: [Action]) -> Bool {
        actions.contains { if case .auditForeign = $0 { true } else { false } }
    }

    /// Opened, and looked at once more.
    private static func opened() -> Reconciler {
        var reconciler = started()
        _ = reconciler.handle(.committed(changes: 1))
        _ = reconciler.handle(.foreignAudited(needed))
        _ = reconciler.handle(.committed(changes: 1))
        _ = reconciler.handle(.foreignAudited(needed))
        _ = reconciler.handle(.foreignEdited(.done))
        #expect(reconciler.handle(.foreignAudited(inPlace)) == [])
        return reconciler
    }

    @Test("First the own table marks, then others' chains are edited at the generation that was looked at")
    func order() {
        var reconciler = Self.started()
        #expect(Self.isLook(reconciler.handle(.committed(changes: 1))))
        let marking = Self.ruleset(.open, .opening(for: .firstPackets, with: 0x1000))
        #expect(marking.chains.contains { $0.name == "permit" })
        #expect(reconciler.handle(.foreignAudited(Self.needed)) == [.commit(marking)])
        #expect(Self.isLook(reconciler.handle(.committed(changes: 5))))
        #expect(
            reconciler.handle(.foreignAudited(Self.needed)) == [.editForeign(Self.edits, generation: 7)])
        let actions = reconciler.handle(.foreignEdited(.done))
        let line = "ip filter FORWARD (ufw): its policy is drop: opened for what masqd permits"
        #expect(actions.first == .log(.notice, line))
        #expect(Self.isLook(actions))
        #expect(reconciler.handle(.foreignAudited(Self.inPlace)) == [])
    }

    @Test("An edit that comes too late is made again once others are silent, at the new generation")
    func outdated() {
        var reconciler = Self.opened()
        _ = reconciler.handle(.foreignAudited(Self.needed))
        #expect(reconciler.handle(.foreignEdited(.outdated)) == [.startForeignTimer(milliseconds: 250)])
        #expect(Self.isLook(reconciler.handle(.foreignTimerFired)))
        let newer = ForeignReport(permission: .firstPackets, edits: Self.edits, generation: 9)
        #expect(reconciler.handle(.foreignAudited(newer)) == [.editForeign(Self.edits, generation: 9)])
    }

    @Test("What the kernel refuses is said once and left out, until the next reload")
    func refused() throws {
        var reconciler = Self.opened()
        _ = reconciler.handle(.foreignAudited(Self.needed))
        let actions = reconciler.handle(
            .foreignEdited(.refused(reason: "no", baseChain: "ip filter FORWARD")))
        #expect(actions.first == .log(.error, "no: ip filter FORWARD can't be opened"))
        let refusing = ForeignAudit(
            Self.configuration(.open), Links(), refused: ["ip filter FORWARD"])
        #expect(actions.last == .auditForeign(refusing))
        _ = reconciler.handle(.configurationLoaded(Self.configuration(.open)))
        #expect(
            reconciler.handle(.committed(changes: 0)).contains(
                .auditForeign(ForeignAudit(Self.configuration(.open), Links()))))
    }

    @Test("Where others drop nothing any more, the own table marks nothing any more")
    func nothingDropped() {
        var reconciler = Self.opened()
        _ = reconciler.handle(.foreignTouched)
        _ = reconciler.handle(.foreignTimerFired)
        let plain = Self.ruleset(.open, .opened(with: 0x1000))
        #expect(!plain.chains.contains { $0.name == "permit" })
        #expect(reconciler.handle(.foreignAudited(ForeignReport())) == [.commit(plain)])
    }

    @Test("A stop takes the rules out of others' chains before the own table goes, a hand-over leaves all")
    func ends() {
        var reconciler = Self.opened()
        #expect(
            reconciler.handle(.stopRequested) == [
                .closeForeign(marks: 0x1000), .removeTable,
                .log(.notice, "table inet masqd is removed"), .exit(.success),
            ])
        reconciler = Self.opened()
        #expect(reconciler.handle(.handOverRequested).count == 2)
    }

    @Test("The next process begins with the rules that it finds, and looks")
    func successor() {
        var reconciler = Self.started(memory: .opening(for: .firstPackets, with: 0x1000))
        #expect(Self.isLook(reconciler.handle(.committed(changes: 0))))
        #expect(reconciler.handle(.foreignAudited(Self.inPlace)) == [])
    }

    @Test(
        "Back to another mode, or to another bit, the old rules go behind the new configuration's",
        arguments: ["report", "off"])
    func back(word: String) throws {
        let mode = try #require(Configuration.ForeignDrop(rawValue: word))
        var reconciler = Self.opened()
        #expect(
            reconciler.handle(.configurationLoaded(Self.configuration(mode)))
                == [.commit(Self.ruleset(mode, .opened(with: 0x1000)))])
        let actions = reconciler.handle(.committed(changes: 5))
        #expect(actions.contains(.closeForeign(marks: 0x1000)))
        #expect(Self.isLook(actions) == (mode == .report))
        #expect(reconciler.handle(.foreignClosed(marks: 0x1000)) == [.commit(Self.ruleset(mode, []))])

        // The same for a process that only finds what another one left.
        var successor = Self.started(mode, memory: .opening(for: .all, with: 0x30))
        #expect(successor.handle(.committed(changes: 5)).contains(.closeForeign(marks: 0x30)))
    }

    @Test("Whoever keeps taking the rule out gets it back later and later, and peace ends that")
    func fight() {
        var reconciler = Self.opened()
        var pauses: [Int] = []
        for _ in 0..<24 {
            for action in reconciler.handle(.foreignTouched) {
                if case .startForeignTimer(let pause) = action { pauses.append(pause) }
            }
            _ = reconciler.handle(.foreignTimerFired)
            _ = reconciler.handle(.foreignAudited(Self.needed))
            let lines = reconciler.handle(.foreignEdited(.done)).count {
                if case .log(.warning, _) = $0 { true } else { false }
            }
            #expect(lines == (pauses.count == 19 ? 1 : 0))
            _ = reconciler.handle(.foreignAudited(Self.inPlace))
        }
        #expect(pauses == Array(repeating: 250, count: 20) + [500, 1000, 2000, 4000])
        _ = reconciler.handle(.foreignTouched)
        _ = reconciler.handle(.foreignTimerFired)
        #expect(reconciler.handle(.foreignAudited(Self.inPlace)) == [])
        #expect(reconciler.handle(.foreignTouched) == [.startForeignTimer(milliseconds: 250)])
    }
}

@Suite("A look at others' tables that takes a while")
struct ForeignWatchLookTests {
    private static func looking() -> Reconciler {
        var configuration = Configuration.howTo
        configuration.gateway.ipForward = .ignore
        var reconciler = Reconciler()
        _ = reconciler.handle(.configurationLoaded(configuration))
        _ = reconciler.handle(.committed(changes: 1))
        return reconciler
    }

    private static func isLook(_ actions: [Action]) -> Bool {
        actions.contains { if case .auditForeign = $0 { true } else { false } }
    }

    @Test("What others change while it goes on is looked at behind it, after a rest, and not before")
    func oneAtATime() {
        var reconciler = Self.looking()
        #expect(reconciler.handle(.foreignTouched) == [.startForeignTimer(milliseconds: 250)])
        for _ in 0..<20 { #expect(!Self.isLook(reconciler.handle(.foreignTimerFired))) }
        let actions = reconciler.handle(.foreignAudited(.init(), microseconds: 400_000))
        #expect(actions.contains(.startForeignTimer(milliseconds: 8000)))
        #expect(Self.isLook(reconciler.handle(.foreignTimerFired)))
    }

    @Test(
        "A look that others disturb is made again after a rest, and each time, later and later, with a word")
    func disturbed() {
        var reconciler = Self.looking()
        let disturbed = Event.foreignDisturbed(microseconds: 100_000)
        for isCommitted in [true, false, true, false] {
            #expect(reconciler.handle(disturbed) == [.startForeignTimer(milliseconds: 2000)])
            #expect(reconciler.handle(.foreignTouched) == [])
            // The rest is over: the next look begins behind the next commit, or after two seconds without one.
            #expect(reconciler.handle(.foreignTimerFired) == [.startForeignTimer(milliseconds: 2000)])
            if isCommitted {
                #expect(reconciler.handle(.foreignTouched) == [.startForeignTimer(milliseconds: 250)])
                #expect(reconciler.handle(.foreignTouched) == [])
            }
            #expect(Self.isLook(reconciler.handle(.foreignTimerFired)))
        }
        let actions = reconciler.handle(disturbed)
        #expect(actions.count == 2)
        if case .log(.warning, _)? = actions.first {} else { Issue.record("\(actions) say nothing") }
        #expect(!Self.isLook(reconciler.handle(.foreignTimerFired)))
        #expect(Self.isLook(reconciler.handle(.foreignTimerFired)))
        _ = reconciler.handle(.foreignAudited(.init()))
        #expect(reconciler.handle(disturbed).count == 1)
    }

    @Test(
        "Where the first look came behind the first walk through connections, they are walked through once more"
    )
    func firstLook() {
        for (cost, expected) in [(100_000, true), (5000, false)] {
            var reconciler = Self.looking()
            let actions = reconciler.handle(.foreignAudited(.init(), microseconds: cost))
            let walks = actions.contains { if case .startRepairTimer = $0 { true } else { false } }
            #expect(walks == expected)
            #expect(reconciler.handle(.foreignAudited(.init(), microseconds: cost)).isEmpty)
        }
    }
}
