// SPDX-License-Identifier: GPL-3.0-or-later

// The private side: which networks are there, which of them are in the file, and where what they send goes.
extension Examination {
    /// More networks of a kind are only counted.
    private static let maximumNetworks = 8

    mutating func examineInside() {
        guard let configuration, let links = observations.links.value, let routes = observations.routes.value
        else { return }
        let inside = InsideNetworks(configuration, links, routes).networks
        let mixed = examineClientsOfUplinks(configuration, links, routes, inside)
        guard !inside.isEmpty else {
            guard mixed.isEmpty else { return }
            return add(
                .warning, "no link but the uplinks is up and has a network: there are no clients at present",
                look: "ip -br address")
        }
        examineSources(configuration, links, inside, besides: mixed)
        examineUncovered(configuration, links, inside)
        examineWays(configuration, links, routes)
    }

    /// A block's source on the block's own uplink: what comes in from there is taken for spoofed.
    ///
    /// With clients elsewhere that does no harm: a modem's page, say, on an interface whose network a wide source covers.
    ///
    /// - Returns: those networks.
    private mutating func examineClientsOfUplinks(
        _ configuration: Configuration, _ links: Links, _ routes: [Route], _ inside: [Route]
    ) -> [IPNetwork] {
        let uplinks = Uplink.all(of: configuration, links).filter { $0.link?.isUp == true }
        var mixed: [IPNetwork] = []
        for uplink in uplinks {
            for route in uplink.connected(routes) where !mixed.contains(route.destination) {
                let network = route.destination
                // A router before this one may have such a network.
                guard uplink.defaultRoutes(network.family, routes).isEmpty else { continue }
                let exits = uplinks.filter { !$0.defaultRoutes(network.family, routes).isEmpty }
                // The first block of the uplink that it would leave by decides.
                let block = configuration.outbound.first { block in
                    (exits.isEmpty ? [uplink] : exits).contains { block.leaves(by: $0.name) }
                        && block.source.contains { $0.overlaps(network) }
                }
                guard let block, block.leaves(by: uplink.name) else { continue }
                mixed.append(network)
                let hasClients = inside.contains { route in
                    block.source.contains { $0.overlaps(route.destination) }
                }
                let consequence = exits.isEmpty ? "" : ": what comes from there is dropped as spoofed"
                let claim = """
                    \(network) is on \(uplink.name), which is an out_interface of \(origin.place(of: block)), \
                    and in source there too\(consequence)
                    """
                add(Finding(hasClients ? .hint : .wrong, claim, type: hasClients ? [] : origin.edit))
            }
        }
        return mixed
    }

    /// A source that no client can have at present: a mistake, or a client that is not connected.
    private mutating func examineSources(
        _ configuration: Configuration, _ links: Links, _ inside: [Route], besides mixed: [IPNetwork]
    ) {
        let present = AddressFamily.allCases.map {
            AddressRanges(family: $0, networks: inside.map(\.destination))
        }
        var hasSource = false
        var absent: [(network: IPNetwork, block: OutboundBlock)] = []
        for block in configuration.outbound {
            for network in block.source {
                if present.contains(where: { $0.overlaps(network) }) {
                    hasSource = true
                } else {
                    absent.append((network, block))
                }
            }
        }
        // Whoever writes all private ranges down means to be done with it for ever.
        if hasSource { absent.removeAll { $0.network.isWholePrivateRange } }
        absent.removeAll { source in mixed.contains { $0.overlaps(source.network) } }
        guard let first = absent.first else {
            guard mixed.isEmpty || hasSource else { return }
            return add(.ok, "the networks in \(origin.name) are behind this machine")
        }
        let more = absent.count == 1 ? "" : " (and \(absent.count - 1) more)"
        let there = inside.prefix(Self.maximumNetworks)
            .map { "\($0.destination) (\(links.byIndex[$0.link].map { "\($0.name)" } ?? "?"))" }
        let claim = """
            \(first.network)\(more) of \(origin.place(of: first.block)) is in none of the networks that are behind this \
            machine now: \(there.joined(separator: ", "))
            """
        // Nobody owns a public network by mistake; a private one may be a VPN's, whose clients are away.
        let isPublic = absent.contains { $0.network.address.scope != .private }
        add(Finding(hasSource && !isPublic ? .hint : .warning, claim, type: hasSource ? [] : origin.edit))
    }

