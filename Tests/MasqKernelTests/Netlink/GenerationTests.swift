// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import TestSupport
import Testing

@testable import MasqKernel

/// Somebody else commits at the same time.
@Suite struct GenerationTests {
    @Test("A batch that was computed from an older generation is refused, and changes nothing")
    func refusesStale() throws {
        let namespace = try NetworkNamespace()
        var table = try namespace.kernelTable()
        _ = try table.apply(GoldenRuleset.rich.ruleset)
        var connection = try namespace.connection()
        let generation = try connection.generation()
        try namespace.nft("add table ip somebody")
        do {
            _ = try connection.commit([.addChain("late", nil)], generation: generation)
            Issue.record("nothing was thrown")
        } catch {
            #expect(error == NetlinkError(.commit, code: 85, object: "the batch"))  // ERESTART
            #expect(error.isTransient)
        }
        #expect(try namespace.snapshot().chains["late"] == nil)
    }

    @Test("The generation that a commit returns is the kernel's, until somebody commits")
    func counts() throws {
        let namespace = try NetworkNamespace()
        var connection = try namespace.connection()
        var generation = try connection.generation()
        for name in ["one", "two"] {
            generation = try connection.commit(
                name == "one" ? [.addTable(flags: 0)] : [.addChain(name, nil)], generation: generation)
            #expect(try namespace.generation() == generation)
        }
        try namespace.nft("add table ip somebody")
        #expect(try namespace.generation() == generation + 1)
    }

    /// On a busy machine all attempts of one `apply` may be disturbed; the daemon's retry timer comes next.
    private func insist(_ ruleset: Ruleset, on table: inout KernelTable) throws(NetlinkError) -> [Change] {
        for _ in 0..<100 {
            do { return try table.apply(ruleset) } catch  where error.isTransient { continue }
        }
        return try table.apply(ruleset)
    }

    @Test("200 changes while somebody commits all the time: each takes effect, and says so")
    func race() throws {
        let namespace = try NetworkNamespace()
        var table = try namespace.kernelTable()
        let rulesets = [try GoldenRuleset.rich.ruleset, try GoldenRuleset.all[0].ruleset]
        let start = try namespace.generation()
        let somebody = try Command(
            "sh", "-c", "while :; do nft add table ip race; nft delete table ip race; done"
        )
        .start(in: namespace)
        try eventually("somebody's first commit") { try namespace.generation() > start }

        var round: UInt32 = 0
        try eventually("200 changes, and 50 of somebody's between them", within: .seconds(60)) {
            let changes = try insist(rulesets[Int(round % 2)], on: &table)
            try #require(!changes.isEmpty, "round \(round)")
            round += 1
            return try round >= 200 && namespace.generation() > start + round + 50
        }
        somebody.send(9)
        try somebody.waitForExit()
        let changes = try table.apply(rulesets[Int((round - 1) % 2)])
        #expect(changes.isEmpty)
    }

    @Test("A table that comes and goes while it is listed: interrupted, whatever went first")
    func vanishes() throws {
        let namespace = try NetworkNamespace()
        var connection = try namespace.connection()
        let ruleset = try GoldenRuleset.rich.ruleset
        let isOver = Guarded(false)
        let somebody = try namespace.run {
            try BackgroundThread {
                do {
                    var table = try KernelTable()
                    while !isOver.withLock({ $0 }) {
                        _ = try table.apply(ruleset)
                        try table.remove()
                    }
                } catch {
                    Issue.record("\(error)")
                }
            }
        }
        defer {
            isOver.withLock { $0 = true }
            somebody.join()
        }
        var interruptions = 0
        for _ in 0..<20_000 where interruptions < 10 {
            do {
                _ = try connection.snapshot()
            } catch {
                #expect(error.isTransient, "\(error)")
                interruptions += 1
            }
        }
        #expect(interruptions == 10, "hardly anybody came between")
    }

    @Test("Comparing says what differs and commits nothing, whether there is a table or not")
    func comparesOnly() throws {
        let namespace = try NetworkNamespace()
        let ruleset = try GoldenRuleset.rich.ruleset
        let before = try namespace.generation()
        var table = try namespace.kernelTable()
        #expect(try !table.comparison(with: ruleset).isThere)
        #expect(try namespace.generation() == before)
        _ = try table.apply(ruleset)
        let applied = try namespace.generation()
        // Another process knows nothing of what was sent.
        var other = try namespace.kernelTable()
        #expect(try other.comparison(with: ruleset) == TableComparison(isThere: true, changes: []))
        try namespace.nft("flush chain inet masqd forward\n")
        let comparison = try other.comparison(with: ruleset)
        #expect(comparison.isThere)
        #expect(comparison.changes.allSatisfy { if case .addRule("forward", _) = $0 { true } else { false } })
        #expect(!comparison.changes.isEmpty)
        #expect(try namespace.generation() == applied + 1)
    }
}
