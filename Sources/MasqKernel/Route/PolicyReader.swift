// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// Reads the rules of policy routing, and knows when they have changed.
///
/// A socket that nobody waits at gets what changes; it is looked at when the rules are needed, so that what they say is as
/// old as a system call.
struct PolicyReader: ~Copyable {
    private var conversation: NetlinkConversation
    private let changes: NetlinkSocket
    /// What the events are read into: a listing may be under way.
    private let events: UnsafeMutableRawBufferPointer
    private var known: [AddressFamily: PolicyRules] = [:]
    /// The routes for one type of service, which only a listing of all routes shows.
    private var serviceRoutes: [PolicyRules.ServiceRoute]?
    /// Those that the listing under way has found so far.
    private var found: [PolicyRules.ServiceRoute]?
    /// One came or went while they were listed.
    private var isListedAgain = false

    /// Opens its sockets in the calling thread's network namespace.
    ///
    /// - Throws: ``NetlinkError``.
    init() throws(NetlinkError) {
        try self.init(
            NetlinkConversation(bus: CInt(NETLINK_ROUTE), name: "rtnetlink"), Self.changes())
    }

    private init(_ conversation: consuming NetlinkConversation, _ changes: consuming NetlinkSocket) {
        self.conversation = conversation
        self.changes = changes
        events = .allocate(byteCount: 65536, alignment: 16)
    }

    deinit { events.deallocate() }

    private static func changes() throws(NetlinkError) -> NetlinkSocket {
        let changes = try NetlinkSocket(bus: CInt(NETLINK_ROUTE), name: "routing rules' events")
        changes.attach(Self.filter)
        for group in [RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, RTNLGRP_IPV4_ROUTE] {
            try changes.join(group: group.rawValue)
        }
        return changes
    }

    /// Whether something has changed since the last look; then the rules are not known any more.
    mutating func hasChanged() -> Bool {
        var (hasChanged, haveRoutes) = (false, false)
        // What was lost is a change too, and what cannot be read is read anew each time.
        while true {
            do throws(NetlinkError) {
                guard let messages = try changes.receive(into: events, waiting: false) else { break }
                hasChanged = true
                haveRoutes =
                    haveRoutes || messages.contains { [RTM_NEWROUTE, RTM_DELROUTE].contains(Int($0.type)) }
            } catch {
                (hasChanged, haveRoutes) = (true, true)
                guard error.code == ENOBUFS else { break }
            }
        }
        if hasChanged { known = [:] }
        if haveRoutes { (serviceRoutes, isListedAgain) = (nil, true) }
        return hasChanged
    }

    /// Whether the routes for one type of service are known.
    var isPrepared: Bool { serviceRoutes != nil }

    /// Lists the routes for one type of service, for about so long: only a listing of all routes shows them.
    ///
    /// - Returns: whether they are known.
    /// - Throws: ``NetlinkError``; the next call begins anew then.
    mutating func prepare(milliseconds: Int) throws(NetlinkError) -> Bool {
        if isPrepared { return true }
        do throws(NetlinkError) {
            return try readServiceRoutes(milliseconds)
        } catch {
            found = nil
            conversation.socket.discard(into: conversation.buffer)
            throw error
        }
    }

    private mutating func readServiceRoutes(_ milliseconds: Int) throws(NetlinkError) -> Bool {
        let end = Clock.now + milliseconds * 1000
        if found == nil {
            var request = MessageWriter(capacity: 64)
            Self.write(&request, RTM_GETROUTE, .ipv4, conversation.nextSequence())
            request.endMessage()
            try conversation.socket.send(request.bytes)
            (found, isListedAgain) = ([], false)
        }
        repeat {
            guard
                let messages = try conversation.socket.receive(into: conversation.buffer, waiting: false)
            else { return false }
            for message in messages where message.sequence == conversation.lastSequence {
                if let code = message.errorCode ?? message.endCode {
                    guard code == 0 else { throw NetlinkError(.dump, code: code, object: "routes") }
                    _ = hasChanged()
                    if !isListedAgain { serviceRoutes = found }
                    found = nil
                    return isPrepared
                }
                if let route = PolicyRules.ServiceRoute(message) { found?.append(route) }
            }
        } while Clock.now < end
        return false
    }

