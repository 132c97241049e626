// SPDX-License-Identifier: GPL-3.0-or-later

/// Something in another owner's tables that keeps masqueraded traffic from its way, or changes it.
public struct ForeignFinding: Hashable, Sendable {
    /// What is found.
    public enum Kind: Hashable, Sendable {
        /// The inside's packets do not get out.
        case dropsOutward
        /// Packets get out, and their answers do not get in.
        case dropsAnswers
        /// Neither gets anywhere.
        case dropsBoth
        /// Another rule translates the source, before masqd's own can.
        case translates
        /// Another rule may do so, for some of the sources.
        case mayTranslate
    }

    /// What is found.
    public var kind: Kind
    /// Whose it is.
    public var owner: ForeignOwner
    /// The base chain, as `nft list chain` takes it: `ip filter FORWARD`; iptables-legacy's: `legacy ip filter FORWARD`.
    public var baseChain: String
    /// What it does, and to what: a line without the advice.
    public var claim: String
    /// The exact commands that help; never run by masqd.
    public var advice: [String]
    /// How many networks need the same, and are not in the commands.
    public var unlisted = 0

    /// Makes a finding.
    public init(
        kind: Kind, owner: ForeignOwner, baseChain: String, claim: String, advice: [String],
        unlisted: Int = 0
    ) {
        self.kind = kind
        self.owner = owner
        self.baseChain = baseChain
        self.claim = claim
        self.advice = advice
        self.unlisted = unlisted
    }

    /// Whether traffic fails because of it.
    public var isDrop: Bool {
        switch kind {
        case .dropsOutward, .dropsAnswers, .dropsBoth: true
        case .translates, .mayTranslate: false
        }
    }
}

extension ForeignFinding: CustomStringConvertible {
    /// One line: the claim, and what to type.
    public var description: String {
        guard !advice.isEmpty else { return claim }
        let purpose = isDrop ? "to permit it" : "to leave it to masqd"
        let more = unlisted == 0 ? "" : " (and the same for \(unlisted) more networks)"
        return "\(claim); \(purpose): \(advice.joined(separator: " && "))\(more)"
    }
}
