// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// The rtnetlink socket by which policy routing is read and changed, open for the daemon's life.
///
/// What is masqd's carries ``RoutingState/ownProtocol``; every deletion names it, so the kernel itself spares all else.
public struct PolicyRouting: ~Copyable {
    private var conversation: NetlinkConversation

    /// What errors call them.
    private static let rules = "rules of policy routing"

    /// Opens the socket in the calling thread's network namespace.
    ///
    /// - Throws: ``NetlinkError``.
    public init() throws(NetlinkError) {
        // The kernel then lists one table, or one owner's routes (since 4.20): a million of BGP's only where they are in the main
        // table and there are uplinks to choose from, for it can't be asked for those with a short prefix.
        try self.init(
            NetlinkConversation(bus: CInt(NETLINK_ROUTE), name: "rtnetlink") { $0.checkStrictly() })
    }

    private init(_ conversation: consuming NetlinkConversation) { self.conversation = conversation }

    /// The port ID, by which events name who made a change.
    public var portID: UInt32 { conversation.socket.portID }

    /// The tables that have, or had, routes of masqd's.
    private var ownTables: Set<UInt32> = []

    /// Looks into these tables too from now on: somebody made a route there that carries masqd's number.
    public mutating func look(into tables: Set<UInt32>) { ownTables.formUnion(tables) }

    /// Reads what is masqd's, and where tables are asked for, what others have in them and in the main one.
    ///
    /// - Parameter main: others' routes in the main table, where they are known: it may be large. What is masqd's is looked
    ///   for in those tables alone then that it was found in, or that are asked for.
    /// - Throws: ``NetlinkError``; a listing that was disturbed is repeated first. `EOPNOTSUPP` where tables are asked for and
    ///   the kernel has no policy routing.
    public mutating func state(
        tables: [UInt32], main: Set<Route>? = nil
    ) throws(NetlinkError) -> RoutingState {
        let state = try retrying { () throws(NetlinkError) in try listState(tables, main) }
        ownTables = Set(state.routes.map(\.table))
        return state
    }

    private mutating func listState(
        _ tables: [UInt32], _ main: Set<Route>?
    ) throws(NetlinkError) -> RoutingState {
        var state = RoutingState()
        for family in AddressFamily.allCases {
            let header = [family.rawValue] + [UInt8](repeating: 0, count: 11)
            do {
                try list(RTM_GETRULE, header: header, Self.rules) {
                    // A kernel without the family lists another one's.
                    guard $0.payload.count >= 12, $0.payload[0] == family.rawValue else { return }
                    state.families.insert(family)
                    if let rule = RoutingRule(own: $0) { state.rules.insert(rule) }
                }
            } catch  where error.operation == .dump && [EAFNOSUPPORT, EOPNOTSUPP].contains(error.code) {
                continue  // no rules in this family, or none at all: nothing of masqd's either
            }
        }
        guard tables.isEmpty || !state.families.isEmpty else {
            throw NetlinkError(.dump, code: EOPNOTSUPP, object: Self.rules)
        }
        // Without the tables the kernel would look for them in all, and a million routes take it 100 ms.
        let isKnown = main != nil && !tables.isEmpty
        let foreign = tables.isEmpty ? [] : (isKnown ? [] : [Route.mainTable]) + tables
        for family in state.families {
            if !isKnown {
                try listRoutes(family, table: nil) { state.routes.formUnion($0.isOwn ? $0.routes : []) }
            }
            for table in Set(foreign).union(isKnown ? ownTables : []) {
                try listRoutes(family, table: table) {
                    if $0.isOwn {
                        if isKnown { state.routes.formUnion($0.routes) }
                    } else if foreign.contains(table) {
                        // With many routes in the main table most lead through a gateway to somewhere.
                        state.foreignRoutes.formUnion($0.routes.filter { $0.isDefault || $0.gateway == nil })
                    }
                }
            }
            if isKnown, let main {
                state.foreignRoutes.formUnion(
                    main.filter {
                        $0.destination.address.family == family && ($0.isDefault || $0.gateway == nil)
                    })
            }
        }
        if !tables.isEmpty { state.reversePathFilters = try reversePathFilters() }
        return state
    }

    /// A message's route, one for each next hop.
    private struct Listed {
        let isOwn: Bool
        let routes: [Route]
    }