    /// A private network that no block speaks of gets no answer from the Internet.
    private mutating func examineUncovered(_ configuration: Configuration, _ links: Links, _ inside: [Route])
    {
        var seen: Set<IPNetwork> = []
        let uncovered = inside.filter { route in
            let network = route.destination
            return configuration.families.contains(network.family) && network.address.scope == .private
                && !network.isHost && seen.insert(network).inserted
                && !configuration.outbound.contains { $0.source.contains { $0.overlaps(network) } }
        }
        for network in uncovered.prefix(Self.maximumNetworks) {
            let name = links.byIndex[network.link]?.name ?? "?"
            add(
                Finding(
                    .hint,
                    """
                    \(network.destination), behind \(name), is in no source of \(origin.name): masqd \
                    does not masquerade it
                    """))
        }
        if uncovered.count > Self.maximumNetworks {
            add(.hint, "\(uncovered.count - Self.maximumNetworks) more networks are in no source either")
        }
    }

    /// Where the kernel sends it; only where nothing that was said before explains it.
    private mutating func examineWays(_ configuration: Configuration, _ links: Links, _ routes: [Route]) {
        guard let ways = look(observations.ways, "the way into the Internet") else { return }
        let uplinks = Uplink.all(of: configuration, links)
        for way in ways {
            let family = way.source.family
            let block = configuration.outbound[way.block]
            let own = uplinks.filter { uplink in block.outInterfaces.contains { $0.matches(uplink.name) } }
            guard observations.forwarding.value?[family] == true, !isClosed(way, links),
                own.contains(where: { $0.carries(family, routes) })
            else { continue }
            examine(way, block, own, links)
        }
    }

    /// Whether forwarding is off for the link that it would come in by.
    private func isClosed(_ way: Way, _ links: Links) -> Bool {
        guard way.source.family == .ipv4, let link = links.byIndex[way.insideLink] else { return false }
        return observations.linkSettings[link.name]?.isForwarding == false
    }

    private mutating func examine(_ way: Way, _ block: OutboundBlock, _ uplinks: [Uplink], _ links: Links) {
        let inside = links.byIndex[way.insideLink]?.name ?? "?"
        let what = "what \(way.inside) behind \(inside) sends into the Internet"
        let isVersion6 = way.source.family == .ipv6 ? "-6 " : ""
        let question =
            "ip \(isVersion6)route get \(way.flow.destination) from \(way.source) iif \(inside.shellWord)"
        guard let index = way.outputLink else {
            return add(.wrong, "\(what) has no way: the kernel refuses the route", look: question)
        }
        let output = links.byIndex[index]?.name
        let name = output.map(\.description) ?? "link \(index)"
        if uplinks.contains(where: { $0.link?.index == index }) {
            return add(.ok, "\(what) leaves by \(name)")
        }
        // Another block may speak of that link, and of the same sources; what is routed may go where it likes.
        let isCovered =
            configuration?.outbound.contains { other in
                other.outInterfaces.contains { pattern in output.map(pattern.matches) ?? false }
                    && other.source.contains { $0.contains(way.source) }
            } ?? false
        if !isCovered, block.translation.hidesSource {
            // Another program may translate it, or another router behind that link.
            let claim = "\(what) leaves by \(name), which is no out_interface of \(origin.place(of: block))"
            add(.warning, "\(claim): masqd does not translate it", look: question)
        }
    }
}

extension OutboundBlock {
    fileprivate func leaves(by uplink: InterfaceName) -> Bool {
        outInterfaces.contains { $0.matches(uplink) }
    }
}

extension AddressRanges {
    /// Whether any address of a network is in it, by binary search.
    func overlaps(_ network: IPNetwork) -> Bool {
        guard network.family == family else { return false }
        let range = network.range
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].last < range.first { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count && ranges[low].first <= range.last
    }
}

extension IPNetwork {
    /// Whether it has one address only.
    fileprivate var isHost: Bool { prefixLength == family.bitCount }

    fileprivate func contains(_ address: IPAddress) -> Bool {
        address.family == family && range.first <= address.value && range.last >= address.value
    }

    /// A whole range of RFC 1918, or fc00::/7 or fd00::/8 of RFC 4193.
    fileprivate var isWholePrivateRange: Bool {
        guard address.scope == .private else { return false }
        switch (family, address.value >> UInt128(family.bitCount - 8), prefixLength) {
        case (.ipv4, 10, 8), (.ipv4, 172, 12), (.ipv4, 192, 16), (.ipv6, 0xfc, 7), (.ipv6, 0xfd, 8):
            return true
        default: return false
        }
    }
}
