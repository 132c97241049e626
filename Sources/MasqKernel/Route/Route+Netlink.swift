// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

extension Route {
    /// The routes in a message of a listing (RTM_NEWROUTE): none where no packet leaves by it, several of a multipath.
    static func all(in message: NetlinkMessage) -> [Route] {
        // struct rtmsg: family, destination and source prefix lengths, TOS; table, protocol, scope, type; flags 4 bytes.
        let payload = message.payload
        guard payload.count >= 12, let family = AddressFamily(rawValue: payload[0]),
            payload[7] == UInt8(RTN_UNICAST), Int(payload[1]) <= family.bitCount
        else { return [] }
        let flags = payload.loadUnaligned(fromByteOffset: 8, as: UInt32.self)
        guard flags & UInt32(RTM_F_CLONED) == 0 else { return [] }

        var metric: UInt32 = 0
        var table = UInt32(payload[4])
        var hop = NextHop(flags: flags)
        var hops: [NextHop] = []
        let attributes = message.attributes(after: 12)
        for attribute in attributes {
            switch UInt32(attribute.type) {
            case RTA_PRIORITY.rawValue: metric = attribute.native32
            case RTA_TABLE.rawValue: table = attribute.native32
            case RTA_MULTIPATH.rawValue: hops += NextHop.all(attribute.bytes)
            default: hop.read(attribute)
            }
        }
        guard let network = destination(attributes, family, prefixLength: Int(payload[1])) else { return [] }
        return (hops.isEmpty ? [hop] : hops).filter(\.isAlive).map {
            var route = Route(
                network, link: $0.link, gateway: $0.gateway, metric: metric, table: table,
                isConnected: payload[5] == UInt8(RTPROT_KERNEL))
            route.isOnLink = $0.flags & UInt32(RTNH_F_ONLINK) != 0
            return route
        }
    }

    /// Where the route leads: a default route says nothing about it.
    private static func destination(
        _ attributes: Attributes, _ family: AddressFamily, prefixLength: Int
    ) -> IPNetwork? {
        guard prefixLength > 0 else {
            return IPNetwork(containing: IPAddress(family: family, value: 0), prefixLength: 0)
        }
        let bytes = attributes.raw(RTA_DST.rawValue)
        guard let address = IPAddress(networkOrder: bytes), address.family == family else { return nil }
        return IPNetwork(containing: address, prefixLength: prefixLength)
    }
}

/// One way of a route: a link, and the router on it.
private struct NextHop {
    let flags: UInt32
    var link: Int32 = 0
    var gateway: IPAddress?

    init(flags: UInt32) { self.flags = flags }

    var isAlive: Bool { link != 0 && flags & UInt32(RTNH_F_DEAD) == 0 }

    mutating func read(_ attribute: Attribute) {
        switch UInt32(attribute.type) {
        case RTA_OIF.rawValue: link = Int32(bitPattern: attribute.native32)
        case RTA_GATEWAY.rawValue: gateway = IPAddress(networkOrder: attribute.bytes)
        // struct rtvia: a family of two bytes, then an address of that family, which may be another than the route's.
        case RTA_VIA.rawValue: gateway = IPAddress(networkOrder: attribute.bytes.dropFirst(2))
        default: break
        }
    }

    /// The ways of a multipath route, each a struct rtnexthop with attributes behind it.
    static func all(_ bytes: UnsafeRawBufferPointer) -> [NextHop] {
        var hops: [NextHop] = []
        var rest = bytes
        // struct rtnexthop: length 2 bytes, flags 1, hops 1, index 4.
        while rest.count >= 8 {
            let length = Int(rest.loadUnaligned(as: UInt16.self))
            guard length >= 8, length <= rest.count else { break }
            var hop = NextHop(flags: UInt32(rest[2]))
            hop.link = rest.loadUnaligned(fromByteOffset: 4, as: Int32.self)
            for attribute in Attributes(UnsafeRawBufferPointer(rebasing: rest[8..<length])) {
                hop.read(attribute)
            }
            hops.append(hop)
            rest = UnsafeRawBufferPointer(rebasing: rest[min(aligned(length), rest.count)...])
        }
        return hops
    }
}

extension MessageWriter {
    /// Writes a request about a route of masqd's.
    mutating func write(_ route: Route, _ type: Int, flags: CInt, _ sequence: UInt32) {
        beginMessage(
            type: UInt16(type), flags: UInt16(NLM_F_REQUEST | NLM_F_ACK) | UInt16(flags), sequence: sequence)
        let family = route.destination.address.family
        let scope = route.gateway == nil ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE
        append(
            padding: [
                family.rawValue, UInt8(route.destination.prefixLength), 0, 0, 0, RoutingState.ownProtocol,
                UInt8(scope.rawValue), UInt8(RTN_UNICAST),
            ])
        append(UInt32(route.isOnLink ? RTNH_F_ONLINK : 0))
        if !route.isDefault { attribute(Int(RTA_DST.rawValue), route.destination.address.networkOrder) }
        if let gateway = route.gateway {
            if gateway.family == family {
                attribute(Int(RTA_GATEWAY.rawValue), gateway.networkOrder)
            } else {
                // struct rtvia: the family in two bytes, then the address.
                let family = withUnsafeBytes(of: UInt16(gateway.family.rawValue)) { Array($0) }
                attribute(Int(RTA_VIA.rawValue), family + gateway.networkOrder)
            }
        }
        attribute(Int(RTA_OIF.rawValue), native: UInt32(bitPattern: route.link))
        attribute(Int(RTA_PRIORITY.rawValue), native: route.metric)
        attribute(Int(RTA_TABLE.rawValue), native: route.table)
        endMessage()
    }
}
