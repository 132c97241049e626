// SPDX-License-Identifier: GPL-3.0-or-later

extension Examination {
    mutating func examineUplinks() {
        guard let configuration, let links = look(observations.links, "the uplinks") else { return }
        let uplinks = Uplink.all(of: configuration, links)
        if uplinks.isEmpty {
            let patterns = Set(configuration.outbound.flatMap(\.outInterfaces).map(\.description)).sorted()
            add(
                .wrong, "no link is called \(patterns.joined(separator: " or ")): nothing can leave",
                type: "ip -br link")
        }
        let routes = look(observations.routes, "the routes")
        let carriers = uplinks.filter { uplink in
            uplink.families.contains { uplink.carries($0, routes ?? []) }
        }
        for uplink in uplinks {
            // Where another one carries the traffic, this one may be a reserve.
            let isReserve = carriers.contains { $0.name != uplink.name }
            examine(uplink, links, routes, isReserve ? .warning : .wrong)
        }
        let unnamed = UnnamedUplinks(configuration, links, DefaultRoutes(routes ?? []))
        // What was most likely meant by an uplink that is not there has been told with that one.
        let meant = uplinks.filter { $0.link == nil }.compactMap { Self.nearest(to: $0.name, links) }
        // Where an uplink is up, what it lacks has been told, and where the route leads instead.
        let isUp = uplinks.contains { $0.link?.isUp == true && $0.link?.hasCarrier == true }
        for claim in isUp ? [] : unnamed.claims(where: { !meant.contains($0) }) {
            add(configuration.forward.unnamedUplink == .drop ? .wrong : .warning, claim)
        }
        examineDelegations(UplinkStatus(configuration, links).delegations)
        examineSegmentSize(of: uplinks, links, configuration.mss)
    }

