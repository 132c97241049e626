// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// What masqd needs to know of the main routing table: the routes that lead anywhere, and those to what is on a link.
///
/// A small table is listed whole each time. A large one (BGP brings a million routes) is listed in pieces, and seldom. Its
/// IPv4 default routes are known at once all the same: the kernel lists an IPv4 table by ascending address
/// (`fib_table_dump` in net/ipv4/fib_trie.c), so they are in the first datagram.
public struct MainTable: ~Copyable {
    /// The routes as they were read last, IPv4's and IPv6's.
    public var routes: Set<Route> { Set(byFamily.values.joined()) }
    private var byFamily: [AddressFamily: Set<Route>] = [:]
    /// Looks at the table from its beginning.
    private var looking: NetlinkConversation
    /// Lists a large table.
    private var listing: NetlinkConversation
    /// The listing of a large table that is under way.
    private var stage: (family: AddressFamily, found: Set<Route>)?

    /// Opens its sockets in the calling thread's network namespace.
    ///
    /// - Throws: ``NetlinkError``.
    public init() throws(NetlinkError) {
        try self.init(looking: Self.conversation(), listing: Self.conversation())
    }

    private init(looking: consuming NetlinkConversation, listing: consuming NetlinkConversation) {
        self.looking = looking
        self.listing = listing
    }

    private static func conversation() throws(NetlinkError) -> NetlinkConversation {
        // The kernel then lists this table alone (since 4.20).
        try NetlinkConversation(bus: CInt(NETLINK_ROUTE), name: "rtnetlink") { $0.checkStrictly() }
    }

    /// Reads for about so long for each family, from the beginning.
    ///
    /// - Returns: whether the table was read to its end; of a large one only IPv4's default routes are as they are now.
    /// - Throws: ``NetlinkError``.
    public mutating func look(milliseconds: Int) throws(NetlinkError) -> Bool {
        var isWhole = true
        for family in AddressFamily.allCases {
            var found: Set<Route> = []
            var isOver = false
            let end = Clock.now + milliseconds * 1000
            do throws(NetlinkError) {
                try Self.begin(&looking, family)
                isOver = try Self.read(&looking, family, until: end, into: &found)
            } catch {
                looking = try Self.conversation()
                throw error
            }
            if isOver {
                byFamily[family] = found
            } else {
                isWhole = false
                // Closing its socket ends a listing that nobody wants the rest of.
                looking = try Self.conversation()
                guard family == .ipv4 else { continue }
                let others = byFamily[family, default: []].filter { $0.destination.address.value != 0 }
                byFamily[family] = others.union(found.filter { $0.destination.address.value == 0 })
            }
        }
        return isWhole
    }

    /// Begins to list a large table, or goes on, for about so long.
    ///
    /// - Returns: whether it is listed to its end.
    /// - Throws: ``NetlinkError``; the next call begins anew then.
    public mutating func list(milliseconds: Int) throws(NetlinkError) -> Bool {
        let end = Clock.now + milliseconds * 1000
        var (family, found) = stage ?? (family: .ipv4, found: [])
        do throws(NetlinkError) {
            if stage == nil { try Self.begin(&listing, family) }
            stage = nil
            while try Self.read(&listing, family, until: end, into: &found) {
                byFamily[family] = found
                guard family == .ipv4 else { return true }
                (family, found) = (.ipv6, [])
                try Self.begin(&listing, family)
            }
        } catch {
            stage = nil
            // Before the end of a listing the kernel begins no other on its socket.
            listing = try Self.conversation()
            throw error
        }
        stage = (family, found)
        return false
    }

    private static func begin(
        _ conversation: inout NetlinkConversation, _ family: AddressFamily
    ) throws(NetlinkError) {
        var request = MessageWriter(capacity: 64)
        let flags = UInt16(NLM_F_REQUEST) | UInt16(NLM_F_DUMP)
        request.beginMessage(type: UInt16(RTM_GETROUTE), flags: flags, sequence: conversation.nextSequence())
        // struct rtmsg: family, destination and source prefix lengths, TOS; table, protocol, scope, type; flags 4 bytes.
        request.append(padding: [family.rawValue, 0, 0, 0, UInt8(Route.mainTable), 0, 0, 0, 0, 0, 0, 0])
        request.attribute(Int(RTA_TABLE.rawValue), native: Route.mainTable)
        request.endMessage()
        try conversation.socket.send(request.bytes)
    }

    /// - Returns: whether the listing is over; until then it reads at least one datagram, and till that time.
    private static func read(
        _ conversation: inout NetlinkConversation, _ family: AddressFamily, until end: Int,
        into found: inout Set<Route>
    ) throws(NetlinkError) -> Bool {
        repeat {
            guard
                let messages = try conversation.socket.receive(into: conversation.buffer, waiting: false)
            else { return false }
            for message in messages where message.sequence == conversation.lastSequence {
                if let code = message.errorCode ?? message.endCode {
                    // A kernel without the family has no routes in it; nor has one without the table.
                    guard code == 0 || [ENOENT, EAFNOSUPPORT, EOPNOTSUPP].contains(code) else {
                        throw NetlinkError(.dump, code: code, object: "routes")
                    }
                    return true
                }
                if message.isOfInterest(family) {
                    found.formUnion(
                        Route.all(in: message).filter {
                            $0.leadsAnywhere || $0.table == Route.mainTable && $0.gateway == nil
                        })
                }
            }
        } while Clock.now < end
        return false
    }
}

extension NetlinkMessage {
    /// Whether it is worth reading whole: a route for all sources of this family, and not masqd's.
    fileprivate func isOfInterest(_ family: AddressFamily) -> Bool {
        payload.count >= 12 && payload[0] == family.rawValue && payload[2] == 0
            && payload[5] != RoutingState.ownProtocol
    }
}
