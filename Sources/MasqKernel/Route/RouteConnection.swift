// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// The rtnetlink socket that questions go out by, open for the daemon's life.
public struct RouteConnection: ~Copyable {
    private let socket: NetlinkSocket
    private let buffer: UnsafeMutableRawBufferPointer
    private var sequence: UInt32 = 0

    /// How often a listing that somebody disturbed is begun again before that counts as a failure.
    private static let maximumAttempts = 20

    /// Opens the socket in the calling thread's network namespace.
    ///
    /// - Throws: ``NetlinkError``.
    public init() throws(NetlinkError) {
        socket = try NetlinkSocket(bus: CInt(NETLINK_ROUTE), name: "rtnetlink")
        buffer = .allocate(byteCount: 65536, alignment: 16)
    }

    deinit { buffer.deallocate() }

    /// Lists every link with its addresses.
    ///
    /// - Throws: ``NetlinkError``; a listing that was disturbed is repeated first.
    public mutating func links() throws(NetlinkError) -> Links {
        for _ in 1..<Self.maximumAttempts {
            do { return try dumpLinks() } catch  where error.isTransient { continue }
        }
        return try dumpLinks()
    }

    /// Lists every unicast route of every table, IPv4's and IPv6's; of a multipath route every way that is alive.
    ///
    /// A router that has the whole Internet's routes has a million of them: nothing for a daemon's loop.
    ///
    /// - Throws: ``NetlinkError``; a listing that was disturbed is repeated first.
    public mutating func routes() throws(NetlinkError) -> [Route] {
        for _ in 1..<Self.maximumAttempts {
            do { return try dumpRoutes() } catch  where error.isTransient { continue }
        }
        return try dumpRoutes()
    }

    private mutating func dumpRoutes() throws(NetlinkError) -> [Route] {
        var routes: [Route] = []
        try dump(RTM_GETROUTE, headerLength: 12, "routes") { routes += Route.all(in: $0) }
        return routes
    }

    private mutating func dumpLinks() throws(NetlinkError) -> Links {
        var links = Links()
        try dump(RTM_GETLINK, headerLength: 16, "links") { links.read(link: $0) }
        try dump(RTM_GETADDR, headerLength: 8, "addresses") { links.read(address: $0) }
        if links.byIndex.values.contains(where: \.isPPP) {
            let names = Set(PPPoESessions.linkNames())
            links.underPPPoE = Set(links.byIndex.values.filter { names.contains($0.name) }.map(\.index))
        }
        return links
    }

    private mutating func dump(
        _ type: Int, headerLength: Int, _ object: String, _ handle: (NetlinkMessage) -> Void
    ) throws(NetlinkError) {
        sequence = sequence == .max ? 1 : sequence + 1
        var request = MessageWriter(capacity: 64)
        let flags = UInt16(NLM_F_REQUEST) | UInt16(NLM_F_DUMP)
        request.beginMessage(type: UInt16(type), flags: flags, sequence: sequence)
        request.append(padding: [UInt8](repeating: 0, count: headerLength))  // every family, no filter
        request.endMessage()
        try socket.dump(request, sequence: sequence, object: object, buffer: buffer) {
            (message) throws(NetlinkError) in handle(message)
        }
    }
}
