// SPDX-License-Identifier: GPL-3.0-or-later

/// One of `[conntrack] helpers`: a protocol that announces further connections inside of its first one.
public struct TrackedProtocol: Hashable, Sendable {
    /// Which protocol.
    public var kind: Kind
    /// The port of its first connection, where it is not the standard one.
    public var port: UInt16?

    /// Makes a helper.
    public init(_ kind: Kind, port: UInt16? = nil) {
        self.kind = kind
        self.port = port
    }

    /// The protocols whose addresses and ports the kernel can find and translate (`nf_conntrack_*` and `nf_nat_*`).
    public enum Kind: String, CaseIterable, Sendable {
        case amanda, ftp, h323, irc, pptp, sip, tftp
    }

    /// One of the kernel's own helpers, and the first connections that it is for.
    public struct Tracker: Hashable, Sendable {
        /// The name of the object in the table.
        public let object: String
        /// The kernel's name of it (`nf_conntrack_helper.name`).
        public let type: String
        /// The transport protocol of the first connection.
        public let transport: Rule.TransportProtocol
        /// The port of the first connection.
        public let port: UInt16
        /// Whether it knows IPv6 too.
        public let isForBothFamilies: Bool
    }

    /// The kernel's helpers that this one stands for; ports and families are those of net/netfilter/nf_conntrack_*.c.
    public var trackers: [Tracker] {
        func tracker(
            _ transport: Rule.TransportProtocol, _ standardPort: UInt16, suffix: String = "",
            type: String? = nil, isForBothFamilies: Bool = true
        ) -> Tracker {
            Tracker(
                object: "helper_\(kind.rawValue)\(suffix)", type: type ?? kind.rawValue, transport: transport,
                port: port ?? standardPort, isForBothFamilies: isForBothFamilies)
        }
        return switch kind {
        case .amanda: [tracker(.udp, 10080)]
        case .ftp: [tracker(.tcp, 21)]
        case .h323:
            [
                tracker(.udp, 1719, suffix: "_ras", type: "RAS"),
                tracker(.tcp, 1720, suffix: "_q931", type: "Q.931"),
            ]
        case .irc: [tracker(.tcp, 6667, isForBothFamilies: false)]
        case .pptp: [tracker(.tcp, 1723, isForBothFamilies: false)]
        case .sip: [tracker(.udp, 5060), tracker(.tcp, 5060, suffix: "_tcp")]
        case .tftp: [tracker(.udp, 69)]
        }
    }
}
