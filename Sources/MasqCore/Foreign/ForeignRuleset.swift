// SPDX-License-Identifier: GPL-3.0-or-later

/// The netfilter of everybody else, as far as forwarded traffic can meet it: a model that can be reasoned about.
public struct ForeignRuleset: Equatable, Sendable {
    /// The base chains at hook forward, and those of type nat at hook postrouting, with what they reach.
    public var hooks: [Hook]

    /// The bits of a packet's mark that somebody may have set at another hook than forward.
    public var earlierMarks: UInt32 = 0
    /// Whether everything could be read; what iptables-legacy made is for root alone to see.
    public var isComplete = true
    /// The generation of nf_tables' ruleset that it was read at.
    public var generation: UInt32 = 0

    /// Makes a ruleset.
    public init(_ hooks: [Hook] = []) { self.hooks = hooks }

    /// One base chain and every chain that its rules lead to.
    public struct Hook: Equatable, Sendable {
        /// Whose program keeps it in the kernel.
        public var backend: Backend
        /// The families whose packets it sees.
        public var family: Family
        /// The table's name.
        public var table: ForeignName
        /// The base chain's name.
        public var chain: ForeignName
        /// Where it is attached.
        public var point: Point
        /// The priority at its hook.
        public var priority: Int32
        /// Whether what reaches the end of the base chain is dropped.
        public var dropsByPolicy: Bool
        /// The rules of the base chain and of all that it reaches, by the chain's name.
        public var chains: [ForeignName: [Rule]]

        /// Makes a hook.
        public init(
            _ family: Family, table: ForeignName, chain: ForeignName, at point: Point, priority: Int32 = 0,
            dropsByPolicy: Bool = false, backend: Backend = .nftables, chains: [ForeignName: [Rule]]
        ) {
            self.backend = backend
            self.family = family
            self.table = table
            self.chain = chain
            self.point = point
            self.priority = priority
            self.dropsByPolicy = dropsByPolicy
            self.chains = chains
        }
    }

    /// Which of the kernel's two packet filters a chain is in.
    public enum Backend: Equatable, Sendable {
        /// nf_tables: nft, iptables-nft, and all that speaks netlink.
        case nftables
        /// ip_tables and ip6_tables: iptables-legacy.
        case legacy
    }

    /// A table's family; those that see no forwarded IP packets are left out.
    public enum Family: String, Sendable {
        case ip, ip6, inet

        /// Whether packets of an address family come by.
        public func sees(_ family: AddressFamily) -> Bool {
            switch self {
            case .ip: family == .ipv4
            case .ip6: family == .ipv6
            case .inet: true
            }
        }
    }

    /// What a base chain may do to forwarded traffic.
    public enum Point: Equatable, Sendable {
        /// Type filter at hook forward: drop it.
        case forward
        /// Type nat at hook postrouting: translate its source.
        case sourceNAT
    }

    /// One rule: what it does when all its conditions hold.
    public struct Rule: Equatable, Sendable {
        /// All have to hold.
        public var conditions: [Condition]
        /// What happens then.
        public var effect: Effect
        /// What becomes of the packet's mark before that; absent where it stays.
        public var markChange: MarkChange?
        /// The number by which nft deletes it; 0 where it has none.
        public var handle: UInt64
        /// The rule's number in its chain, from 1, where rules that can't apply are left out; else absent.
        public var number: Int?

        /// Makes a rule.
        public init(
            _ conditions: [Condition] = [], _ effect: Effect, markChange: MarkChange? = nil,
            handle: UInt64 = 0, number: Int? = nil
        ) {
            self.markChange = markChange
            self.number = number
            self.conditions = conditions
            self.effect = effect
            self.handle = handle
        }
    }

    /// Which end of a packet's way, or of its addresses, is meant.
    public enum Side: Equatable, Sendable {
        /// Where it comes from.
        case source
        /// Where it goes to.
        case destination
    }

