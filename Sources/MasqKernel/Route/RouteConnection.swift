// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// The rtnetlink socket that questions go out by, open for the daemon's life.
public struct RouteConnection: ~Copyable {
    private var conversation: NetlinkConversation

    /// Opens the socket in the calling thread's network namespace.
    ///
    /// - Throws: ``NetlinkError``.
    public init() throws(NetlinkError) {
        conversation = try NetlinkConversation(bus: CInt(NETLINK_ROUTE), name: "rtnetlink")
    }

    /// Lists every link with its addresses.
    ///
    /// - Throws: ``NetlinkError``; a listing that was disturbed is repeated first.
    public mutating func links() throws(NetlinkError) -> Links {
        try retrying { () throws(NetlinkError) in try listLinks() }
    }

    /// Lists every unicast route of every table, IPv4's and IPv6's; of a multipath route every way that is alive.
    ///
    /// A router that has the whole Internet's routes has a million of them: nothing for a daemon's loop.
    ///
    /// - Throws: ``NetlinkError``; a listing that was disturbed is repeated first.
    public mutating func routes() throws(NetlinkError) -> [Route] {
        try retrying { () throws(NetlinkError) in
            var routes: [Route] = []
            try list(RTM_GETROUTE, headerLength: 12, "routes") { routes += Route.all(in: $0) }
            return routes
        }
    }

    private mutating func listLinks() throws(NetlinkError) -> Links {
        var links = Links()
        try list(RTM_GETLINK, headerLength: 16, "links") { links.read(link: $0) }
        try list(RTM_GETADDR, headerLength: 8, "addresses") { links.read(address: $0) }
        links.findPPPoE()
        return links
    }

    private mutating func list(
        _ type: Int, headerLength: Int, _ object: String, _ handle: (NetlinkMessage) -> Void
    ) throws(NetlinkError) {
        let write = { (request: inout MessageWriter, sequence: UInt32) in
            let flags = UInt16(NLM_F_REQUEST) | UInt16(NLM_F_DUMP)
            request.beginMessage(type: UInt16(type), flags: flags, sequence: sequence)
            request.append(padding: [UInt8](repeating: 0, count: headerLength))  // every family, no filter
        }
        try conversation.ask(object, write, handle)
    }
}
