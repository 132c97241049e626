// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

@Suite struct DialectTests {
    private static func chains(_ rules: [Snapshot.RuleBytes]) -> [String: Snapshot.ChainState] {
        ["forward": .init(base: .output, rules: rules)]
    }

    private static func snapshot(_ rules: [Snapshot.RuleBytes]) -> Snapshot {
        var snapshot = Snapshot()
        snapshot.tableFlags = 0
        snapshot.chains = chains(rules)
        return snapshot
    }

    @Test("A kernel that answers what it was sent has no dialect")
    func none() {
        var dialect = Dialect()
        #expect(!dialect.isForeign)
        dialect.learn(sent: Self.chains([[1], [2]]), answered: Self.chains([[1], [2]]))
        #expect(!dialect.isForeign)
        #expect(dialect.translating(Self.snapshot([[1]])) == Self.snapshot([[1]]))
    }

    @Test("What a kernel writes in its own way is the reference from then on, and nothing else is changed")
    func learns() {
        var dialect = Dialect()
        dialect.learn(sent: Self.chains([[1], [2]]), answered: Self.chains([[1], [2, 9]]))
        #expect(dialect.isForeign)
        #expect(dialect.translating(Self.snapshot([[2], [1], [3]])) == Self.snapshot([[2, 9], [1], [3]]))

        // Later lessons add to the earlier ones.
        dialect.learn(sent: Self.chains([[3]]), answered: Self.chains([[3, 9]]))
        #expect(dialect.translating(Self.snapshot([[2], [3]])) == Self.snapshot([[2, 9], [3, 9]]))
    }

    @Test("A chain of another length, or one that is absent, teaches nothing")
    func refusesToLearn() {
        var dialect = Dialect()
        dialect.learn(sent: Self.chains([[1], [2]]), answered: Self.chains([[2]]))
        dialect.learn(sent: Self.chains([[1]]), answered: [:])
        #expect(!dialect.isForeign)
    }

    @Test("After one lesson a table in the kernel's own words does not differ any more")
    func settles() {
        let desired = Self.snapshot([[1], [2]])
        let kernel = Self.snapshot([[1, 9], [2, 9]])
        #expect(!Difference.changes(from: kernel, to: desired).isEmpty)
        var dialect = Dialect()
        dialect.learn(sent: desired.chains, answered: kernel.chains)
        #expect(Difference.changes(from: kernel, to: dialect.translating(desired)).isEmpty)
    }
}
