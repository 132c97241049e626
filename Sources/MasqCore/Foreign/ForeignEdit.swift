// SPDX-License-Identifier: GPL-3.0-or-later

/// One change of another owner's chain: masqd's rule `meta mark & BIT == BIT counter accept` comes or goes.
///
/// Nothing else of others' is ever touched: not a rule of theirs, not a policy.
public struct ForeignEdit: Hashable, Sendable {
    /// The family of the table.
    public var family: ForeignRuleset.Family
    /// The table's name.
    public var table: ForeignName
    /// The chain's name.
    public var chain: ForeignName
    /// What happens there.
    public var change: Change
    /// The base chain that leads there, for people: `ip filter FORWARD`; empty where the rule goes.
    public var baseChain: String
    /// Whose it is and why it has to be, for people: `ip filter FORWARD (Docker): its policy is drop`; empty where the
    /// rule goes.
    public var reason: String

    /// What happens.
    public enum Change: Hashable, Sendable {
        /// The rule comes, for this mark: before the rule with this handle, or at the chain's end.
        case insert(mark: UInt32, before: UInt64?)
        /// The rule with this handle goes.
        case delete(handle: UInt64)
    }

    /// Makes an edit.
    public init(
        _ family: ForeignRuleset.Family, table: ForeignName, chain: ForeignName, _ change: Change,
        baseChain: String = "", reason: String = ""
    ) {
        self.family = family
        self.table = table
        self.chain = chain
        self.change = change
        self.baseChain = baseChain
        self.reason = reason
    }
}

extension ForeignRuleset.Rule {
    /// The bit that the rule accepts, where it is as masqd writes it.
    ///
    /// By its mark and its verdict: `iptables-restore` drops the userdata that would tell more.
    public var passedMark: UInt32? {
        guard case .accept = effect, markChange == nil, conditions.count == 1,
            case .mark(let value, let mask) = conditions[0], value == mask, mask.nonzeroBitCount == 1
        else { return nil }
        return mask
    }
}
