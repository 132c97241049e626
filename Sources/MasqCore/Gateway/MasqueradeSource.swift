// SPDX-License-Identifier: GPL-3.0-or-later

/// Foresees the address that the kernel masquerades to (`inet_select_addr` in net/ipv4/devinet.c, `ipv6_dev_get_saddr` in
/// net/ipv6/addrconf.c).
///
/// An address of the link itself wins, then one of the VRF that it is in. Where there is neither, the kernel takes any other
/// link's: the private network's.
struct MasqueradeSource {
    let links: Links
    let family: AddressFamily
    /// The sources that must not be seen outside.
    let hidden: AddressRanges

    /// Takes the sources that a configuration hides.
    init(_ configuration: Configuration, _ links: Links, _ family: AddressFamily) {
        let sources = configuration.outbound.filter(\.translation.hidesSource).flatMap(\.source)
        self.init(
            links: links, family: family, hidden: AddressRanges(family: family, networks: sources))
    }

    init(links: Links, family: AddressFamily, hidden: AddressRanges) {
        (self.links, self.family, self.hidden) = (links, family, hidden)
    }

    /// Whether what is masqueraded to a link could leave with an address of the private networks.
    ///
    /// An uplink's own address may well be private: then another router translates again. Without one it is right to borrow
    /// where all that could be borrowed is public, as on a link without numbers.
    func isMissing(on link: Link) -> Bool {
        if hasOwn(link) { return false }
        let own = selectable(link)
        // Here the kernel looks no further (`ipv6_get_saddr_master`).
        if let vrf = link.vrf {
            if let vrf = links.byIndex[vrf], !selectable(vrf).isEmpty { return false }
            if !own.isEmpty { return false }
        }
        var (preferred, deprecated): ([IPAddress], [IPAddress]) = ([], [])
        for other in links.byIndex.values where other.index != link.index && other.vrf == link.vrf {
            for address in selectable(other) {
                if other.deprecated.contains(address) {
                    deprecated.append(address)
                } else {
                    preferred.append(address)
                }
            }
        }
        if !preferred.isEmpty { return preferred.contains(where: hidden.contains) }
        return own.isEmpty && (deprecated.isEmpty || deprecated.contains(where: hidden.contains))
    }

    /// Whether a link has an address of its own that the kernel prefers to any other link's.
    func hasOwn(_ link: Link) -> Bool { selectable(link).contains { !link.deprecated.contains($0) } }

    private func selectable(_ link: Link) -> [IPAddress] {
        link.addresses.filter {
            $0.family == family && !link.unselectable.contains($0) && !$0.isLinkLocal && $0.scope != .loopback
        }
    }
}
