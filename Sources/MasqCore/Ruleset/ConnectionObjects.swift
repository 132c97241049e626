// SPDX-License-Identifier: GPL-3.0-or-later

extension Ruleset {
    /// A `ct helper` object.
    public struct Helper: Hashable, Sendable {
        /// The name in the table.
        public var name: String
        /// The kernel's name of the helper (`NFTA_CT_HELPER_NAME`).
        public var type: String
        /// The transport protocol of the connections that it reads.
        public var transport: Rule.TransportProtocol
        /// Whether it is for IPv4 and IPv6; else for IPv4 only.
        public var isForBothFamilies: Bool

        /// Makes a helper.
        public init(
            _ name: String, type: String, transport: Rule.TransportProtocol, isForBothFamilies: Bool
        ) {
            self.name = name
            self.type = type
            self.transport = transport
            self.isForBothFamilies = isForBothFamilies
        }
    }

    /// A `ct timeout` object for both families.
    public struct Timeout: Hashable, Sendable {
        /// The name in the table.
        public var name: String
        /// The transport protocol of the connections that it is for.
        public var transport: Rule.TransportProtocol
        /// The states of connections that do not keep the kernel's default.
        public var seconds: [ConnectionTimeout: UInt32]

        /// Makes a timeout.
        public init(
            _ name: String, transport: Rule.TransportProtocol, seconds: [ConnectionTimeout: UInt32]
        ) {
            self.name = name
            self.transport = transport
            self.seconds = seconds
        }

        /// The states of a transport protocol in the order of the kernel's attributes
        /// (`enum ctattr_timeout_tcp` and `ctattr_timeout_udp` in linux/netfilter/nfnetlink_cttimeout.h), with nft's names
        /// and the kernel's defaults.
        static func states(of transport: Rule.TransportProtocol) -> [State] {
            switch transport {
            case .tcp:
                [
                    State("syn_sent", 120, .tcpSynSent), State("syn_recv", 60, .tcpSynReceived),
                    State("established", 432_000, .tcpEstablished), State("fin_wait", 120, .tcpFinWait),
                    State("close_wait", 60, .tcpCloseWait), State("last_ack", 30, .tcpLastAck),
                    State("time_wait", 120, .tcpTimeWait), State("close", 10, .tcpClose),
                    // A simultaneous open: no sysctl of its own, the value of SYN_SENT.
                    State("syn_sent2", 120, .tcpSynSent), State("retrans", 300, .tcpMaxRetrans),
                    State("unack", 300, .tcpUnacknowledged),
                ]
            case .udp: [State("unreplied", 30, .udp), State("replied", 120, .udpStream)]
            default: []
            }
        }

        /// One state, see ``states(of:)``.
        struct State {
            let name: String
            let kernelDefault: UInt32
            let key: ConnectionTimeout

            init(_ name: String, _ kernelDefault: UInt32, _ key: ConnectionTimeout) {
                (self.name, self.kernelDefault, self.key) = (name, kernelDefault, key)
            }
        }

        /// The seconds of each state that differ from the kernel's defaults, as nft writes them.
        var policy: [(state: String, seconds: UInt32)] {
            Self.states(of: transport).compactMap { state in
                let seconds = seconds[state.key] ?? state.kernelDefault
                return seconds == state.kernelDefault ? nil : (state.name, seconds)
            }
        }

        /// The seconds of all states; the first one's attribute is number 1.
        var array: [UInt32] { Self.states(of: transport).map { seconds[$0.key] ?? $0.kernelDefault } }
    }
}
