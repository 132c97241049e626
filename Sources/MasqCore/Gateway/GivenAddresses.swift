// SPDX-License-Identifier: GPL-3.0-or-later

/// The addresses that masqd's rules have given to connections since this process began, as far as it knows.
///
/// A connection that has another one, which is none of the machine's, was translated by somebody else.
public struct GivenAddresses: Sendable {
    /// More are not remembered: a line that gets a new address each day is known for three years.
    private static let maximumCount = 1024

    private var targets: [NATTarget] = []
    /// What masquerade may have picked while an uplink had no address: any other one of the machine.
    private var fallbacks: Set<IPAddress> = []

    /// None.
    public init() {}

    /// Takes in what a configuration gives with the links as they are.
    public mutating func note(_ configuration: Configuration, _ links: Links) {
        for block in configuration.outbound {
            switch block.translation {
            case .routed: break
            case .masquerade:
                for address in addresses(of: block, links) {
                    add(.pool(address.family, AddressRange(first: address.value, last: address.value)))
                }
                noteFallbacks(of: block, links)
            case .snat(let snat):
                for case .fixed(let target) in snat.targets { add(target) }
                guard snat.target(.ipv6) == .uplinkPrefix,
                    let length = block.mappedSource(.ipv6)?.prefixLength
                else { continue }
                let own = snat.prefixFrom.map { links.named($0)?.addresses ?? [] }
                for address in own ?? addresses(of: block, links) where address.isGlobalUnicastIPv6 {
                    add(.network(IPNetwork(containing: address, prefixLength: length)))
                }
            }
        }
    }

    /// Whether a flow has one of them.
    public func contains(_ flow: Flow) -> Bool {
        fallbacks.contains(flow.translatedSource)
            || targets.contains { $0.allows(flow.translatedSource, for: flow.source) }
    }

    /// Takes in the addresses that masquerade picks from while the uplink is up and has none (`inet_select_addr` in
    /// net/ipv4/devinet.c, `ipv6_dev_get_saddr`).
    private mutating func noteFallbacks(of block: OutboundBlock, _ links: Links) {
        func usable(_ link: Link) -> Set<AddressFamily> {
            Set(link.addresses.filter { !$0.isLinkLocal }.map(\.family))
        }
        for family in AddressFamily.allCases where block.source.contains(where: { $0.family == family }) {
            let isWithout = links.byIndex.values.contains { link in
                link.isUp && !usable(link).contains(family)
                    && block.outInterfaces.contains { $0.matches(link.name) }
            }
            guard isWithout else { continue }
            let found = links.byIndex.values.flatMap(\.addresses).filter {
                $0.family == family && !$0.isLinkLocal
            }
            guard fallbacks.count + found.count <= Self.maximumCount else { return }
            fallbacks.formUnion(found)
        }
    }

    private func addresses(of block: OutboundBlock, _ links: Links) -> [IPAddress] {
        links.byIndex.values.filter { link in block.outInterfaces.contains { $0.matches(link.name) } }
            .flatMap(\.addresses)
    }

    private mutating func add(_ target: NATTarget) {
        guard !targets.contains(target) else { return }
        if targets.count == Self.maximumCount { targets.removeFirst() }
        targets.append(target)
    }
}
