// SPDX-License-Identifier: GPL-3.0-or-later

/// How one uplink is, in the terms of somebody who waits for the Internet.
public enum UplinkState: Equatable, Sendable {
    /// There is no link of this name.
    case absent
    /// It is there, and switched off.
    case down
    /// It is up, and its line is dead: the cable, the modem or the far end is off.
    case withoutCarrier
    /// It is up, and has no address to masquerade to.
    case withoutAddress
    /// It is up with these addresses; none where none is needed.
    case up([IPAddress])
}

/// All uplinks of a configuration and how they are; two of them tell what changed for the user.
public struct UplinkStatus: Equatable, Sendable {
    /// The state of every configured name, and of every link that a glob matches, sorted by name.
    public let uplinks: [Uplink]

    /// One uplink.
    public struct Uplink: Equatable, Sendable {
        /// The link's name.
        public let name: InterfaceName
        /// The link's index, where it is there.
        public let index: Int32?
        /// How it is.
        public let state: UplinkState
        /// What happens to whose traffic, for people: `masquerading 192.168.0.0/16 and 3 more`.
        ///
        /// Where it is up, masqueraded networks are only those of a family that it has an address of.
        public let traffic: String
    }

    /// The links that a prefix is taken from, in the file's order.
    public let delegations: [Delegation]

    /// A link that is no uplink, and whose IPv6 network sources are mapped to.
    public struct Delegation: Equatable, Sendable {
        /// The link's name.
        public let name: InterfaceName
        /// The network, as long as the source's; absent where there is none.
        public let network: IPNetwork?

        /// All of a configuration.
        static func all(of configuration: Configuration, _ links: Links) -> [Delegation] {
            configuration.outbound.compactMap { block in
                guard case .snat(let snat) = block.translation, let name = snat.prefixFrom,
                    let length = block.mappedSource(.ipv6)?.prefixLength
                else { return nil }
                return Delegation(name: name, network: links.named(name)?.prefix(length: length))
            }
        }
    }

    /// Nothing is known yet.
    public init() { (uplinks, delegations) = ([], []) }

    private init(_ uplinks: [Uplink], _ delegations: [Delegation]) {
        (self.uplinks, self.delegations) = (uplinks, delegations)
    }

    /// Only those that an earlier look, for another configuration, was about too.
    func among(_ earlier: UplinkStatus) -> UplinkStatus {
        let names = Set(earlier.uplinks.map(\.name))
        return UplinkStatus(
            uplinks.filter { names.contains($0.name) },
            delegations.filter { link in earlier.delegations.contains { $0.name == link.name } })
    }

    /// Looks at the links that a configuration is about.
    public init(_ configuration: Configuration, _ links: Links) {
        delegations = Delegation.all(of: configuration, links)
        let patterns = OutboundPatterns(configuration.outbound)
        let byName = Dictionary(links.byIndex.values.map { ($0.name, $0) }) { first, _ in first }
        let names = patterns.names.union(byName.keys.lazy.filter(patterns.haveGlob))
        let sources = AddressFamily.allCases.map { MasqueradeSource(configuration, links, $0) }
        // Hundreds of names may share their blocks, and so what is told of them.
        var known: [OutboundPatterns.Key: [OutboundBlock]] = [:]
        var traffics: [Traffic: String] = [:]
        uplinks = names.sorted().map { name in
            let key = patterns.key(of: name)
            let blocks = known[key] ?? patterns.blocks(key).map { configuration.outbound[$0] }
            known[key] = blocks
            let link = byName[name]
            let state = Self.state(of: link, blocks, sources)
            let traffic = Traffic(blocks: key, families: state.families)
            let text = traffics[traffic] ?? Self.traffic(of: blocks, state)
            traffics[traffic] = text
            return Uplink(name: name, index: link?.index, state: state, traffic: text)
        }
    }

    /// What the words about an uplink's traffic depend on.
    private struct Traffic: Hashable {
        let blocks: OutboundPatterns.Key
        /// Those that a link that is up has addresses of.
        let families: Set<AddressFamily>?
    }

    private static func state(
        of link: Link?, _ blocks: [OutboundBlock], _ sources: [MasqueradeSource]
    ) -> UplinkState {
        guard let link else { return .absent }
        guard link.isUp else { return .down }
        guard link.hasCarrier else { return .withoutCarrier }
        // Addresses that the kernel would not masquerade to: deprecated, or not yet known to be unique.
        let useless = sources.filter { source in
            blocks.contains { $0.kind == .masquerade && $0.families.contains(source.family) }
                && source.isMissing(on: link)
        }.map(\.family)
        let usable = link.addresses.filter { address in
            !address.isLinkLocal && !useless.contains(address.family)
                && blocks.contains { $0.source.contains { $0.family == address.family } }
        }
        return usable.isEmpty
            && blocks.contains { block in block.families.contains(where: block.translation.needsAddress) }
            ? .withoutAddress : .up(usable)
    }

    private static func traffic(of blocks: [OutboundBlock], _ state: UplinkState) -> String {
        var networks: [OutboundBlock.Kind: [IPNetwork]] = [:]
        for block in blocks {
            networks[block.kind, default: []] += block.source.filter { network in
                guard case .up(let addresses) = state, block.translation.needsAddress(network.family)
                else { return true }
                return addresses.contains { $0.family == network.family }
            }
        }
        let parts = OutboundBlock.Kind.allCases.compactMap { kind -> String? in
            guard let networks = networks[kind], !networks.isEmpty else { return nil }
            return "\(kind.verb) \(summary(of: networks))"
        }
        return parts.isEmpty ? "nothing" : parts.joined(separator: ", ")
    }

