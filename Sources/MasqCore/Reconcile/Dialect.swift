// SPDX-License-Identifier: GPL-3.0-or-later

/// How the running kernel writes the rules that masqd sends it.
///
/// They come back byte for byte from every kernel that masqd was tested with. A newer one may add an attribute: then
/// what it answers right after our own commit is the reference, or every look would find a difference and mend it.
public struct Dialect: Equatable, Sendable {
    private var answers: [Snapshot.RuleBytes: Snapshot.RuleBytes] = [:]

    /// A kernel that answers what it was sent.
    public init() {}

    /// Whether the kernel writes any rule in its own way.
    public var isForeign: Bool { !answers.isEmpty }

    /// Compares what was sent with what came back in the same generation.
    public mutating func learn(
        sent: [String: Snapshot.ChainState], answered: [String: Snapshot.ChainState]
    ) {
        for (name, chain) in sent {
            guard let answer = answered[name], answer.rules.count == chain.rules.count else { continue }
            for (own, other) in zip(chain.rules, answer.rules) where own != other { answers[own] = other }
        }
    }

    /// The same snapshot as this kernel would list it.
    public func translating(_ snapshot: Snapshot) -> Snapshot {
        guard isForeign else { return snapshot }
        var snapshot = snapshot
        for (name, chain) in snapshot.chains {
            snapshot.chains[name]?.rules = chain.rules.map { answers[$0] ?? $0 }
        }
        return snapshot
    }
}
