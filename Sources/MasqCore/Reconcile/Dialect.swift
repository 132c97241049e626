// SPDX-License-Identifier: GPL-3.0-or-later

/// How the running kernel writes the rules that masqd sends it.
///
/// They come back byte for byte from every kernel that masqd was tested with. A newer one may add an attribute: then
/// what it answers right after our own commit is taken for what was sent, or every look would find a difference and mend it.
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

    /// The same table in masqd's own words, as far as it has what is desired.
    ///
    /// What a kernel answers it need not take: only masqd's own words are ever sent.
    public func reading(_ listed: Snapshot, for desired: Snapshot) -> Snapshot {
        guard isForeign else { return listed }
        var snapshot = listed
        for (name, chain) in listed.chains {
            guard let wanted = desired.chains[name], wanted.rules.count == chain.rules.count else { continue }
            snapshot.chains[name]?.rules = zip(wanted.rules, chain.rules).map { own, other in
                answers[own] == other ? own : other
            }
        }
        return snapshot
    }
}
