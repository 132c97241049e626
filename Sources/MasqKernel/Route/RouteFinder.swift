// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// Answers by which link a flow's next packet leaves, with the kernel's own routing decision.
///
/// Many flows share a source or a destination, so answers are kept for as long as one examination takes.
public struct RouteFinder: ~Copyable {
    private var conversation: NetlinkConversation
    private var answers: [Question: Int32?] = [:]

    /// More different questions than this are asked again, so that memory stays bounded.
    private static let maximumAnswers = 4096

    private struct Question: Hashable {
        var destination: IPAddress
        var source: IPAddress?
        var inputLink: Int32
        var mark: UInt32

        func write(to request: inout MessageWriter, _ sequence: UInt32) {
            let flags = UInt16(NLM_F_REQUEST)
            request.beginMessage(type: UInt16(RTM_GETROUTE), flags: flags, sequence: sequence)
            // struct rtmsg: family, destination and source prefix lengths, TOS; table, protocol, scope, type; flags 4 bytes.
            let length = UInt8(destination.family.bitCount)
            request.append(padding: [destination.family.rawValue, length, source == nil ? 0 : length, 0])
            request.append(padding: [UInt8](repeating: 0, count: 8))
            request.attribute(Int(RTA_DST.rawValue), destination.networkOrder)
            if let source {
                request.attribute(Int(RTA_SRC.rawValue), source.networkOrder)
                request.attribute(Int(RTA_IIF.rawValue), native: UInt32(bitPattern: inputLink))
            }
            if mark != 0 { request.attribute(Int(RTA_MARK.rawValue), native: mark) }
        }
    }

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

    /// The index of the link by which a forwarded flow's next packet leaves; nothing where there is no way.
    ///
    /// The question is asked as for a packet that comes in by the link that leads to the flow's source.
    ///
    /// - Parameter mark: the packet's mark, by which rules of policy routing choose; other marks than masqd's are not known.
    public mutating func outputLink(of flow: Flow, mark: UInt32 = 0) throws(NetlinkError) -> Int32? {
        let back = Question(destination: flow.source, source: nil, inputLink: 0, mark: 0)
        guard let input = try answer(back) else { return nil }
        return try answer(
            Question(destination: flow.destination, source: flow.source, inputLink: input, mark: mark))
    }

    private mutating func answer(_ question: Question) throws(NetlinkError) -> Int32? {
        if let known = answers[question] { return known }
        if answers.count >= Self.maximumAnswers { answers = [:] }
        let answer = try ask(question)
        answers[question] = .some(answer)
        return answer
    }

    private mutating func ask(_ question: Question) throws(NetlinkError) -> Int32? {
        var link: Int32?
        do {
            try conversation.ask("a route", question.write) { link = $0.outputLink ?? link }
        } catch  where error.operation == .dump && !error.isTransient {
            return nil  // ENETUNREACH, EHOSTUNREACH, EXDEV (rp_filter) …: there is no way
        }
        return link
    }
}

extension NetlinkMessage {
    /// The index of the link that a route (RTM_NEWROUTE) leads out of; nothing where it leads nowhere.
    var outputLink: Int32? {
        // RTN_UNICAST: what ends at this machine, or is unreachable, leaves by no link.
        let payload = payload
        guard payload.count >= 12, payload[7] == UInt8(RTN_UNICAST) else { return nil }
        return attributes(after: 12).first { $0.type == UInt16(RTA_OIF.rawValue) }
            .map { Int32(bitPattern: $0.native32) }
    }
}
