// SPDX-License-Identifier: GPL-3.0-or-later

extension Ruleset {
    /// Brings the sets that follow the links and the default routes up to date; everything else stays, and costs nothing.
    ///
    /// Rules match interfaces by name and wait for none of them. But what speaks of an uplink's present address has to
    /// know the links as they are.
    public mutating func follow(_ links: Links, _ defaults: DefaultRoutes = DefaultRoutes()) {
        flowtable?.follow(links)
        for index in sets.indices {
            guard let source = sets[index].source else { continue }
            sets[index].elements = source.elements(links, defaults)
        }
    }
}

/// What a set that follows the links is made of.
public enum LinkSource: Equatable, Sendable {
    /// For each address of a link the chain of the first pattern that means the link.
    case chainsByAddress(AddressFamily, [ChainOfLinks])
    /// `iifname . oifname`: each link beside itself that has an address, but those that a pattern means.
    case linksBesideThemselves(but: [InterfacePattern])

    /// For each link that a pattern means its IPv6 network of this length: `ifname : interval ipv6_addr`.
    ///
    /// With `from` that link's network stands for those of all.
    case prefixByLink([InterfacePattern], length: Int, from: InterfaceName?)
    /// The IPv6 networks of this length of the links that a pattern means, or of the one link.
    case prefixes([InterfacePattern], length: Int, from: InterfaceName?)

    /// The indexes of the links that a pattern means, and that have no address to masquerade to.
    case withoutAddress(AddressFamily, [InterfacePattern], hidden: AddressRanges)
    /// The indexes of the links that a default route leaves by, a reserve's too.
    case carryingDefaultRoute(AddressFamily)

    /// The chain for links.
    public struct ChainOfLinks: Equatable, Sendable {
        /// Which links.
        public let pattern: InterfacePattern
        /// The chain's name.
        public let chain: String
    }

    /// The elements for the links as they are.
    func elements(_ links: Links, _ defaults: DefaultRoutes = DefaultRoutes()) -> Ruleset.Elements {
        switch self {
        case .chainsByAddress(let family, let chains):
            var jumps: [IPAddress: String] = [:]
            for link in links.byIndex.values.sorted(by: { $0.index < $1.index }) {
                guard let chain = chains.first(where: { $0.pattern.matches(link.name) })?.chain else {
                    continue
                }
                for address in link.addresses where address.family == family && !address.isLinkLocal {
                    jumps[address] = jumps[address] ?? chain
                }
            }
            return .addressJumps(family, jumps)
        case .prefixByLink(let patterns, let length, let from):
            var networks = PackedElements.List()
            for (name, network) in Self.prefixes(links, patterns, length, from) {
                let ends = [network.range.first, network.range.last].map {
                    FieldValue.address(IPAddress(family: .ipv6, value: $0))
                }
                networks.append([.interface(name)], data: ends)
            }
            return .entries(PackedElements(Self.prefixType, networks))
        case .prefixes(let patterns, let length, let from):
            let networks = Self.prefixes(links, patterns, length, from).map(\.network)
            return .addresses(AddressRanges(family: .ipv6, networks: networks))
        case .withoutAddress(let family, let patterns, let hidden):
            let source = MasqueradeSource(links: links, family: family, hidden: hidden)
            let without = links.byIndex.values.filter { link in
                // A link that is down lets nothing out; on PPP it gets its address then, and its first packet must not wait.
                link.isUp && patterns.contains { $0.matches(link.name) } && source.isMissing(on: link)
            }
            return Self.indexes(without.map(\.index))
        case .carryingDefaultRoute(let family): return Self.indexes(defaults.links(family))
        case .linksBesideThemselves(let excluded):
            var pairs = PackedElements.List()
            for link in links.byIndex.values where !link.addresses.allSatisfy(\.isLinkLocal) {
                guard link.name != "lo", !excluded.contains(where: { $0.matches(link.name) }) else {
                    continue
                }
                pairs.append([.interface(link.name), .interface(link.name)])
            }
            return .entries(PackedElements(ElementType(key: [.interfaceName, .interfaceName]), pairs))
        }
    }

    private static func indexes(_ indexes: some Sequence<Int32>) -> Ruleset.Elements {
        var list = PackedElements.List()
        for index in indexes { list.append([.interfaceIndex(index)]) }
        return .entries(PackedElements(ElementType(key: [.interfaceIndex]), list))
    }

    private static let prefixType = ElementType(
        key: [.interfaceName], data: [.ipv6Address], isDataInterval: true)

    private static func prefixes(
        _ links: Links, _ patterns: [InterfacePattern], _ length: Int, _ from: InterfaceName?
    ) -> [(name: InterfaceName, network: IPNetwork)] {
        links.byIndex.values.compactMap { link in
            guard patterns.contains(where: { $0.matches(link.name) }) else { return nil }
            return links.prefix(of: link, from: from, length: length).map { (link.name, $0) }
        }
    }
}
