// SPDX-License-Identifier: GPL-3.0-or-later

/// What one base chain does to a packet, as far as that is certain.
public struct ForeignVerdict: Equatable, Sendable {
    /// What can become of the packet; more than one where a condition is not known.
    public var outcomes: Outcomes
    /// The place that drops or translates; where there are several, the last one that the packet comes to.
    public var place: Place?

    /// Makes a verdict.
    public init(outcomes: Outcomes, place: Place? = nil) {
        self.outcomes = outcomes
        self.place = place
    }

    /// What can become of a packet in a base chain.
    public struct Outcomes: OptionSet, Sendable {
        /// One bit for each.
        public let rawValue: UInt8

        /// Makes a set of its bits.
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// It goes on to the next base chain.
        public static let pass = Outcomes(rawValue: 1)
        /// It is dropped or rejected.
        public static let drop = Outcomes(rawValue: 2)
        /// Its source is translated.
        public static let translate = Outcomes(rawValue: 4)
        /// It comes to the end of the chain in question, and what called that goes on.
        static let through = Outcomes(rawValue: 8)

        static let anything: Outcomes = [.pass, .drop, .translate, .through]
    }

    /// A rule, or a base chain's policy.
    public struct Place: Hashable, Sendable {
        /// The chain that the rule is in.
        public var chain: ForeignName
        /// The rule's number, from 1; absent where it is the policy.
        public var rule: Int?
        /// What it does: `drop`, `reject`, `masquerade`.
        public var word: String
        /// The number by which nft deletes the rule; 0 where it has none.
        public var handle: UInt64

        /// Makes a place.
        public init(chain: ForeignName, rule: Int?, word: String, handle: UInt64 = 0) {
            self.chain = chain
            self.rule = rule
            self.word = word
            self.handle = handle
        }
    }
}
