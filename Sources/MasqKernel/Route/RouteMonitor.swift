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
        /// A default route of the main table came or went, or one of the pieces that VPNs lay over it.
        public static let routes = Bells(rawValue: 2)
        /// A forwarding switch, or another setting of an interface, was set.
        public static let forwarding = Bells(rawValue: 4)
        /// A rule of policy routing, or a route of masqd's, came or went, and it was somebody else who did it.
        public static let policy = Bells(rawValue: 8)
        /// The same in another table, which rules of policy routing lead to.
        public static let otherRoutes = Bells(rawValue: 16)
        /// All of them: messages were lost, so anything may have changed.
        public static let all: Bells = [.links, .routes, .forwarding, .policy, .otherRoutes]
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
        socket.attach(Self.filter)
        self.socket = socket
        buffer = .allocate(byteCount: 65536, alignment: 16)
    }

    deinit { buffer.deallocate() }

    /// The descriptor that becomes readable when a bell rings.
    public var descriptor: CInt { socket.descriptor }

    /// What rang, and which links.
    public struct News: Sendable {
        /// What rang.
        public var bells: Bells = []
        /// The indexes of the links that rang, or whose addresses did.
        public var links: Set<Int32> = []
        /// The tables in which somebody else made or deleted a route that carries masqd's number.
        public var tables: Set<UInt32> = []
        /// Messages were lost: any link may have changed.
        public var isIncomplete = false
    }

    /// More messages than this wait for the next turn of the loop: others may send them as fast as they are read.
    private static let maximumMessages = 512

    /// Reads what is waiting, and never waits itself.
    ///
    /// - Parameter ownPort: whose changes ring nothing.
    /// - Throws: ``NetlinkError`` when the socket is of no use any more.
    public func drain(ownPort: UInt32 = 0) throws(NetlinkError) -> News {
        var news = News()
        for _ in 0..<Self.maximumMessages {
            do {
                guard let messages = try socket.receive(into: buffer, waiting: false) else { return news }
                for message in messages where message.portID == 0 || message.portID != ownPort {
                    news.read(message)
                }
            } catch  where error.code == ENOBUFS {
                news.bells = .all
                news.isIncomplete = true
            }
        }
        return news
    }
}

extension RouteMonitor.News {
    /// Takes in one notification.
    mutating func read(_ message: NetlinkMessage) {
        let bell = RouteMonitor.Bells(message)
        bells.formUnion(bell)
        if bell == .links, let index = message.linkIndex { links.insert(index) }
        if bell == .policy, [RTM_NEWROUTE, RTM_DELROUTE].contains(Int(message.type)) {
            tables.insert(message.routingTable)
        }
    }
}

extension RouteMonitor {
    /// Keeps routes out that are neither wide ones nor masqd's: BGP brings them by the hundred thousand.
    ///
    /// A number of the message is in the machine's order, and the filter reads it in the network's.
    private static var filter: [sock_filter] {
        let (load16, load8) = (UInt16(BPF_LD | BPF_H | BPF_ABS), UInt16(BPF_LD | BPF_B | BPF_ABS))
        let (isEqual, end) = (UInt16(BPF_JMP | BPF_JEQ | BPF_K), UInt16(BPF_RET | BPF_K))
        let isGreater = UInt16(BPF_JMP | BPF_JGT | BPF_K)
        let widest = UInt32(Route.widestPrefixLength(.ipv6))
        let (isNew, isGone) = (UInt16(RTM_NEWROUTE).bigEndian, UInt16(RTM_DELROUTE).bigEndian)
        return [
            // struct nlmsghdr: the type is at 4. What is no route comes in.
            sock_filter(code: load16, jt: 0, jf: 0, k: 4),
            sock_filter(code: isEqual, jt: 1, jf: 0, k: UInt32(isNew)),
            sock_filter(code: isEqual, jt: 0, jf: 4, k: UInt32(isGone)),
            // struct rtmsg behind it: the destination's prefix length is its second byte, the owner its sixth.
            sock_filter(code: load8, jt: 0, jf: 0, k: 17),
            sock_filter(code: isGreater, jt: 0, jf: 2, k: widest),
            sock_filter(code: load8, jt: 0, jf: 0, k: 21),
            sock_filter(code: isEqual, jt: 0, jf: 1, k: UInt32(RoutingState.ownProtocol)),
            sock_filter(code: end, jt: 0, jf: 0, k: .max),
            sock_filter(code: end, jt: 0, jf: 0, k: 0),
        ]
    }
}

extension NetlinkMessage {
    /// The table of a route (RTM_NEWROUTE).
    fileprivate var routingTable: UInt32 {
        attributes(after: 12).first { $0.type == UInt16(RTA_TABLE.rawValue) }?.native32
            ?? (payload.count >= 12 ? UInt32(payload[4]) : 0)
    }

    /// The link that a notification about links or addresses is about.
    fileprivate var linkIndex: Int32? {
        switch Int(type) {
        // struct ifinfomsg and struct ifaddrmsg both have the index at 4.
        case RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_DELADDR:
            payload.count >= 8 ? payload.loadUnaligned(fromByteOffset: 4, as: Int32.self) : nil
        default: nil
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
                // The pieces that VPNs lay over a default route too.
                let widest = payload.count > 1 && payload[0] == UInt8(AF_INET) ? 1 : 4
                guard payload.count >= 12, payload[1] <= widest else {
                    self = []
                    return
                }
                self = message.routingTable == Route.mainTable ? .routes : .otherRoutes
            }
        case RTM_NEWRULE, RTM_DELRULE: self = .policy
        case RTM_NEWNETCONF, RTM_DELNETCONF: self = .forwarding
        default: self = []
        }
    }
}
