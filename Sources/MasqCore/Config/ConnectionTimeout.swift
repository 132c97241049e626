// SPDX-License-Identifier: GPL-3.0-or-later

/// How long connection tracking remembers a connection in one of its states without a packet.
///
/// The raw value is the key in `[conntrack]`: that of the sysctl, without `nf_conntrack_`.
public enum ConnectionTimeout: String, CaseIterable, Sendable {
    case tcpSynSent = "tcp_timeout_syn_sent"
    case tcpSynReceived = "tcp_timeout_syn_recv"
    case tcpEstablished = "tcp_timeout_established"
    case tcpFinWait = "tcp_timeout_fin_wait"
    case tcpCloseWait = "tcp_timeout_close_wait"
    case tcpLastAck = "tcp_timeout_last_ack"
    case tcpTimeWait = "tcp_timeout_time_wait"
    case tcpClose = "tcp_timeout_close"
    case tcpMaxRetrans = "tcp_timeout_max_retrans"
    case tcpUnacknowledged = "tcp_timeout_unacknowledged"
    case udp = "udp_timeout"
    case udpStream = "udp_timeout_stream"

    /// The seconds that may be given; the kernel counts them in ticks of 32 bits.
    public static let range: ClosedRange<Int64> = 1...2_147_483

    /// `[conntrack] timeouts`: where the values come from that the file does not give.
    public enum Preset: String, CaseIterable, Sendable {
        /// The kernel's sysctls: nothing is said about timeouts.
        case kernel
        /// What RFC 4787 and RFC 5382 ask of a NAT.
        case rfc

        /// The values that the preset changes, in seconds.
        public var seconds: [ConnectionTimeout: UInt32] {
            switch self {
            case .kernel: [:]
            case .rfc:
                [
                    // RFC 4787, REQ-5: not less than two minutes, five are recommended.
                    .udp: 120, .udpStream: 300,
                    // RFC 5382, REQ-5: not less than 2 hours 4 minutes once established, and else than 4 minutes.
                    .tcpEstablished: 7440, .tcpSynSent: 240, .tcpSynReceived: 240, .tcpFinWait: 240,
                    .tcpCloseWait: 240, .tcpLastAck: 240,
                ]
            }
        }
    }

    /// UDP or TCP.
    var transport: Rule.TransportProtocol {
        switch self {
        case .udp, .udpStream: .udp
        default: .tcp
        }
    }
}
