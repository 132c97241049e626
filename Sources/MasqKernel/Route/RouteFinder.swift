// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// Answers by which link a flow's next packet leaves, with the kernel's own routing decision.
///
/// Many flows share a source or a destination, so answers are kept for as long as one examination takes.
public struct RouteFinder: ~Copyable {
    private var conversation: NetlinkConversation
    private var answers: [RouteQuestion: RouteAnswer] = [:]

    /// More different questions than this are asked again, so that memory stays bounded.
    private static let maximumAnswers = 4096

    /// Opens the socket in the calling thread's network namespace.
    ///
    /// - Throws: ``NetlinkError``.
    public init() throws(NetlinkError) {
        try self.init(NetlinkConversation(bus: CInt(NETLINK_ROUTE), name: "rtnetlink"))
    }

    private init(_ conversation: consuming NetlinkConversation) {
        self.conversation = conversation
    }

    /// Forgets every answer: routes may have changed.
    public mutating func forget() { answers = [:] }

    /// The index of the link by which a forwarded flow's next packet leaves; nothing where there is no way, or it
    /// depends on more than the kernel is asked here: on marks, and on a choice of several ways.
    ///
    /// The question is asked as for a packet that comes in by the link that leads to the flow's source.
    public mutating func outputLink(of flow: Flow) throws(NetlinkError) -> Int32? {
        guard let input = try answer(RouteQuestion(to: flow.source)).links.first else { return nil }
        return try answer(RouteQuestion(to: flow.destination, from: flow.source, inputLink: input)).links
            .first
    }

    /// The route of a packet.
    ///
    /// - Throws: ``NetlinkError``; that there is no way is an answer.
    public mutating func answer(_ question: RouteQuestion) throws(NetlinkError) -> RouteAnswer {
        if let known = answers[question] { return known }
        if answers.count >= Self.maximumAnswers { answers = [:] }
        let answer = try ask(question)
        answers[question] = answer
        return answer
    }

    private mutating func ask(_ question: RouteQuestion) throws(NetlinkError) -> RouteAnswer {
        var answer = RouteAnswer()
        do {
            try conversation.ask("a route", question.write) { answer = RouteAnswer($0) ?? answer }
        } catch  where error.operation == .dump && !error.isTransient {
            return RouteAnswer()  // ENETUNREACH, EHOSTUNREACH, EXDEV (rp_filter) …: there is no way
        }
        return answer
    }

    /// What kind of link it is (`IFLA_INFO_KIND`), such as "bridge"; nothing for most.
    mutating func kind(ofLink index: Int32) throws(NetlinkError) -> String? {
        var kind: String?
        let question = { (request: inout MessageWriter, sequence: UInt32) in
            request.beginMessage(
                type: UInt16(RTM_GETLINK), flags: UInt16(NLM_F_REQUEST), sequence: sequence)
            // struct ifinfomsg: family, padding, type; index; flags and which of them, 4 bytes each.
            request.append(UInt32(0))
            request.append(index)
            request.append(UInt64(0))
        }
        do {
            try conversation.ask("a link", question) { message in
                let information = message.attributes(after: 16).first { $0.type == UInt16(IFLA_LINKINFO) }
                kind = information?.nested.first { $0.type == UInt16(IFLA_INFO_KIND) }?.string
            }
        } catch  where error.operation == .dump && !error.isTransient {
            return nil  // ENODEV
        }
        return kind
    }
}

extension RouteQuestion {
    /// Writes the question (RTM_GETROUTE), which is about the route as a table has it (RTM_F_FIB_MATCH, since 4.13): of several
    /// ways all, and not the one that a hash chooses.
    fileprivate func write(to request: inout MessageWriter, _ sequence: UInt32) {
        request.beginMessage(
            type: UInt16(RTM_GETROUTE), flags: UInt16(NLM_F_REQUEST), sequence: sequence)
        // struct rtmsg: family, destination and source prefix lengths, TOS; table, protocol, scope, type; flags 4 bytes.
        let length = UInt8(destination.family.bitCount)
        request.append(
            padding: [destination.family.rawValue, length, source == nil ? 0 : length, typeOfService])
        request.append(UInt32(0))
        request.append(UInt32(RTM_F_FIB_MATCH))
        request.attribute(Int(RTA_DST.rawValue), destination.networkOrder)
        if let source { request.attribute(Int(RTA_SRC.rawValue), source.networkOrder) }
        if inputLink != 0 {
            request.attribute(Int(RTA_IIF.rawValue), native: UInt32(bitPattern: inputLink))
            // Packets that are forwarded are user 0's. A question about one is nobody's in IPv6 unless it says so
            // (`inet6_rtm_getroute` in net/ipv6/route.c).
            request.attribute(Int(RTA_UID.rawValue), native: 0)
        }
        if outputLink != 0 {
            request.attribute(Int(RTA_OIF.rawValue), native: UInt32(bitPattern: outputLink))
        }
        if mark != 0 { request.attribute(Int(RTA_MARK.rawValue), native: mark) }
        guard transport != 0 else { return }
        request.attribute(Int(RTA_IP_PROTO.rawValue), [transport])
        // ICMP has none, and the kernel refuses them for it.
        guard sourcePort != 0 || destinationPort != 0 else { return }
        for (type, port) in [(RTA_SPORT, sourcePort), (RTA_DPORT, destinationPort)] {
            request.attribute(Int(type.rawValue), [UInt8(port >> 8), UInt8(truncatingIfNeeded: port)])
        }
    }
}

extension RouteAnswer {
    /// Reads an answer (RTM_NEWROUTE); nothing where it is none.
    ///
    /// What ends at this machine, or is unreachable, leaves by no link; nor does what only a nexthop object says.
    init?(_ message: NetlinkMessage) {
        guard message.type == UInt16(RTM_NEWROUTE), message.payload.count >= 12 else { return nil }
        let routes = Route.all(in: message)
        self.init()
        guard let first = routes.first else { return }
        var links: [Int32] = []
        for route in routes where !links.contains(route.link) { links.append(route.link) }
        self.init(
            links: links, table: first.table, prefixLength: first.destination.prefixLength,
            isOnLink: routes.allSatisfy { $0.gateway == nil })
    }
}