    /// The rules of a family, in the order in which the kernel asks them.
    ///
    /// - Throws: ``NetlinkError``; a listing that was disturbed is repeated first.
    mutating func rules(_ family: AddressFamily) throws(NetlinkError) -> PolicyRules {
        if let rules = known[family] { return rules }
        let found = try retrying { () throws(NetlinkError) in
            var found: [PolicyRule] = []
            try list(RTM_GETRULE, family, "routing rules") { message in
                if let rule = PolicyRule(message) { found.append(rule) }
            }
            return found
        }
        let rules = PolicyRules(found, serviceRoutes: family == .ipv4 ? try allServiceRoutes() : [])
        known[family] = rules
        return rules
    }

    /// The routes for one type of service; they change while flows are judged only if an administrator changes them.
    private mutating func allServiceRoutes() throws(NetlinkError) -> [PolicyRules.ServiceRoute] {
        for _ in 0..<Self.maximumListings where try prepare(milliseconds: 1000) { break }
        guard let serviceRoutes else { throw NetlinkError(.dump, code: EINTR, object: "routes") }
        return serviceRoutes
    }

    private static let maximumListings = 20

    private mutating func list(
        _ type: Int, _ family: AddressFamily, _ object: String, _ handle: (NetlinkMessage) -> Void
    ) throws(NetlinkError) {
        let question = { (request: inout MessageWriter, sequence: UInt32) in
            Self.write(&request, type, family, sequence)
        }
        do {
            try conversation.ask(object, question, handle)
        } catch  where error.code == EOPNOTSUPP || error.code == EAFNOSUPPORT {
            // A kernel without policy routing, or without IPv6.
        }
    }

    private static func write(
        _ request: inout MessageWriter, _ type: Int, _ family: AddressFamily, _ sequence: UInt32
    ) {
        request.beginMessage(
            type: UInt16(type), flags: UInt16(NLM_F_REQUEST) | UInt16(NLM_F_DUMP), sequence: sequence)
        // struct fib_rule_hdr and struct rtmsg: 12 bytes, of which a listing looks at the family.
        request.append(padding: [family.rawValue, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    /// Lets rules in, and of routes those for one type of service: others come by the hundred thousand.
    ///
    /// The type of a message is in the machine's order, and the filter reads it in the network's.
    private static var filter: [sock_filter] {
        let (load16, load8) = (UInt16(BPF_LD | BPF_H | BPF_ABS), UInt16(BPF_LD | BPF_B | BPF_ABS))
        let (isEqual, end) = (UInt16(BPF_JMP | BPF_JEQ | BPF_K), UInt16(BPF_RET | BPF_K))
        let (isNew, isGone) = (UInt16(RTM_NEWROUTE).bigEndian, UInt16(RTM_DELROUTE).bigEndian)
        return [
            // struct nlmsghdr: the type is at 4.
            sock_filter(code: load16, jt: 0, jf: 0, k: 4),
            sock_filter(code: isEqual, jt: 1, jf: 0, k: UInt32(isNew)),
            sock_filter(code: isEqual, jt: 0, jf: 2, k: UInt32(isGone)),
            // struct rtmsg behind it: the TOS is its fourth byte.
            sock_filter(code: load8, jt: 0, jf: 0, k: 19),
            sock_filter(code: isEqual, jt: 1, jf: 0, k: 0),
            sock_filter(code: end, jt: 0, jf: 0, k: .max),
            sock_filter(code: end, jt: 0, jf: 0, k: 0),
        ]
    }
}

extension PolicyRules.ServiceRoute {
    /// Reads a route of a listing (RTM_NEWROUTE); nothing where it is for any type of service, as nearly all are.
    init?(_ message: NetlinkMessage) {
        let payload = message.payload
        guard payload.count >= 12, payload[3] != 0, let family = AddressFamily(rawValue: payload[0]),
            Int(payload[1]) <= family.bitCount
        else { return nil }
        let bytes = message.attributes(after: 12).raw(RTA_DST.rawValue)
        let address = IPAddress(networkOrder: bytes) ?? IPAddress(family: family, value: 0)
        self.init(
            IPNetwork(containing: address, prefixLength: Int(payload[1])), typeOfService: payload[3])
    }
}
