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
        #expect(dialect.reading(Self.snapshot([[1]]), for: Self.snapshot([[2]])) == Self.snapshot([[1]]))
    }

    @Test("What a kernel writes in its own way is read as what was sent, and nothing else")
    func learns() {
        var dialect = Dialect()
        dialect.learn(sent: Self.chains([[1], [2]]), answered: Self.chains([[1], [2, 9]]))
        #expect(dialect.isForeign)
        let desired = Self.snapshot([[2], [1], [3]])
        #expect(dialect.reading(Self.snapshot([[2, 9], [1], [3]]), for: desired) == desired)
        // Where something else is wanted, or sent, it is what it is.
        for rules in [[[1], [2, 9], [3]], [[2, 9], [1], [3, 9]], [[2, 9]]] as [[Snapshot.RuleBytes]] {
            #expect(dialect.reading(Self.snapshot(rules), for: desired) != desired)
        }

        // Later lessons add to the earlier ones.
        dialect.learn(sent: Self.chains([[3]]), answered: Self.chains([[3, 9]]))
        #expect(dialect.reading(Self.snapshot([[2, 9], [1], [3, 9]]), for: desired) == desired)
    }

    @Test("Two rules that a kernel writes alike are both what was sent")
    func alike() {
        var dialect = Dialect()
        let (desired, kernel) = (Self.snapshot([[1], [2]]), Self.snapshot([[9], [9]]))
        dialect.learn(sent: desired.chains, answered: kernel.chains)
        #expect(dialect.reading(kernel, for: desired) == desired)
    }

    @Test("Mending sends masqd's own words, never those that a kernel answers and may not take")
    func sendsOwn() {
        var dialect = Dialect()
        let desired = Self.snapshot([[1], [2]])
        dialect.learn(sent: desired.chains, answered: Self.chains([[1, 9], [2, 9]]))
        let damaged = dialect.reading(Self.snapshot([[1, 9]]), for: desired)
        #expect(
            Difference.changes(from: damaged, to: desired) == [
                .flushChain("forward"), .addRule(chain: "forward", [1]), .addRule(chain: "forward", [2]),
            ])
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
        #expect(Difference.changes(from: dialect.reading(kernel, for: desired), to: desired).isEmpty)
    }
}
