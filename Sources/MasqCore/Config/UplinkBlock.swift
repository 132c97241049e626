// SPDX-License-Identifier: GPL-3.0-or-later

/// One `[[uplink]]`: connections that come or go by this interface stay with it.
public struct UplinkBlock: Equatable, Sendable {
    /// The line of its header, from 1.
    public var line: Int
    /// `interface`: a whole name.
    public var interface: InterfaceName
    /// The number by which marks and rules of routing know it, from 1; unique among the file's uplinks.
    ///
    /// The file's order at first. The connections that are there carry it, so it stays with the interface when the
    /// order changes.
    public var number: Int
    /// `table`: the routing table that holds its routes; absent: one of masqd's choice.
    public var table: UInt32?
    /// `gateway`: the next hop, at most one of each family; absent: as the main table has it.
    public var gateways: [IPAddress] = []
    /// `on_loss`.
    public var onLoss = LossPolicy.drop
    /// `probe`: who must answer through it; empty: the link's state is all that counts.
    public var probe: [SocketAddress] = []

    /// Makes a block with the defaults of what is optional.
    public init(line: Int, interface: InterfaceName, number: Int) {
        self.line = line
        self.interface = interface
        self.number = number
    }

    /// What happens to an uplink's connections when it is lost.
    public enum LossPolicy: String, CaseIterable, Sendable {
        /// They are deleted: what their next packet begins leaves by another uplink.
        case drop
        /// They wait until it is back.
        case keep
    }

    /// The routing table's number.
    public var routingTable: UInt32 { table ?? Self.firstTable + UInt32(number) }

    /// Tables of masqd's choice come behind this one: below are those that people number, and above FRR's (10000) and
    /// WireGuard's (51820).
    static let firstTable: UInt32 = 7000
    /// More uplinks are not known apart, however wide the mask is: their rules have a block of priorities each.
    public static let maximumCount = 15
}

extension Configuration {
    /// `[policy_routing]`: how the kernel is told by which `[[uplink]]` a packet leaves.
    public struct PolicyRouting: Equatable, Sendable {
        /// `mark_mask`: the bits of marks that are masqd's.
        public var marks = MarkField()
        /// The line of `mark_mask`, where the file sets it.
        public var marksLine: Int?
        /// `rule_priority`: masqd's rules have this priority and the 99 behind it.
        public var rulePriority: UInt32 = 20000
        /// `failover`: new connections leave by the first uplink of the file that works.
        public var failover = true
        /// `probe_interval` in seconds.
        public var probeInterval = 5
        /// `probe_failures`: so many probes in a row decide.
        public var probeFailures = 3

        /// Makes the section with its defaults.
        public init() {}
    }
}

/// The bits of a mark that are masqd's: an uplink's number, and below it whether the connection came in by it.
public struct MarkField: Hashable, Sendable {
    /// The bits: two or more, adjacent.
    public let mask: UInt32

    /// The default: seven uplinks.
    ///
    /// Others' bits: Tailscale 0xff0000, Kubernetes 0xc000, netavark 0x2000, Calico 0xffff0000, Cilium 0xf00, mwan3 0x3f00;
    /// and administrators begin to count at 1.
    public init() { mask = 0xf0 }

    /// Takes two or more adjacent bits, and nothing else.
    public init?(mask: UInt32) {
        let bits = mask >> UInt32(mask.trailingZeroBitCount)
        guard mask.nonzeroBitCount >= 2, bits & (bits &+ 1) == 0 else { return nil }
        self.mask = mask
    }

    /// How many uplinks have a number.
    public var capacity: Int { min((1 << (mask.nonzeroBitCount - 1)) - 1, UplinkBlock.maximumCount) }

    /// Set in a connection's mark where it came in by the uplink; else it left by it.
    public var cameIn: UInt32 { mask & (~mask + 1) }
    /// The bits of the number, all that a packet's mark has.
    public var numberMask: UInt32 { mask & ~cameIn }

    /// The mark of an uplink's packets, and of the connections that left by it.
    public func mark(_ number: Int) -> UInt32 { UInt32(number) << UInt32(mask.trailingZeroBitCount + 1) }

    /// The number in a mark, 0 where there is none.
    public func number(in mark: UInt32) -> Int {
        Int((mark & numberMask) >> UInt32(mask.trailingZeroBitCount + 1))
    }
}
