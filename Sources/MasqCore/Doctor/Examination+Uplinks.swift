// SPDX-License-Identifier: GPL-3.0-or-later

extension Examination {
    mutating func examineUplinks() {
        guard let configuration, let links = look(observations.links, "the uplinks") else { return }
        let uplinks = Uplink.all(of: configuration, links)
        if uplinks.isEmpty {
            let patterns = Set(configuration.outbound.flatMap(\.outInterfaces).map(\.description)).sorted()
            add(
                .wrong, "no link is called \(patterns.joined(separator: " or ")): nothing can leave",
                look: "ip -br link")
        }
        let routes = look(observations.routes, "the routes")
        let carriers = uplinks.filter { uplink in
            uplink.families.contains { uplink.carries($0, routes ?? []) }
        }
        for uplink in uplinks {
            // Where another one carries the traffic, this one may be a reserve.
            let isReserve = carriers.contains { $0.name != uplink.name }
            examine(uplink, among: uplinks, links, routes, isReserve ? .warning : .wrong)
        }
        let unnamed = UnnamedUplinks(configuration, links, DefaultRoutes(routes ?? []))
        // What was most likely meant by an uplink that is not there has been told with that one.
        let meant = uplinks.filter { $0.link == nil }.compactMap {
            Self.nearest(to: $0.name, links.byIndex.values.map(\.name))
        }
        // Where an uplink is up, what it lacks has been told, and where the route leads instead.
        let isUp = uplinks.contains { $0.link?.isUp == true && $0.link?.hasCarrier == true }
        let isInForce = observations.table.value.map(\.isThere) ?? true
        for claim in isUp ? [] : unnamed.claims(isInForce: isInForce, where: { !meant.contains($0) }) {
            add(configuration.forward.unnamedUplink == .drop ? .wrong : .warning, claim)
        }
        examineDelegations(UplinkStatus(configuration, links).delegations)
        examineSegmentSize(of: uplinks, links, configuration.mss)
    }

    private mutating func examine(
        _ uplink: Uplink, among uplinks: [Uplink], _ links: Links, _ routes: [Route]?,
        _ severity: Finding.Severity
    ) {
        let name = uplink.name
        let word = name.shellWord
        guard let link = uplink.link else {
            let leaving = exits(links, routes ?? [])
            let hint: String
            if let exit = leaving.first {
                hint = "; the default route leads out of \(exit), which is no out_interface of \(origin.name)"
            } else {
                let others = links.byIndex.values.map(\.name).filter {
                    $0 != "lo" && !isInside($0, links, routes)
                }
                let near = Self.nearest(to: name, others)
                hint = near.map { "; there is a link \($0)" } ?? ""
            }
            return add(severity, "\(name) is not there: nothing leaves by it\(hint)", look: "ip -br link")
        }
        guard link.isUp else {
            return add(severity, "\(name) is down: nothing leaves by it", type: "ip link set \(word) up")
        }
        guard link.hasCarrier else {
            let claim = "\(name) has no carrier: its cable, its modem or the far end is off"
            return add(severity, claim, look: "ip -s link show dev \(word)")
        }
        let lacking = uplink.masqueraded.filter { family in uplink.addresses(family).isEmpty }
        for family in lacking {
            let list = uplink.useless(family).map(\.description).joined(separator: ", ")
            add(
                lacking.count == uplink.families.count ? severity : .warning,
                list.isEmpty
                    ? "\(name) has no \(family.name) address: nothing can be masqueraded to it"
                    : "\(list) of \(name) is deprecated or tentative: nothing can be masqueraded to it",
                look: list.isEmpty ? "journalctl -b -g \(word)" : "ip address show dev \(word)")
        }
        for family in uplink.families where !lacking.contains(family) {
            if uplink.masqueraded.contains(family) {
                examineAddresses(of: uplink, family, routes ?? [])
            } else {
                add(.ok, "\(name) is up, and \(family.name) needs no address of it")
            }
            guard let routes else { continue }
            examineRoute(of: uplink, family, among: uplinks, routes)
        }
        if let routes { examineNeighbourhood(of: uplink, links, routes) }
    }

    /// A prefix that sources are mapped to, and that the provider has delegated to another link.
    private mutating func examineDelegations(_ delegations: [UplinkStatus.Delegation]) {
        for delegation in delegations {
            if delegation.network != nil {
                add(.ok, delegation.claim)
            } else {
                let name = delegation.name
                let claim = "\(name) has no address in 2000::/3: what is mapped to its prefix does not leave"
                add(.wrong, claim, look: "ip -6 address show dev \(name.shellWord)")
            }
        }
    }

    /// The name of a link that was most likely meant by another.
    private static func nearest(to name: InterfaceName, _ others: [InterfaceName]) -> InterfaceName? {
        let names = others.sorted()
        let nearest = Suggestion.nearest(to: "\(name)", among: names.map(\.description))
        return names.first { $0.description == nearest }
    }

