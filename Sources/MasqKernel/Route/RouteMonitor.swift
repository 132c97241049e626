// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// The socket on which rtnetlink says that something about links, addresses, routes or forwarding changed.
///
/// A notification is a bell: what it says is not believed, since one of its siblings may have been lost.
public struct RouteMonitor: ~Copyable {
    private let socket: NetlinkSocket
    private let buffer: UnsafeMutableRawBufferPointer

    /// What rang since the last look.
    public struct Bells: OptionSet, Sendable {
        /// The bits.
        public let rawValue: UInt8

        /// Makes a set of bells.
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// A link or an address came, went or changed.
        public static let links = Bells(rawValue: 1)
        /// A default route came or went.
        public static let routes = Bells(rawValue: 2)
        /// A forwarding switch, or another setting of an interface, was set.
        public static let forwarding = Bells(rawValue: 4)
        /// A rule of policy routing, or a route of masqd's, came or went, and it was somebody else who did it.
        public static let policy = Bells(rawValue: 8)
        /// All of them: messages were lost, so anything may have changed.
        public static let all: Bells = [.links, .routes, .forwarding, .policy]
    }

    /// Joins the groups in the calling thread's network namespace.
    ///
    /// - Throws: ``NetlinkError``.
    public init() throws(NetlinkError) {
        let socket = try NetlinkSocket(bus: CInt(NETLINK_ROUTE), name: "rtnetlink events")
        // A router that reads its routes from BGP gets them by the thousand.
        socket.reserve(receiving: 4 << 20)
        for group in [
            RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
            RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE,
        ] {
            try socket.join(group: group.rawValue)
        }
        self.socket = socket
        buffer = .allocate(byteCount: 65536, alignment: 16)
    }

    deinit { buffer.deallocate() }

    /// The descriptor that becomes readable when a bell rings.
    public var descriptor: CInt { socket.descriptor }

    /// Reads everything that is waiting, and never waits itself.
    ///
    /// - Parameter ownPort: whose changes ring nothing.
    /// - Throws: ``NetlinkError`` when the socket is of no use any more.
    public func drain(ownPort: UInt32 = 0) throws(NetlinkError) -> Bells {
        var bells: Bells = []
        while true {
            do {
                guard let messages = try socket.receive(into: buffer, waiting: false) else { return bells }
                for message in messages where message.portID == 0 || message.portID != ownPort {
                    bells.formUnion(Bells(message))
                }
            } catch  where error.code == ENOBUFS {
                bells = .all
            }
        }
    }
}

extension RouteMonitor.Bells {
    /// What one notification rings.
    init(_ message: NetlinkMessage) {
        switch Int(message.type) {
        case RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_DELADDR: self = .links
        case RTM_NEWROUTE, RTM_DELROUTE:
            // struct rtmsg in linux/rtnetlink.h: the destination's prefix length is its second byte, the owner its sixth.
            let payload = message.payload
            if payload.count >= 12, payload[5] == RoutingState.ownProtocol {
                self = .policy
            } else {
                // The pieces that VPNs lay over a default route too (`Route.leadsAnywhere`).
                let longest = payload.isEmpty || payload[0] != UInt8(AF_INET) ? 4 : 1
                self = payload.count > 1 && Int(payload[1]) <= longest ? .routes : []
            }
        case RTM_NEWRULE, RTM_DELRULE: self = .policy
        case RTM_NEWNETCONF, RTM_DELNETCONF: self = .forwarding
        default: self = []
        }
    }
}