    /// Something about a packet that holds or does not.
    public indirect enum Condition: Equatable, Sendable {
        /// The link that it came in by, or leaves by, is called so.
        case link(Side, InterfacePattern)
        /// The same by index.
        case linkIndex(Side, Int32)
        /// An address is in these ranges; never true of the other family's.
        case address(Side, AddressRanges)
        /// It is of this family.
        case family(AddressFamily)
        /// The transport protocol has this number.
        case transport(UInt8)
        /// Its state in conntrack is one of these (`NF_CT_STATE_BIT`).
        case state(UInt32)
        /// Its connection has one of these flags (`enum ip_conntrack_status`).
        case status(UInt32)
        /// It goes the way of its connection's answers.
        case isReply
        /// Its mark under this mask has this value.
        case mark(UInt32, mask: UInt32)
        /// One of these holds.
        case any([Condition])
        /// This one does not hold.
        case not(Condition)
        /// Nothing is known about it.
        case unknown
    }

    /// What a rule does.
    public indirect enum Effect: Equatable, Sendable {
        /// Nothing that matters here: count, log.
        case none
        /// The base chain is done with the packet.
        case accept
        /// The packet is gone.
        case drop
        /// It is gone, and the sender is told.
        case reject
        /// The rules of another chain, then the next rule.
        case jump(ForeignName)
        /// The rules of another chain, then what follows this chain.
        case goto(ForeignName)
        /// What follows this chain.
        case `return`
        /// The source is translated, as the word says: `masquerade`, `snat`.
        case translate(String)
        /// The effect of the first choice whose condition holds; where none does, none (a verdict map).
        case choose([Choice])
        /// Anything.
        case unknown
    }

    /// What a rule makes of the packet's mark: it keeps some bits, and then flips some.
    public struct MarkChange: Equatable, Sendable {
        /// The bits that keep their value; the others are 0 at first.
        public var keep: UInt32
        /// The bits that are flipped then.
        public var flip: UInt32
        /// The bits that become nobody knows what.
        public var unknown: UInt32

        /// Makes a change.
        public init(keep: UInt32, flip: UInt32, unknown: UInt32 = 0) {
            self.keep = keep
            self.flip = flip
            self.unknown = unknown
        }

        /// Any bit may become anything.
        public static let anything = MarkChange(keep: 0, flip: 0, unknown: .max)
    }

    /// One element of a verdict map.
    public struct Choice: Equatable, Sendable {
        /// The element's key.
        public var condition: Condition
        /// Its verdict.
        public var effect: Effect

        /// Makes a choice.
        public init(_ condition: Condition, _ effect: Effect) {
            self.condition = condition
            self.effect = effect
        }
    }
}

extension ForeignRuleset.Rule {
    /// Whether the rule decides by the mark.
    public var looksAtMark: Bool {
        if conditions.contains(where: \.looksAtMark) { return true }
        guard case .choose(let choices) = effect else { return false }
        return choices.contains { $0.condition.looksAtMark }
    }
}

extension ForeignRuleset.Condition {
    var looksAtMark: Bool {
        switch self {
        case .mark: true
        case .any(let conditions): conditions.contains(where: \.looksAtMark)
        case .not(let condition): condition.looksAtMark
        case .link, .linkIndex, .address, .family, .transport, .state, .status, .isReply, .unknown: false
        }
    }
}

extension ForeignRuleset.MarkChange {
    /// The bits that may be set behind it and were not before.
    public var settable: UInt32 { flip | unknown }

    /// The bits that may be others behind it than before.
    var touched: UInt32 { ~keep | flip | unknown }
}

extension ForeignRuleset.Effect {
    /// The chains that the rule may lead to.
    public var targets: [ForeignName] {
        switch self {
        case .jump(let chain), .goto(let chain): [chain]
        case .choose(let choices): choices.flatMap(\.effect.targets)
        case .none, .accept, .drop, .reject, .return, .translate, .unknown: []
        }
    }
}
