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

    private mutating func dumpLinks() throws(NetlinkError) -> Links {
        var links = Links()
        // struct ifinfomsg: family 1 byte, padding 1, type 2, index 4, flags 4, change 4.
        try dump(RTM_GETLINK, headerLength: 16, "links") { message in
            let payload = message.payload
            guard payload.count >= 16 else { return }
            let index = payload.loadUnaligned(fromByteOffset: 4, as: Int32.self)
            let flags = payload.loadUnaligned(fromByteOffset: 8, as: UInt32.self)
            let name = message.attributes(after: 16).first { $0.type == UInt16(IFLA_IFNAME) }?.string ?? ""
            links.byIndex[index] = Link(index: index, name: name, isUp: flags & UInt32(IFF_UP) != 0)
        }
        // struct ifaddrmsg: family 1 byte, prefix length 1, flags 1, scope 1, index 4.
        try dump(RTM_GETADDR, headerLength: 8, "addresses") { message in
            let payload = message.payload
            guard payload.count >= 8 else { return }
            let index = payload.loadUnaligned(fromByteOffset: 4, as: Int32.self)
            var address: IPAddress?
            for attribute in message.attributes(after: 8) {
                // On a link with a peer IFA_ADDRESS is the peer's and IFA_LOCAL our own; IPv6 may have only the first.
                let isLocal = attribute.type == UInt16(IFA_LOCAL)
                guard isLocal || attribute.type == UInt16(IFA_ADDRESS) && address == nil else { continue }
                address = IPAddress(networkOrder: attribute.bytes)
            }
            if let address { links.byIndex[index]?.addresses.append(address) }
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
