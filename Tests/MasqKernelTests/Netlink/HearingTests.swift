// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore
import TestSupport
import Testing

@testable import MasqKernel

/// What others commit while masqd commits itself, and does not listen.
@Suite struct HearingTests {
    private let namespace: NetworkNamespace
    private let rulesets: [Ruleset]

    init() throws {
        namespace = try NetworkNamespace()
        rulesets = [try GoldenRuleset.rich.ruleset, .behindPPP0([try IPNetwork("10.0.0.0/8")])]
    }

    @Test(
        "A transaction that is too long for one turn of the loop is told once, at its end, with who made it")
    func longTransaction() throws {
        var table = try namespace.run { try KernelTable(listening: true) }
        _ = try table.apply(rulesets[0])
        // As many as fit into a socket's buffer that only the machine's own root may enlarge.
        let rules = String(repeating: "add rule inet masqd mine counter\n", count: 1500)
        try namespace.nft("add chain inet masqd mine\n\(rules)")
        var touches: [NftablesMonitor.Touch] = []
        var turns = 0
        while touches.isEmpty {
            turns += 1
            let activity = try table.hear(besides: 0)
            try #require(!activity.isIncomplete)
            if let touch = activity.ownTable { touches.append(touch) }
        }
        #expect(turns > 1)
        #expect(touches.map(\.processName) == ["nft"])
        #expect(try table.hear(besides: 0).ownTable == nil)
    }

    @Test("Whatever moment somebody picks, his commit is heard, or known to have happened")
    func nothingIsMissed() throws {
        var table = try namespace.run { try KernelTable(listening: true) }
        try namespace.nft("table ip somebody { chain mine { }; }")
        let rounds = 400
        let round = Guarded(0)
        let hasCommitted = Guarded(0)
        let namespace = namespace
        let somebody = try namespace.run {
            try BackgroundThread {
                do {
                    var connection = try NftablesConnection()
                    var last = 0
                    while last < rounds {
                        let current = round.withLock { $0 }
                        guard current != last else { continue }
                        last = current
                        // Anywhere between the beginning and the end of what masqd does.
                        for _ in 0..<current % 40 { _ = try connection.generation() }
                        try connection.addForeignRule()
                        hasCommitted.withLock { $0 = current }
                    }
                } catch {
                    Issue.record("\(error)")
                    hasCommitted.withLock { $0 = .max }
                }
            }
        }
        defer {
            round.withLock { $0 = rounds }
            somebody.join()
        }
        _ = try table.hear(besides: 0)
        for number in 1...rounds {
            round.withLock { $0 = number }
            _ = try table.apply(rulesets[number % 2])
            let wasDisturbed = table.wasDisturbed
            try eventually("somebody's commit") { hasCommitted.withLock { $0 >= number } }
            let activity = try table.hear(besides: 0)
            #expect(activity.touchesOthers || wasDisturbed, "round \(number)")
        }
    }

    @Test("A look that finds nothing to change keeps listening")
    func looking() throws {
        var table = try namespace.run { try KernelTable(listening: true) }
        _ = try table.apply(rulesets[0])
        #expect(try table.hear(besides: 0) == .init())
        let wasDisturbed = table.wasDisturbed
        #expect(!wasDisturbed)
        try namespace.nft("add table ip somebody")
        #expect(try table.apply(rulesets[0]).isEmpty)
        let isDisturbed = table.wasDisturbed
        #expect(!isDisturbed)
        #expect(try table.hear(besides: 0).touchesOthers)
    }
}

extension NftablesConnection {
    /// Adds a rule to a chain of somebody else's.
    fileprivate mutating func addForeignRule() throws(NetlinkError) {
        while true {
            let current = try generation()
            do throws(ForeignEditError) {
                let edit = ForeignEdit(.ip, table: "somebody", chain: "mine", .insert(mark: 1, before: nil))
                _ = try commit([edit], generation: current)
                return
            } catch {
                guard error.error.isTransient else { throw error.error }
            }
        }
    }
}