    static func summary(of networks: [IPNetwork]) -> String {
        guard let first = networks.first else { return "nothing" }
        return networks.count == 1 ? "\(first)" : "\(first) and \(networks.count - 1) more"
    }

    /// One line for a status display: `ppp0 is up with 203.0.113.7; waiting for ppp1`.
    public var summary: String {
        let waiting = delegations.filter { $0.network == nil }.map(\.claim)
        let parts = (uplinks.isEmpty ? ["no uplink is there"] : uplinks.map(\.claim)) + waiting
        return parts.joined(separator: "; ")
    }

    /// What changed for the user since an earlier look, a line for each uplink; none where nothing did.
    public func changes(since earlier: UplinkStatus) -> [String] {
        if self == earlier { return [] }
        var lines: [String] = []
        let byName = Dictionary(earlier.uplinks.map { ($0.name, $0) }) { first, _ in first }
        let names = Set(uplinks.map(\.name))
        let indexes = Set(uplinks.compactMap(\.index))
        for uplink in uplinks {
            let old = byName[uplink.name]
            guard old?.state != uplink.state || old?.index != uplink.index else { continue }
            // The index alone is worth a word only where it means another link with the same address.
            if let old, old.state == uplink.state, uplink.state.isSilentlyReplaced { continue }
            lines.append(uplink.news(since: old, renamedFrom: uplink.oldName(in: earlier)))
        }
        // One that was renamed is told of by its new name.
        for old in earlier.uplinks where !names.contains(old.name) {
            if let index = old.index, indexes.contains(index) { continue }
            lines.append("\(old.name) is gone")
        }
        return lines + delegations.filter { !earlier.delegations.contains($0) }.map(\.claim)
    }
}

extension OutboundBlock.Kind {
    /// What masqd does to the sources.
    fileprivate var verb: String {
        switch self {
        case .masquerade: "masquerading"
        case .routed: "routing"
        case .snat: "translating"
        }
    }
}

extension OutboundBlock.Translation {
    /// Whether it waits for an address of the uplink's.
    func needsAddress(_ family: AddressFamily) -> Bool {
        switch self {
        case .masquerade: true
        case .routed: false
        case .snat(let snat): snat.target(family) == .uplinkPrefix && snat.prefixFrom == nil
        }
    }
}

extension UplinkStatus.Delegation {
    /// What it gives, in a few words.
    var claim: String {
        network.map { "\(name) has the prefix \($0)" } ?? "waiting for a prefix on \(name)"
    }
}

extension UplinkState {
    /// The families of its addresses, where it is up.
    fileprivate var families: Set<AddressFamily>? {
        if case .up(let addresses) = self { Set(addresses.map(\.family)) } else { nil }
    }

    fileprivate var isSilentlyReplaced: Bool {
        if case .up = self { false } else { true }
    }
}

extension UplinkStatus.Uplink {
    /// The present state in a few words.
    fileprivate var claim: String {
        switch state {
        case .absent: "waiting for \(name)"
        case .down: "\(name) is down"
        case .withoutCarrier: "\(name) has no carrier"
        case .withoutAddress: "\(name) is up without an address"
        case .up(let addresses):
            addresses.isEmpty
                ? "\(name) is up"
                : "\(name) is up with \(addresses.map(\.description).joined(separator: ", "))"
        }
    }

    /// The name that this link had, if it has another one now.
    fileprivate func oldName(in earlier: UplinkStatus) -> InterfaceName? {
        earlier.uplinks.first { index != nil && $0.index == index && $0.name != name }?.name
    }

    fileprivate func news(since old: UplinkStatus.Uplink?, renamedFrom oldName: InterfaceName?) -> String {
        let rename = oldName.map { " (it was \($0))" } ?? ""
        switch (old?.state, state) {
        case (.up(let before)?, .up(let addresses)) where old?.index == index:
            let list = addresses.map(\.description).joined(separator: ", ")
            // In whatever order: IPv6's may come before IPv4's.
            if Set(before).isSubset(of: addresses) {
                let more = addresses.filter { !before.contains($0) }.map(\.description).joined(
                    separator: ", ")
                return "\(name) has the address \(more) too: \(traffic)"
            }
            if Set(addresses).isSubset(of: before) {
                let less = before.filter { !addresses.contains($0) }.map(\.description).joined(
                    separator: ", ")
                return "\(name) has the address \(less) no more: \(traffic)"
            }
            let was = before.map(\.description).joined(separator: ", ")
            return "\(name) has another address, \(list) (it was \(was)): \(traffic)"
        case (_, .up): return "\(claim)\(rename): \(traffic)"
        case (nil, .absent): return "\(name) is not there yet: the rules are, and wait for it"
        case (_, .absent): return "\(name) is gone: the rules stay, and wait for it"
        case (.absent?, .down): return "\(name) is there, and not up yet"
        case (_, .down), (_, .withoutCarrier): return "\(claim)\(rename): nothing leaves by it"
        case (_, .withoutAddress): return "\(claim)\(rename): nothing can be masqueraded to it yet"
        }
    }
}
