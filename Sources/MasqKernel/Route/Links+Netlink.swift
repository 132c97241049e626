// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import MasqCore

extension Links {
    /// Takes in one link of a listing (RTM_NEWLINK).
    mutating func read(link message: NetlinkMessage) {
        // struct ifinfomsg: family 1 byte, padding 1, type 2, index 4, flags 4, change 4.
        let payload = message.payload
        guard payload.count >= 16 else { return }
        let index = payload.loadUnaligned(fromByteOffset: 4, as: Int32.self)
        let flags = payload.loadUnaligned(fromByteOffset: 8, as: UInt32.self)
        var link = Link(index: index, name: "", isUp: flags & UInt32(IFF_UP) != 0)
        link.resolvesNeighbours = flags & UInt32(IFF_NOARP | IFF_POINTOPOINT) == 0
        link.isPPP = payload.loadUnaligned(fromByteOffset: 2, as: UInt16.self) == UInt16(ARPHRD_PPP)
        var (sendsThroughLower, isElsewhere, isInVRF) = (false, false, false)
        var master: Int32?
        for attribute in message.attributes(after: 16) {
            switch Int(attribute.type) {
            case IFLA_IFNAME: link.name = InterfaceName(attribute.bytes)
            case IFLA_CARRIER: link.hasCarrier = attribute.bytes.first != 0
            case IFLA_MTU: link.mtu = Int(attribute.native32)
            case IFLA_LINK: link.lowerIndex = Int32(bitPattern: attribute.native32)
            case IFLA_MASTER: master = Int32(bitPattern: attribute.native32)
            case IFLA_LINK_NETNSID: isElsewhere = true
            case IFLA_LINKINFO:
                // Others mean something else by IFLA_LINK: a veth its peer, a tunnel the way of its own packets.
                let kind = attribute.nested.first { $0.type == UInt16(IFLA_INFO_KIND) }?.string
                isInVRF = attribute.nested.first { $0.type == UInt16(IFLA_INFO_SLAVE_KIND) }?.string == "vrf"
                sendsThroughLower = kind == "vlan" || kind == "dsa"
            default: break
            }
        }
        if !sendsThroughLower || isElsewhere { link.lowerIndex = nil }
        if isInVRF { link.vrf = master }
        byIndex[index] = link
    }

    /// Takes in one address of a listing (RTM_NEWADDR), behind its link.
    mutating func read(address message: NetlinkMessage) {
        // struct ifaddrmsg: family 1 byte, prefix length 1, flags 1, scope 1, index 4.
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
        guard let address else { return }
        byIndex[index]?.addresses.append(address)
        let flags = UInt32(payload[2])
        let isUnique = flags & UInt32(IFA_F_TENTATIVE) == 0 || flags & UInt32(IFA_F_OPTIMISTIC) != 0
        if payload[3] != UInt8(RT_SCOPE_UNIVERSE.rawValue) || !isUnique {
            byIndex[index]?.unselectable.insert(address)
        }
        if address.family == .ipv6, flags & UInt32(IFA_F_DEPRECATED) != 0 {
            byIndex[index]?.deprecated.insert(address)
        }
    }
}
