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
        let socket = try namespace.run { try NetlinkSocket(bus: CInt(NETLINK_ROUTE), name: "rtnetlink") }
        socket.checkStrictly()
        var request = MessageWriter()
        let flags = UInt16(NLM_F_REQUEST) | UInt16(NLM_F_DUMP)
        request.beginMessage(type: UInt16(RTM_GETROUTE), flags: flags, sequence: 1)
        request.append(padding: [UInt8(AF_INET), 0, 0, 0, 0, 0, scope, 0, 0, 0, 0, 0])
        request.attribute(Int(RTA_TABLE.rawValue), native: table)
        request.endMessage()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65536, alignment: 16)
        defer { buffer.deallocate() }
        do {
            try socket.dump(request, sequence: 1, object: "routes", buffer: buffer) {
                (_) throws(NetlinkError) in
            }
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
        let socket = try namespace.run { try NetlinkSocket(bus: CInt(NETLINK_ROUTE), name: "rtnetlink") }
        try socket.overflow()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65536, alignment: 16)
        defer { buffer.deallocate() }
        func addresses(_ sequence: UInt32) throws(NetlinkError) -> Int {
            var request = MessageWriter()
            let flags = UInt16(NLM_F_REQUEST) | UInt16(NLM_F_DUMP)
            request.beginMessage(type: UInt16(RTM_GETADDR), flags: flags, sequence: sequence)
            request.append(padding: [UInt8(AF_INET), 0, 0, 0, 0, 0, 0, 0])
            request.endMessage()
            var count = 0
            try socket.dump(request, sequence: sequence, object: "addresses", buffer: buffer) {
                (_) throws(NetlinkError) in count += 1
            }
            return count
        }
        do {
            _ = try addresses(2)
            Issue.record("nothing was lost")
        } catch {
            #expect(error.code == ENOBUFS)
        }
        #expect(try addresses(3) == 2001)
    }
}
