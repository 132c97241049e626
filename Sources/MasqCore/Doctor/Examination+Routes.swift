// SPDX-License-Identifier: GPL-3.0-or-later

// The way out of an uplink, and back.
//
// A route that leads elsewhere is never a reason to move it: the machine may be reached over it, and an interface that
// only has its own network (a modem's page, a VPN's server, a DMZ, whoever dials in) may be meant to have no more.
extension Examination {
    mutating func examineRoute(
        of uplink: Uplink, _ family: AddressFamily, among uplinks: [Uplink], _ routes: [Route]
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
        let networks = uplink.connected(routes).map(\.destination).filter { $0.family == family }
        let reached =
            networks.isEmpty ? "nothing" : "only \(networks.map(\.description).joined(separator: ", "))"
        let claim = "no \(family.name) default route leads out of \(name): \(reached) is reached through it"
        let defaults = routes.filter { $0.isDefault && $0.destination.family == family }
        guard let elsewhere = defaults.first else {
            return addMissingRoute(of: uplink, family, isOnlyUplink: uplinks.count == 1, routes, claim)
        }
        let exit = observations.links.value?.byIndex[elsewhere.link].map { "\($0.name)" } ?? "another link"
        let isOthers = uplinks.contains { uplink in defaults.contains { $0.link == uplink.link?.index } }
        let isChosen = configuration?.uplinks.contains { $0.interface == name } ?? false
        let instead = "the default route leads out of \(exit)"
        let version = family == .ipv6 ? "-6 " : ""
        let look = "ip \(version)route show table all default"
        if !isOthers {
            return add(
                .warning, "\(claim); \(instead), which is no out_interface of \(origin.name)", look: look)
        }
        // Who distributes connections over it wants all of them to get through; others may want its network only.
        add(isChosen ? .warning : .hint, "\(claim); \(instead)", look: look)
    }

    /// The machine has no default route at all.
    private mutating func addMissingRoute(
        of uplink: Uplink, _ family: AddressFamily, isOnlyUplink: Bool, _ routes: [Route], _ claim: String
    ) {
        let name = uplink.name
        let advertised = observations.linkSettings[name]?.acceptsAdvertisements
        let peer = uplink.peer(family, routes)
        if family == .ipv6, advertised == 1, observations.forwarding.value?[.ipv6] == true, peer == nil {
            let setting = LinkSetting("net.ipv6.conf.", name, ".accept_ra")
            return add(
                .wrong,
                "\(claim); \(setting) is 1, so a machine that forwards learns no route from its router",
                type: setting.command(2))
        }
        let isVersion6 = family == .ipv6 ? "-6 " : ""
        // On a line to one other end there is no other way, and no router's address to guess.
        if isOnlyUplink, peer != nil, uplink.link?.resolvesNeighbours == false {
            return add(.wrong, claim, type: "ip \(isVersion6)route add default dev \(name.shellWord)")
        }
        // A site without the Internet may masquerade to its own networks.
        let isPublic = uplink.addresses(family).contains { $0.scope == .global }
        add(
            isPublic ? .wrong : .warning, claim,
            look: "ip \(isVersion6)route show table all dev \(name.shellWord)")
    }

    /// The links that default routes lead out of and that are no uplinks, by name.
    func exits(_ links: Links, _ routes: [Route]) -> [InterfaceName] {
        let patterns = configuration?.outbound.flatMap(\.outInterfaces) ?? []
        let names = routes.filter(\.isDefault).compactMap { links.byIndex[$0.link]?.name }
        return Set(names.filter { name in !patterns.contains { $0.matches(name) } }).sorted()
    }

    /// Whether clients of the file are behind a link.
    func isInside(_ name: InterfaceName, _ links: Links, _ routes: [Route]?) -> Bool {
        guard let configuration, let routes else { return false }
        return InsideNetworks(configuration, links, routes).networks.contains { network in
            links.byIndex[network.link]?.name == name
                && configuration.outbound.contains { $0.source.contains { $0.overlaps(network.destination) } }
        }
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
        // Rules of routing lead to another table, and the check asks them too: what it sees is not known.
        guard uplink.defaultRoutes(family, routes).allSatisfy({ $0.table == Route.mainTable }) else {
            return add(.ok, "rp_filter of \(name) is strict, and routing rules decide what it drops")
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
}
