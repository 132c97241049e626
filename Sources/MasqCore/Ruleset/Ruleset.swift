// SPDX-License-Identifier: GPL-3.0-or-later

/// All of the table `inet masqd`, as a value: what should be in the kernel.
public struct Ruleset: Equatable, Sendable {
    /// The table's name; its family is `inet`.
    public static let tableName = "masqd"
    /// The alarm that the leak guard raises.
    public static let leakAlarm = "leak_alarm"

    /// Names of the named counters.
    public var counters: [String] = []
    /// Names of the named quotas of one byte: the kernel tells when one is first exceeded, and so they are alarms.
    public var alarms: [String] = []
    /// Connection tracking helpers.
    public var helpers: [Helper] = []
    /// Timeouts of connections.
    public var timeouts: [Timeout] = []
    /// The flowtable, if there is one.
    public var flowtable: Flowtable?
    /// Named sets and maps, each with its elements.
    public var sets: [NamedSet] = []
    /// Chains: one comes after those that it jumps to.
    public var chains: [Chain] = []

    /// A ruleset without anything in it.
    public init() {}

    /// A named set or map.
    public struct NamedSet: Equatable, Sendable {
        /// The name, unique among the table's sets and maps.
        public var name: String
        /// The elements, which say the set's type too.
        public var elements: Elements
        /// How the elements follow the machine's links; absent: they don't.
        public var source: LinkSource?

        /// Makes a set.
        public init(_ name: String, _ elements: Elements) {
            self.name = name
            self.elements = elements
        }

        /// Makes a set whose elements follow the links; there is none as long as no link is known.
        public init(_ name: String, following source: LinkSource) {
            self.name = name
            self.source = source
            elements = source.elements(Links())
        }
    }

    /// What a set holds.
    public enum Elements: Equatable, Sendable {
        /// `type ipv4_addr` or `ipv6_addr`, `flags interval`.
        case addresses(AddressRanges)
        /// `type ifname`: whole interface names.
        case interfaces(Set<InterfaceName>)
        /// `type ifname : verdict`: for each whole interface name the chain to jump to.
        case jumps([InterfaceName: String])
        /// `type ipv4_addr : verdict` or `ipv6_addr`: for each address the chain to jump to.
        case addressJumps(AddressFamily, [IPAddress: String])
        /// Keys of several fields, and what a map holds for them.
        case entries(PackedElements)
        /// What packets add themselves.
        case recorded(Recording)

        /// Whether there is none.
        public var isEmpty: Bool {
            switch self {
            case .addresses(let ranges): ranges.isEmpty
            case .interfaces(let names): names.isEmpty
            case .jumps(let jumps): jumps.isEmpty
            case .addressJumps(_, let jumps): jumps.isEmpty
            case .entries(let entries): entries.isEmpty
            case .recorded: true
            }
        }
    }

    /// A chain and its rules.
    public struct Chain: Equatable, Sendable {
        /// The name, unique in the table.
        public var name: String
        /// Where packets enter it; absent: by jumps only.
        public var base: BaseChain?
        /// The rules in order.
        public var rules: [Rule]

        /// Makes a chain.
        public init(_ name: String, base: BaseChain? = nil, _ rules: [Rule] = []) {
            self.name = name
            self.base = base
            self.rules = rules
        }
    }
}

/// Where a chain is attached to the packet's path.
public struct BaseChain: Hashable, Sendable {
    /// `filter` or `nat`; another string where a foreign chain has it.
    public var type: String
    /// The hook's number in the family `inet` (`enum nf_inet_hooks` in linux/netfilter.h).
    public var hook: UInt32
    /// The order within the hook: lower comes first.
    public var priority: Int32
    /// What happens to packets that no rule decided on (`NF_DROP` or `NF_ACCEPT` in linux/netfilter.h).
    public var policy: UInt32

    /// Makes the attributes of a base chain.
    public init(type: String, hook: UInt32, priority: Int32, policy: UInt32) {
        self.type = type
        self.hook = hook
        self.priority = priority
        self.policy = policy
    }

    /// `type filter hook forward priority filter`.
    ///
    /// The priority is not important for an accept, which ends its own base chain only.
    public static func forward(policy: Configuration.Policy) -> BaseChain {
        // NF_INET_FORWARD, NF_IP_PRI_FILTER.
        BaseChain(type: "filter", hook: 2, priority: 0, policy: policy == .accept ? 1 : 0)
    }

    /// `type filter hook forward priority mangle + 10; policy accept`.
    ///
    /// Behind others' mangle chains (-150), which set and look at whole marks, and before whoever filters.
    public static let permit = BaseChain(type: "filter", hook: 2, priority: -140, policy: 1)

    /// `type filter hook forward priority 1000; policy accept`: behind whoever filters.
    public static let permitEnd = BaseChain(type: "filter", hook: 2, priority: 1000, policy: 1)

    /// `type filter hook output priority filter; policy accept`.
    public static let output = BaseChain(type: "filter", hook: 3, priority: 0, policy: 1)

    /// `type filter hook forward priority filter + 5; policy accept`: behind the own forward chain, for what that lets pass.
    public static let accounting = BaseChain(type: "filter", hook: 2, priority: 5, policy: 1)

    /// `type nat hook prerouting priority dstnat + 5; policy accept`.
    ///
    /// Behind an administrator's own destination NAT and Docker's (-100), and before firewalld's (-90).
    public static let prerouting = BaseChain(type: "nat", hook: 0, priority: -95, policy: 1)

    /// `type filter hook prerouting priority mangle + 5; policy accept`.
    ///
    /// Behind iptables' mangle (-150): one of its rules that restores a whole mark would else wipe masqd's bits out.
    public static let markArriving = BaseChain(type: "filter", hook: 0, priority: -145, policy: 1)

    /// `type route hook output priority mangle + 5; policy accept`: a packet whose mark changes is routed anew.
    public static let markOwn = BaseChain(type: "route", hook: 3, priority: -145, policy: 1)

    /// `type filter hook postrouting priority mangle + 5; policy accept`.
    public static let markLeaving = BaseChain(type: "filter", hook: 4, priority: -145, policy: 1)

    /// `type nat hook postrouting priority srcnat + 5; policy accept`.
    ///
    /// At equal priority the chain registered last runs first, so that plain `srcnat` (100) would depend on who
    /// started last. 105 lets an administrator's own source NAT win, and stands before firewalld (110).
    public static let postrouting = BaseChain(type: "nat", hook: 4, priority: 105, policy: 1)
}
