// SPDX-License-Identifier: GPL-3.0-or-later

/// The table as the kernel has it, or should have it: both are values of this one type.
///
/// A ruleset is lowered into a snapshot, a kernel dump is read into one, and their ``Difference`` is what gets sent.
public struct Snapshot: Equatable, Sendable {
    /// The table's flags (`NFTA_TABLE_FLAGS`); absent: there is no table.
    public var tableFlags: UInt32?
    /// The named stateful objects.
    public var objects: Set<StatefulObject> = []
    /// Flowtables by name.
    public var flowtables: [String: FlowtableState] = [:]
    /// Named sets and maps by name.
    public var sets: [String: SetState] = [:]
    /// Chains by name.
    public var chains: [String: ChainState] = [:]

    /// A snapshot of a kernel that has no such table.
    public init() {}

    /// A flowtable.
    public struct FlowtableState: Equatable, Sendable {
        /// The order within the ingress hook.
        public var priority: Int32
        /// `NFTA_FLOWTABLE_FLAGS`.
        public var flags: UInt32
        /// The names of the links that it is tied to.
        public var devices: Set<InterfaceName>

        /// Makes a flowtable.
        public init(priority: Int32 = 0, flags: UInt32, devices: Set<InterfaceName> = []) {
            self.priority = priority
            self.flags = flags
            self.devices = devices
        }
    }

    /// A set or map.
    public struct SetState: Equatable, Sendable {
        /// What can't be changed while the set exists.
        public var shape: SetShape
        /// The elements; absent where the set is of a kind that masqd never makes.
        public var elements: Ruleset.Elements?
        /// Whether the elements are there in other pieces than masqd writes, so that they can't be deleted one by one.
        ///
        /// nft keeps networks that touch apart, and leaves out the end between them.
        public var isFragmented = false

        /// Makes a set in the pieces that masqd writes.
        public init(shape: SetShape, elements: Ruleset.Elements?) {
            self.shape = shape
            self.elements = elements
        }
    }

    /// The attributes that a set is created with.
    public struct SetShape: Hashable, Sendable {
        /// `NFTA_SET_FLAGS`, without what the kernel may add by itself.
        public var flags: UInt32
        /// nft's own number for the type of the key (`NFTA_SET_KEY_TYPE`).
        public var keyType: UInt32
        /// The length of a key in bytes.
        public var keyLength: UInt32
        /// The lengths in bytes of the fields that a key of intervals is concatenated of (`NFTA_SET_DESC_CONCAT`).
        public var fieldLengths: [UInt32] = []
        /// `NFTA_SET_DATA_TYPE`: `NFT_DATA_VERDICT` in a verdict map, nft's own number in another, 0 in a set.
        public var dataType: UInt32
        /// The length of a map's data in bytes; 0 in a verdict map and in a set.
        public var dataLength: UInt32 = 0
        /// Whether each element has a counter of its own, and nothing else (`NFTA_SET_EXPR`).
        public var countsPackets = false
        /// `NFTA_SET_DESC_SIZE`, the most elements that it takes; 0 without a limit.
        public var size: UInt32 = 0
        /// `NFTA_SET_TIMEOUT`, after how many milliseconds an element goes; 0: never.
        public var timeout: UInt64 = 0

        /// Makes a shape without a limit.
        public init(flags: UInt32, keyType: UInt32, keyLength: UInt32, dataType: UInt32) {
            self.flags = flags
            self.keyType = keyType
            self.keyLength = keyLength
            self.dataType = dataType
        }
    }

    /// A chain and its rules.
    public struct ChainState: Equatable, Sendable {
        /// The hook it is attached to, if any.
        public var base: BaseChain?
        /// The rules in order.
        public var rules: [RuleBytes]

        /// Makes a chain.
        public init(base: BaseChain?, rules: [RuleBytes]) {
            self.base = base
            self.rules = rules
        }
    }

    /// A rule's expressions and comment, as netlink attributes without handle, position and owner.
    ///
    /// Bytes, since listings are not sound: two different rules can print the same.
    public typealias RuleBytes = [UInt8]

    /// What the table remembers for masqd.
    public var memory: KernelMemory {
        KernelMemory(counterNames: Set(objects.lazy.filter { $0 == .counter($0.name) }.map(\.name)))
    }
}
