// SPDX-License-Identifier: GPL-3.0-or-later

/// What the administrator wants, checked and complete: every default is filled in.
public struct Configuration: Equatable, Sendable {
    /// Where it was read, for the comments on rules.
    public var origin: Origin
    /// `[gateway]`.
    public var gateway = Gateway()
    /// `[forward]`.
    public var forward = Forward()
    /// `[mss]`.
    public var mss = Mss()
    /// `[conntrack]`.
    public var conntrack = Conntrack()
    /// `[log]`.
    public var log = DropLog()
    /// `[reconcile]`.
    public var reconcile = Reconcile()
    /// `[policy_routing]`.
    public var policyRouting = PolicyRouting()
    /// Every `[[uplink]]`, in the file's order, which is that of preference; none without policy routing.
    public var uplinks: [UplinkBlock] = []
    /// What leaves by an uplink, in the file's order, whatever their kind: the first block that a source belongs to
    /// decides. Empty only where ports are forwarded.
    public var outbound: [OutboundBlock]
    /// Every `[[port_forward]]`, in the file's order.
    public var portForwards: [PortForward] = []

    /// `[clients]`: who behind the gateway may connect to the world.
    public var clients = AccessList()
    /// `[clients]`: how much each of them may do.
    public var clientLimits = ClientLimits()
    /// `[accounting]`.
    public var accounting = Accounting()
    /// `[destinations]`: where to.
    public var destinations = AccessList()

    /// Makes a configuration of its parts.
    public init(
        origin: Origin, gateway: Gateway = Gateway(), forward: Forward = Forward(),
        outbound: [OutboundBlock]
    ) {
        self.origin = origin
        self.gateway = gateway
        self.forward = forward
        self.outbound = outbound
    }

    /// Where a configuration comes from.
    public enum Origin: Equatable, Sendable {
        /// The file at this path.
        case file(String)
        /// `--out-interface` and `--source`.
        case commandLine
    }

    /// `[gateway]`: what masqd may change on the machine beside netfilter.
    public struct Gateway: Equatable, Sendable {
        /// `ip_forward`, for `net.ipv4.ip_forward` and, where an IPv6 source is configured, IPv6's `forwarding`.
        public var ipForward = ForwardingMode.manage

        /// Makes the section with its defaults.
        public init() {}
    }

    /// What to do about the kernel's forwarding switches.
    public enum ForwardingMode: String, CaseIterable, Sendable {
        /// Switch forwarding on, and back at stop.
        case manage
        /// Refuse to work while forwarding is off.
        case require
        /// Leave it alone.
        case ignore
    }

    /// `[forward]`: the forward path.
    public struct Forward: Equatable, Sendable {
        /// `policy` of the own forward chain.
        public var policy = Policy.accept
        /// `unsolicited`: new connections from an uplink into a masqueraded network.
        public var unsolicited = Policy.drop
        /// The line of `unsolicited`, where the file sets it.
        public var unsolicitedLine: Int?
        /// `unnamed_uplink`: what a block's sources send out of a default route's interface that no block names for them.
        public var unnamedUplink = Policy.drop
        /// The line of `unnamed_uplink`, where the file sets it.
        public var unnamedUplinkLine: Int?
        /// The line of `policy`, where the file sets it.
        public var policyLine: Int?
        /// `flow_offload`: whether connections under way are forwarded past the rules.
        public var flowOffload = FlowOffload.off
        /// The line of `flow_offload`, where the file sets it.
        public var flowOffloadLine: Int?
        /// `foreign_drop`: what others' tables do to masqueraded traffic.
        public var foreignDrop = ForeignDrop.report
        /// `mark`: the one bit of a packet's mark that others' chains are opened with.
        ///
        /// The default is in nobody's way: Kubernetes has 0xc000, netavark 0x2000, Cilium 0xf00, Tailscale 0xff0000,
        /// Calico 0xffff0000, and people who mark by hand the low bits.
        public var mark: UInt32 = 0x1000
        /// The line of `mark`, where the file sets it.
        public var markLine: Int?

