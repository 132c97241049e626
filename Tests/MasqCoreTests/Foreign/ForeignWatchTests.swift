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
        return reconciler
    }

    private static let finding = ForeignFinding(
        kind: .dropsBoth, owner: .docker, baseChain: "ip filter FORWARD", claim: "it drops", advice: ["do"])

    private static let gone = Action.log(
        .notice, "ip filter FORWARD (Docker) drops masqueraded traffic no more")

    @Test("A finding is said once, stands in the status, and is taken back")
    func findings() throws {
        var reconciler = try Self.started()
        let first = reconciler.handle(.foreignAudited([Self.finding]))
        #expect(first.first == .log(.warning, "it drops; to permit it: do"))
        #expect(first.last == .notifyStatus(reconciler.status))
        #expect(reconciler.status.contains("ip filter FORWARD (Docker) drops masqueraded traffic"))
        #expect(reconciler.handle(.foreignAudited([Self.finding])) == [])
        #expect(reconciler.handle(.foreignAudited([])).first == Self.gone)
        #expect(!reconciler.status.contains("FORWARD"))
    }

    @Test("masqd looks when others have been quiet for a while, or after two seconds")
    func debounce() throws {
        var reconciler = try Self.started()
        #expect(reconciler.handle(.foreignTouched) == [.startForeignTimer(milliseconds: 250)])
        #expect(reconciler.handle(.foreignTouched) == [])
        #expect(reconciler.handle(.foreignTimerFired) == [.startForeignTimer(milliseconds: 250)])
        #expect(reconciler.handle(.foreignTimerFired).count == 1)
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
        _ = reconciler.handle(.foreignAudited([], microseconds: 100_000))
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
        _ = reconciler.handle(.foreignAudited([Self.finding]))
        var configuration = try Self.configuration()
        configuration.forward.foreignDrop = .off
        _ = reconciler.handle(.configurationLoaded(configuration))
        let actions = reconciler.handle(.committed(changes: 0))
        #expect(!actions.contains { if case .auditForeign = $0 { true } else { false } })
        #expect(!reconciler.status.contains("FORWARD"))
        #expect(reconciler.handle(.foreignTouched) == [])
    }
}
