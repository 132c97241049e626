// SPDX-License-Identifier: GPL-3.0-or-later

/// The way of a packet from the inside into the Internet, as the kernel decides about it.
///
/// It is asked for, not sent: rules of policy routing and the checks of the reverse path are in the answer.
public struct Way: Equatable, Sendable {
    /// The number of the block in the configuration that masquerades it, from 0.
    public var block: Int
    /// The network that the packet comes from.
    public var inside: IPNetwork
    /// The link that the network is behind.
    public var insideLink: Int32
    /// An address of that network which is not the gateway's own.
    public var source: IPAddress
    /// The index of the link that it leaves by; absent where there is no way, or nobody has asked yet.
    public var outputLink: Int32?

    /// Makes a way.
    public init(
        block: Int, inside: IPNetwork, insideLink: Int32, source: IPAddress, outputLink: Int32? = nil
    ) {
        self.block = block
        self.inside = inside
        self.insideLink = insideLink
        self.source = source
        self.outputLink = outputLink
    }

    /// A flow whose route is the way.
    public var flow: Flow {
        Flow(source: source, destination: .internet(source.family), translatedSource: source)
    }

    /// The ways worth asking for: one for each block and each network behind the gateway that it masquerades.
    ///
    /// - Parameter limit: so many blocks and networks are enough to find out what is wrong.
    public static func questions(
        _ configuration: Configuration, _ links: Links, _ routes: [Route], limit: Int = 64
    ) -> [Way] {
        let inside = InsideNetworks(configuration, links, routes).networks
        var ways: [Way] = []
        for (number, block) in configuration.outbound.enumerated() {
            for network in inside {
                let sources = AddressRanges(family: network.destination.family, networks: block.source)
                guard ways.count < limit, let source = network.client(in: sources, links) else { continue }
                ways.append(
                    Way(
                        block: number, inside: network.destination, insideLink: network.link, source: source))
            }
        }
        return ways
    }
}

extension IPAddress {
    /// An address that only a default route leads to: a root name server's. Nothing is ever sent there.
    ///
    /// a.root-servers.net, which has had both for twenty years.
    static func internet(_ family: AddressFamily) -> IPAddress {
        switch family {
        // 198.41.0.4
        case .ipv4: IPAddress(family: .ipv4, value: 198 << 24 | 41 << 16 | 4)
        // 2001:503:ba3e::2:30
        case .ipv6: IPAddress(family: .ipv6, value: 0x2001_0503_ba3e << 80 | 2 << 16 | 0x30)
        }
    }
}

/// The networks behind the gateway: what its links that are no uplinks lead to.
///
/// A link that one block translates to may have the clients of another block: a VPN's server, a DMZ. It counts where
/// no default route leads out of it.
struct InsideNetworks {
    let networks: [Route]

    init(_ configuration: Configuration, _ links: Links, _ routes: [Route]) {
        let exits = Set(routes.filter(\.isDefault).map(\.link))
        networks = routes.filter { route in
            guard !route.isDefault, let link = links.byIndex[route.link], link.isUp else { return false }
            let scope = route.destination.address.scope
            guard scope != .linkLocal, scope != .loopback, !route.destination.isMulticast else {
                return false
            }
            let isUplink = configuration.outbound.contains {
                $0.outInterfaces.contains { $0.matches(link.name) }
            }
            guard isUplink else { return true }
            return !exits.contains(route.link)
                && configuration.outbound.contains { block in
                    !block.outInterfaces.contains { $0.matches(link.name) }
                        && block.source.contains { $0.overlaps(route.destination) }
                }
        }
    }
}

extension IPNetwork {
    /// 224.0.0.0/4 (RFC 5771) or ff00::/8 (RFC 4291, 2.7): the kernel has a route for it on every link.
    fileprivate var isMulticast: Bool {
        switch family {
        case .ipv4: prefixLength >= 4 && address.value >> 28 == 0xe
        case .ipv6: prefixLength >= 8 && address.value >> 120 == 0xff
        }
    }
}

extension Route {
    /// The lowest address of the network that a client may have, and that is in these ranges too.
    fileprivate func client(in ranges: AddressRanges, _ links: Links) -> IPAddress? {
        let network = destination.range
        let own = Set(links.byIndex.values.flatMap(\.addresses))
        for range in ranges.ranges where range.first <= network.last && range.last >= network.first {
            var value = max(range.first, network.first)
            let last = min(range.last, network.last)
            // Not the network's own address, nor the gateway's; more than a few in a row are not taken by it.
            for _ in 0..<8 where value <= last {
                let address = IPAddress(family: destination.family, value: value)
                let isNetwork = value == network.first && network.first != network.last
                if !isNetwork, !own.contains(address) { return address }
                guard value < last else { break }
                value += 1
            }
        }
        return nil
    }
}