    private mutating func examine(
        _ uplink: Uplink, _ links: Links, _ routes: [Route]?, _ severity: Finding.Severity
    ) {
        let name = uplink.name
        let word = name.shellWord
        guard let link = uplink.link else {
            let near = Self.nearest(to: name, links)
            let hint = near.map { " (did you mean \($0)?)" } ?? ""
            return add(severity, "\(name) is not there: nothing leaves by it\(hint)", type: Self.making(name))
        }
        guard link.isUp else {
            return add(severity, "\(name) is down: nothing leaves by it", type: "ip link set \(word) up")
        }
        guard link.hasCarrier else {
            let claim = "\(name) has no carrier: its cable, its modem or the far end is off"
            return add(severity, claim, type: "ip -s link show dev \(word)")
        }
        let lacking = uplink.masqueraded.filter { family in uplink.addresses(family).isEmpty }
        for family in lacking {
            add(
                lacking.count == uplink.families.count ? severity : .warning,
                "\(name) has no \(family.name) address: nothing can be masqueraded to it",
                type: "journalctl -b -g \(word)")
        }
        for family in uplink.families where !lacking.contains(family) {
            if uplink.masqueraded.contains(family) {
                examineAddresses(of: uplink, family, routes ?? [])
            } else {
                add(.ok, "\(name) is up, and \(family.name) needs no address of it")
            }
            guard let routes else { continue }
            examineRoute(of: uplink, family, routes, severity)
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
                add(.wrong, claim, type: "ip -6 address show dev \(name.shellWord)")
            }
        }
    }

    /// The name of a link that was most likely meant by another.
    private static func nearest(to name: InterfaceName, _ links: Links) -> InterfaceName? {
        let names = links.byIndex.values.map(\.name).sorted()
        let nearest = Suggestion.nearest(to: "\(name)", among: names.map(\.description))
        return names.first { $0.description == nearest }
    }

    /// What makes a link that is not there.
    private static func making(_ name: InterfaceName) -> String {
        if name.hasPrefix("ppp") { return "pon" }
        return name.hasPrefix("wg") ? "wg-quick up \(name.shellWord)" : "ip -br link"
    }

    private mutating func examineAddresses(of uplink: Uplink, _ family: AddressFamily, _ routes: [Route]) {
        let addresses = uplink.addresses(family)
        let list = addresses.map(\.description).joined(separator: ", ")
        let name = uplink.name
        let scopes = addresses.map(\.scope)
        if scopes.contains(.global) { return add(.ok, "\(name) is up with \(list)") }
        guard !scopes.allSatisfy({ $0 == .linkLocal }) else {
            let claim = "\(name) has only \(list), which it gave itself: no DHCP server has answered it"
            return add(.wrong, claim, type: "journalctl -b -g \(name.shellWord)")
        }
        if scopes.contains(.shared) {
            let claim = """
                \(name) is up with \(list), of 100.64.0.0/10: the provider translates again, and nothing \
                from outside gets here; only he can give a public address (RFC 6598)
                """
            return add(.warning, claim)
        }
        let gateway =
            uplink.defaultRoutes(family, routes).compactMap(\.gateway).first.map { ", \($0)," } ?? ""
        let claim = """
            \(name) is up with \(list), a private address: the router before it\(gateway) translates again \
            (double NAT), and what comes from outside has to be forwarded there too
            """
        add(.warning, claim)
    }

    private mutating func examineRoute(
        of uplink: Uplink, _ family: AddressFamily, _ routes: [Route], _ severity: Finding.Severity
    ) {
        let name = uplink.name
        if !uplink.defaultRoutes(family, routes).isEmpty {
            add(.ok, "the \(family.name) default route leads out of \(name)")
            return examineReversePath(of: uplink, family, routes)
        }
        let others = uplink.routes(routes).filter { $0.destination.family == family && !$0.isConnected }
        if !others.isEmpty {
            let count =
                others.count == 1
                ? "1 \(family.name) route leads" : "\(others.count) \(family.name) routes lead"
            return add(.ok, "\(count) out of \(name), and no default route")
        }
        let elsewhere = routes.filter { $0.isDefault && $0.destination.family == family }
            .compactMap { observations.links.value?.byIndex[$0.link]?.name }
        let instead = elsewhere.first.map { "; it leads out of \($0)" } ?? ""
        let claim = "no \(family.name) default route leads out of \(name)\(instead): nothing leaves by it"
        let advertised = observations.linkSettings[name]?.acceptsAdvertisements
        if family == .ipv6, advertised == 1, observations.forwarding.value?[.ipv6] == true,
            uplink.peer(family, routes) == nil
        {
            let setting = LinkSetting("net.ipv6.conf.", name, ".accept_ra")
            return add(
                severity,
                "\(claim); \(setting) is 1, so a machine that forwards learns no route from its router",
                type: setting.command(2))
        }
        let verb = elsewhere.isEmpty ? "add" : "replace"
        let isVersion6 = family == .ipv6 ? "-6 " : ""
        // A link without neighbours to ask for takes everything; else the packets need a router's address.
        let via: String =
            if uplink.link?.resolvesNeighbours == false { "" } else if let peer = uplink.peer(family, routes)
            {
                "via \(peer) "
            } else { "via ROUTER " }
        add(severity, claim, type: "ip \(isVersion6)route \(verb) default \(via)dev \(name.shellWord)")
    }

    /// Answers come in by the uplink from everywhere; a strict check drops those that would be sent out elsewhere.
    private mutating func examineReversePath(
        of uplink: Uplink, _ family: AddressFamily, _ routes: [Route]
    ) {
        // IPv6 has no such switch.
        guard family == .ipv4, let link = uplink.link,
            let filter = observations.linkSettings[uplink.name]?.reversePathFilter
        else { return }
        let name = uplink.name
        let setting = LinkSetting("net.ipv4.conf.", name, ".rp_filter")
        guard filter == 1 else {
            return add(.ok, "rp_filter of \(name) is \(filter == 0 ? "off" : "loose")")
        }
        if let configuration, configuration.failsOver,
            configuration.uplinks.contains(where: { $0.interface == name })
        {
            let claim =
                "rp_filter of \(name) is strict: what comes in by it is dropped while another uplink is preferred"
            return add(.warning, claim, type: setting.command(2))
        }
        let inMain = routes.filter {
            $0.isDefault && $0.destination.family == family && $0.table == Route.mainTable
        }
        let metric = inMain.map(\.metric).min()
        guard let best = inMain.first(where: { $0.metric == metric }) else {
            return add(.ok, "rp_filter of \(name) is strict, and there is no default route elsewhere")
        }
        guard !inMain.contains(where: { $0.metric == metric && $0.link == link.index }) else {
            return add(.ok, "rp_filter of \(name) is strict, and the default route leads out of it")
        }
        let other = observations.links.value?.byIndex[best.link].map { "\($0.name)" } ?? "another link"
        add(
            .wrong,
            """
            rp_filter of \(name) is strict, and the best default route leads out of \(other): what \
            comes in by \(name) is dropped
            """,
            type: setting.command(2))
    }

    /// The same network before and behind the machine: which of the two is meant, the kernel can't know.
    private mutating func examineNeighbourhood(of uplink: Uplink, _ links: Links, _ routes: [Route]) {
        guard let configuration else { return }
        let own = uplink.routes(routes).filter {
            $0.isConnected && !$0.isDefault && $0.destination.address.scope != .linkLocal
        }
        for network in InsideNetworks(configuration, links, routes).networks where network.isConnected {
            guard let twin = own.first(where: { $0.destination.overlaps(network.destination) }),
                let inside = links.byIndex[network.link]
            else { continue }
            add(
                .wrong,
                """
                \(uplink.name) and \(inside.name) are in the same network, \(twin.destination): give \
                \(inside.name) another one
                """,
                type: "ip address show dev \(inside.name.shellWord)")
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
                return Uplink(
                    name: uplink.name, link: links.named(uplink.name), families: families,
                    masqueraded: masqueraded)
            }
        }

        /// The addresses that it masquerades to.
        func addresses(_ family: AddressFamily) -> [IPAddress] {
            (link?.addresses ?? []).filter { $0.family == family && !$0.isLinkLocal }
        }

        /// The routes that lead out of it.
        func routes(_ all: [Route]) -> [Route] { all.filter { $0.link == link?.index } }

        func defaultRoutes(_ family: AddressFamily, _ all: [Route]) -> [Route] {
            routes(all).filter { $0.isDefault && $0.destination.family == family }
        }

        /// The address at the other end, where the link has one: the kernel has a route for it alone.
        func peer(_ family: AddressFamily, _ all: [Route]) -> IPAddress? {
            routes(all).first {
                $0.isConnected && $0.destination.family == family
                    && $0.destination.prefixLength == family.bitCount
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
