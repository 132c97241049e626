// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore
import TestSupport
import Testing

@testable import MasqKernel

/// How a listing ends: the reason is in its end mark, and one that failed is not taken for an empty one.
@Suite struct ListingEndTests {
    @Test(
        "A routing table that is not there, and a field that the kernel does not take, are told",
        arguments: [(UInt32(4711), UInt8(0), ENOENT), (254, 1, EINVAL)])
    func fails(table: UInt32, scope: UInt8, code: CInt) throws {
        let namespace = try NetworkNamespace()
        var conversation = try namespace.run {
            try NetlinkConversation(bus: CInt(NETLINK_ROUTE), name: "rtnetlink")
        }
        conversation.socket.checkStrictly()
        let write = { (request: inout MessageWriter, sequence: UInt32) in
            let flags = UInt16(NLM_F_REQUEST) | UInt16(NLM_F_DUMP)
            request.beginMessage(type: UInt16(RTM_GETROUTE), flags: flags, sequence: sequence)
            request.append(padding: [UInt8(AF_INET), 0, 0, 0, 0, 0, scope, 0, 0, 0, 0, 0])
            request.attribute(Int(RTA_TABLE.rawValue), native: table)
        }
        do {
            try conversation.ask("routes", write) { _ in }
            Issue.record("nothing was thrown")
        } catch {
            #expect(error == NetlinkError(.dump, code: code, object: "routes"))
        }
    }

    @Test("After lost messages the next listing begins, and is complete")
    func overflow() throws {
        let namespace = try NetworkNamespace()
        let commands = (0..<2000).map { "addr add 10.0.\($0 / 250).\($0 % 250 + 1)/32 dev lo\n" }.joined()
        try Command("ip", "-batch", "-").run(in: namespace, input: commands).expectSuccess()
        var conversation = try namespace.run {
            try NetlinkConversation(bus: CInt(NETLINK_ROUTE), name: "rtnetlink")
        }
        try conversation.socket.overflow()
        let write = { (request: inout MessageWriter, sequence: UInt32) in
            let flags = UInt16(NLM_F_REQUEST) | UInt16(NLM_F_DUMP)
            request.beginMessage(type: UInt16(RTM_GETADDR), flags: flags, sequence: sequence)
            request.append(padding: [UInt8(AF_INET), 0, 0, 0, 0, 0, 0, 0])
        }
        do {
            try conversation.ask("addresses", write) { _ in }
            Issue.record("nothing was lost")
        } catch {
            #expect(error.code == ENOBUFS)
        }
        var count = 0
        try conversation.ask("addresses", write) { _ in count += 1 }
        #expect(count == 2001)
    }
}