    /// Lists a table's routes, or without a table masqd's own in all of them.
    private mutating func listRoutes(
        _ family: AddressFamily, table: UInt32?, _ handle: (Listed) -> Void
    ) throws(NetlinkError) {
        // struct rtmsg: family, destination and source prefix lengths, TOS; table, protocol, scope, type; flags 4 bytes.
        let owner = table == nil ? RoutingState.ownProtocol : 0
        let header = [family.rawValue, 0, 0, 0, 0, owner, 0, 0, 0, 0, 0, 0]
        do {
            try list(RTM_GETROUTE, header: header, "routes", table: table) { message in
                guard message.type == UInt16(RTM_NEWROUTE), message.payload.count >= 12,
                    message.payload[0] == family.rawValue
                else { return }
                // Kernels that know no filter list everything. A route for some sources only (the third byte) is no way for all.
                let isOwn = message.payload[5] == RoutingState.ownProtocol
                let routes = (message.payload[2] == 0 ? Route.all(in: message) : []).filter {
                    table == nil || $0.table == table
                }
                if table != nil || isOwn { handle(Listed(isOwn: isOwn, routes: routes)) }
            }
        } catch  where error.operation == .dump && error.code == ENOENT {
            return  // there is no such table yet
        }
    }

    /// How each interface checks the way back, by index; -1 is "all" (`NETCONFA_IFINDEX_ALL`).
    private mutating func reversePathFilters() throws(NetlinkError) -> [Int32: Int32] {
        var filters: [Int32: Int32] = [:]
        // struct netconfmsg: the family, padded to four bytes.
        try list(RTM_GETNETCONF, header: [UInt8(AF_INET), 0, 0, 0], "interface settings") { message in
            var index: Int32?
            var filter: Int32?
            for attribute in message.attributes(after: 4) {
                switch Int(attribute.type) {
                case NETCONFA_IFINDEX: index = Int32(bitPattern: attribute.native32)
                case NETCONFA_RP_FILTER: filter = Int32(bitPattern: attribute.native32)
                default: break
                }
            }
            if let index, let filter { filters[index] = filter }
        }
        return filters
    }

    private mutating func list(
        _ type: Int, header: [UInt8], _ object: String, table: UInt32? = nil,
        _ handle: (NetlinkMessage) -> Void
    ) throws(NetlinkError) {
        let write = { (request: inout MessageWriter, sequence: UInt32) in
            let flags = UInt16(NLM_F_REQUEST) | UInt16(NLM_F_DUMP)
            request.beginMessage(type: UInt16(type), flags: flags, sequence: sequence)
            request.append(padding: header)
            if let table { request.attribute(Int(RTA_TABLE.rawValue), native: table) }
        }
        try conversation.ask(object, write, handle)
    }
}

// Changes, one after the other: the kernel has no transactions for routes.
extension PolicyRouting {
    /// Makes changes in order; what the kernel refuses keeps none of the others from being made.
    ///
    /// What is to be there and is, and what is to go and is gone, is no refusal.
    ///
    /// - Returns: what the kernel refused.
    /// - Throws: ``NetlinkError`` when the socket is of no use any more.
    public mutating func apply(_ changes: [RoutingChange]) throws(NetlinkError) -> [RoutingRefusal] {
        var refusals: [RoutingRefusal] = []
        for change in changes {
            let code = try apply(change)
            guard code != 0 else { continue }
            let error = NetlinkError(.commit, code: code, object: "\(change)")
            refusals.append(RoutingRefusal(change, reason: "\(error)"))
        }
        return refusals
    }

    /// Deletes every rule and route of masqd's that is there.
    ///
    /// - Returns: what stays.
    /// - Throws: ``NetlinkError``.
    public mutating func removeAll() throws(NetlinkError) -> [RoutingRefusal] {
        try apply(try state(tables: []).removal)
    }

    /// - Returns: the kernel's error code, 0 where all is as it should be then.
    private mutating func apply(_ change: RoutingChange) throws(NetlinkError) -> CInt {
        var request = MessageWriter(capacity: 256)
        let sequence = conversation.nextSequence()
        let harmless: CInt
        switch change {
        case .addRule(let rule):
            harmless = EEXIST
            request.write(rule, RTM_NEWRULE, flags: NLM_F_CREATE | NLM_F_EXCL, sequence)
        case .deleteRule(let rule):
            harmless = ENOENT
            request.write(rule, RTM_DELRULE, flags: 0, sequence)
        case .setRoute(let route):
            harmless = EEXIST
            request.write(route, RTM_NEWROUTE, flags: NLM_F_CREATE | NLM_F_REPLACE, sequence)
        case .deleteRoute(let route):
            harmless = ESRCH
            request.write(route, RTM_DELROUTE, flags: 0, sequence)
        }
        let code = try answer(to: request, sequence)
        return code == harmless ? 0 : code
    }

    private func answer(to request: borrowing MessageWriter, _ sequence: UInt32) throws(NetlinkError) -> CInt
    {
        try conversation.socket.send(request.bytes)
        while let messages = try conversation.socket.receive(into: conversation.buffer, waiting: true) {
            for message in messages where message.sequence == sequence {
                if let code = message.errorCode { return code }
            }
        }
        return 0
    }
}
