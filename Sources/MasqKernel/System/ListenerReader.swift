// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// Lists the sockets that wait for whoever comes, of every process in the network namespace; needs no privilege.
public enum ListenerReader {
    /// TCP sockets that listen, and UDP sockets without a peer; those on the loopback's addresses too.
    ///
    /// - Throws: ``NetlinkError``; `ENOENT` where the kernel has no tcp_diag or udp_diag.
    public static func listeners() throws(NetlinkError) -> Set<Listener> {
        var conversation = try NetlinkConversation(bus: CInt(NETLINK_SOCK_DIAG), name: "sock_diag")
        var listeners: Set<Listener> = []
        for family in AddressFamily.allCases {
            for transport in [Rule.TransportProtocol.tcp, .udp] {
                let write = { (request: inout MessageWriter, sequence: UInt32) in
                    writeQuestion(to: &request, sequence, family, transport)
                }
                try conversation.ask("the machine's services", write) {
                    if let listener = Listener($0, transport) { listeners.insert(listener) }
                }
            }
        }
        return listeners
    }

    private static func writeQuestion(
        to request: inout MessageWriter, _ sequence: UInt32, _ family: AddressFamily,
        _ transport: Rule.TransportProtocol
    ) {
        let flags = UInt16(NLM_F_REQUEST) | UInt16(NLM_F_DUMP)
        request.beginMessage(type: UInt16(SOCK_DIAG_BY_FAMILY), flags: flags, sequence: sequence)
        // struct inet_diag_req_v2: family, protocol, extensions, filling, the states, and an inet_diag_sockid.
        request.append(padding: [family.rawValue, transport.rawValue, 0, 0])
        // TCP_LISTEN, and TCP_CLOSE, which stands for a UDP socket that is not connected (net/tcp_states.h).
        request.append(UInt32(transport == .tcp ? 1 << 10 : 1 << 7))
        request.append(padding: [UInt8](repeating: 0, count: 48))
    }
}

extension Listener {
    /// Reads `struct inet_diag_msg` of linux/inet_diag.h: family, state, timer, retrans; the socket's own port, the peer's, its
    /// address and the peer's in 16 bytes each, and the link.
    fileprivate init?(_ message: NetlinkMessage, _ transport: Rule.TransportProtocol) {
        let payload = message.payload
        guard payload.count >= 72, let family = AddressFamily(rawValue: payload[0]) else { return nil }
        var value: UInt128 = 0
        for index in 0..<family.byteCount { value = value << 8 | UInt128(payload[8 + index]) }
        let link = payload.loadUnaligned(fromByteOffset: 40, as: Int32.self)
        // INET_DIAG_SKV6ONLY: told of IPv6's sockets only.
        let isIPv6Only =
            message.attributes(after: 72)
            .first { $0.type == UInt16(INET_DIAG_SKV6ONLY) }?.bytes.first != 0
        self.init(
            transport, IPAddress(family: family, value: value), UInt16(payload[4]) << 8 | UInt16(payload[5]),
            link: link == 0 ? nil : link,
            takesBothFamilies: family == .ipv6 && value == 0 && !isIPv6Only)
    }
}