        /// Makes the section with its defaults.
        public init() {}
    }

    /// Who forwards translated connections that are under way.
    public enum FlowOffload: String, CaseIterable, Sendable {
        /// The kernel, packet by packet through all hooks.
        case off
        /// A flowtable (kernel 4.16), without the hooks behind ingress.
        case software
        /// The network cards, by a flowtable with `flags offload` (kernel 5.5).
        case hardware
        /// As `software` where the kernel has flowtables, else as `off`.
        case auto
    }

    /// What to do about others' rules that drop or translate masqueraded traffic.
    public enum ForeignDrop: String, CaseIterable, Sendable {
        /// Say which rule it is, whose, and which command permits the traffic.
        case report
        /// Let what masqd permits pass them, by one rule in each chain that drops it.
        case open
        /// Nothing: do not look at them.
        case off
    }

    /// `[mss]`: the largest TCP segment that connections through an uplink agree on.
    public struct Mss: Equatable, Sendable {
        /// `clamp`.
        public var clamp = Clamp.pathMTU
        /// The line of `clamp`, where the file sets it.
        public var clampLine: Int?

        /// Makes the section with its defaults.
        public init() {}

        /// What the maximum segment size option (RFC 9293, 3.7.1) of a SYN is lowered to; it is never raised.
        public enum Clamp: Equatable, Sendable {
            /// `"pmtu"`: what fits the narrower one of the routes to both ends.
            case pathMTU
            /// A number of bytes, ``range``, the same for IPv4 and IPv6.
            case fixed(UInt16)
            /// `"off"`: nothing is changed.
            case off

            /// From IPv4's default (RFC 9293, 3.7.1) to what the largest IPv4 packet holds behind both headers.
            public static let range: ClosedRange<UInt16> = 536...65495
        }
    }

    /// `[conntrack]`: what the kernel knows of connections.
    public struct Conntrack: Equatable, Sendable {
        /// `repair`: delete those that are translated wrongly for ever, so that their next packet is translated anew.
        public var repair = true
        /// `helpers`: protocols that announce further connections, in the file's order.
        public var helpers: [TrackedProtocol] = []
        /// The line of `helpers`, where the file sets it.
        public var helpersLine: Int?
        /// `timeouts` and the keys beside it: the seconds that are not the kernel's own.
        public var timeouts: [ConnectionTimeout: UInt32] = [:]
        /// What the kernel's sysctls say, as far as somebody has read them: of a transport protocol that ``timeouts`` has
        /// something of, the others are these.
        public var systemTimeouts: [ConnectionTimeout: UInt32] = [:]
        /// The first line about timeouts, where the file has one.
        public var timeoutsLine: Int?

        /// Makes the section with its defaults.
        public init() {}
    }

    /// `[reconcile]`: what happens when somebody else changes masqd's table.
    public struct Reconcile: Equatable, Sendable {
        /// `mode`.
        public var mode = Mode.repair

        /// Makes the section with its defaults.
        public init() {}

        /// What to do about a foreign change.
        public enum Mode: String, CaseIterable, Sendable {
            /// Mend it at once, and say who it was.
            case `repair`
            /// Say who it was.
            case report
            /// Nothing.
            case off
        }
    }

    /// A verdict that the configuration can name.
    public enum Policy: String, CaseIterable, Sendable {
        case accept
        case drop
    }
}

extension Configuration.Reading {
    /// What comes of a file that can't be read at all.
    public init(unreadable path: String, reason: String) {
        let diagnostic = Diagnostic(.error, origin: path, position: nil, message: reason)
        self.init(configuration: nil, diagnostics: [diagnostic])
    }
}

extension Configuration.Origin: CustomStringConvertible {
    /// The path, or "the command line".
    public var description: String {
        switch self {
        case .file(let path): path
        case .commandLine: "the command line"
        }
    }
}