    private mutating func examineAddresses(of uplink: Uplink, _ family: AddressFamily, _ routes: [Route]) {
        let addresses = uplink.addresses(family)
        let list = addresses.map(\.description).joined(separator: ", ")
        let name = uplink.name
        let scopes = addresses.map(\.scope)
        if scopes.contains(.global) { return add(.ok, "\(name) is up with \(list)") }
        guard !scopes.allSatisfy({ $0 == .linkLocal }) else {
            let claim = "\(name) has only \(list), which it gave itself: no DHCP server has answered it"
            return add(.wrong, claim, look: "journalctl -b -g \(name.shellWord)")
        }
        // Who lets nobody in from outside does not miss a public address.
        let isReached =
            configuration?.portForwards.contains { $0.inInterfaces.contains { $0.matches(name) } } ?? false
        if scopes.contains(.shared) {
            let claim = """
                \(name) is up with \(list), of 100.64.0.0/10: the provider translates again, and nothing \
                from outside gets here; only they can give a public address (RFC 6598)
                """
            return add(isReached ? .warning : .hint, claim)
        }
        let routers = uplink.defaultRoutes(family, routes)
        guard isReached, !routers.isEmpty else {
            return add(.ok, "\(name) is up with \(list), a private address")
        }
        let gateway = routers.compactMap(\.gateway).first.map { ", \($0)," } ?? ""
        let claim = """
            \(name) is up with \(list), a private address: the router before it\(gateway) translates again \
            (double NAT), and what comes from outside has to be forwarded there too
            """
        add(.warning, claim)
    }

    /// The same network before and behind the machine: which of the two is meant, the kernel can't know.
    private mutating func examineNeighbourhood(of uplink: Uplink, _ links: Links, _ routes: [Route]) {
        guard let configuration else { return }
        let own = uplink.connected(routes)
        for network in InsideNetworks(configuration, links, routes).networks
        where network.isConnected && network.link != uplink.link?.index {
            guard let twin = own.first(where: { $0.destination.overlaps(network.destination) }),
                let inside = links.byIndex[network.link]
            else { continue }
            add(
                .wrong,
                """
                \(uplink.name) and \(inside.name) are in the same network, \(twin.destination): give \
                \(inside.name) another one
                """,
                look: "ip address show dev \(inside.name.shellWord)")
        }
    }
}

extension Examination {
    /// One uplink as the walk sees it: a configured name, or a link that a glob matches.
    struct Uplink {
        let name: InterfaceName
        let link: Link?
        /// The families of all that leaves by it.
        let families: [AddressFamily]
        /// Those of them in which it needs an address, since something is masqueraded to it.
        let masqueraded: [AddressFamily]
        /// Those of ``masqueraded`` in which the kernel would take another link's address.
        let missing: [AddressFamily]

        static func all(of configuration: Configuration, _ links: Links) -> [Uplink] {
            UplinkStatus(configuration, links).uplinks.map { uplink in
                let blocks = configuration.outbound.filter { block in
                    block.outInterfaces.contains { $0.matches(uplink.name) }
                }
                let families = AddressFamily.allCases.filter { family in
                    blocks.contains { $0.families.contains(family) }
                }
                let masqueraded = families.filter { family in
                    blocks.contains {
                        $0.families.contains(family) && $0.translation.needsAddress(family)
                    }
                }
                let link = links.named(uplink.name)
                let missing = masqueraded.filter { family in
                    link.map { MasqueradeSource(configuration, links, family).isMissing(on: $0) } ?? false
                }
                return Uplink(
                    name: uplink.name, link: link, families: families, masqueraded: masqueraded,
                    missing: missing)
            }
        }

        /// The addresses that it masquerades to.
        func addresses(_ family: AddressFamily) -> [IPAddress] {
            missing.contains(family) ? [] : all(family)
        }

        /// Those that the kernel masquerades nothing to.
        func useless(_ family: AddressFamily) -> [IPAddress] { missing.contains(family) ? all(family) : [] }

        private func all(_ family: AddressFamily) -> [IPAddress] {
            (link?.addresses ?? []).filter { $0.family == family && !$0.isLinkLocal }
        }

        /// The routes that lead out of it.
        func routes(_ all: [Route]) -> [Route] { all.filter { $0.link == link?.index } }

        /// The routes to the networks that it has an address of itself.
        func connected(_ all: [Route]) -> [Route] {
            routes(all).filter { route in
                route.isConnected && !route.isDefault && route.destination.address.scope != .linkLocal
                    && !isOwnAddress(route.destination)
            }
        }

        /// IPv6 has a route to an address with a peer of its own, too, beside the one to the peer.
        private func isOwnAddress(_ network: IPNetwork) -> Bool {
            network.prefixLength == network.family.bitCount
                && link?.addresses.contains(network.address) == true
        }

        func defaultRoutes(_ family: AddressFamily, _ all: [Route]) -> [Route] {
            routes(all).filter { $0.isDefault && $0.destination.family == family }
        }

        /// The address at the other end, where the link has one: the kernel has a route for it alone.
        func peer(_ family: AddressFamily, _ all: [Route]) -> IPAddress? {
            routes(all).first {
                $0.isConnected && $0.destination.family == family
                    && $0.destination.prefixLength == family.bitCount
                    && !isOwnAddress($0.destination)
            }?.destination.address
        }

        /// Whether traffic of a family can leave by it.
        func carries(_ family: AddressFamily, _ all: [Route]) -> Bool {
            guard let link, link.isUp, link.hasCarrier else { return false }
            if masqueraded.contains(family), addresses(family).isEmpty { return false }
            return !defaultRoutes(family, all).isEmpty
        }
    }
}
