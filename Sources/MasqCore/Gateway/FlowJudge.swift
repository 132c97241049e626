// SPDX-License-Identifier: GPL-3.0-or-later

/// Says which connections are translated wrongly, and will be for ever unless their conntrack entry goes, and which ones
/// the file forbids by now.
///
/// One invariant: a connection whose route leads out of an uplink has the address that the first block with this source
/// and this uplink gives it. For `[[masquerade]]` that is an address of the uplink; for `[[snat]]` one of the file's, wherever it is; for
/// `[[routed]]` the source's own.
/// It breaks when a connection began without a rule, or through a link that is not an uplink; when the address of a
/// link with a peer is replaced; when a link was up before it had an address; when the file says something else now.
public struct FlowJudge: Sendable {
    private let blocks: [Block]
    /// Whether wrong translations are looked for.
    private let repairs: Bool
    /// Every address of the machine.
    private let localAddresses: Set<IPAddress>
    private let clients: AccessList
    private let destinations: AccessList
    /// Which bits of a mark name an uplink, and the marks of those that are lost.
    private let lost: (mask: UInt32, marks: Set<UInt32>)
    /// The links that the configuration was taken with.
    public let links: Links
    /// Whether the leak guard has dropped something that is not mended yet.
    private let hasLeaked: Bool
    /// What masqd has given to connections; absent: nobody else translates them.
    private let given: GivenAddresses?

    /// A block and the links that are its uplinks now.
    private struct Block: Sendable {
        let translation: OutboundBlock.Translation
        let source: [AddressRanges]
        let exclude: [AddressRanges]
        /// The addresses of its uplinks.
        let uplinkAddresses: Set<IPAddress>
        /// The indexes of the uplinks that are up, with the families that they have an address of.
        let uplinks: [Int32: Set<AddressFamily>]
        /// The networks that sources are mapped to, by the index of the uplink, where they follow it.
        let prefixes: [Int32: IPNetwork]

        init(_ block: OutboundBlock, _ links: Links) {
            translation = block.translation
            source = AddressFamily.allCases.map { AddressRanges(family: $0, networks: block.source) }
            exclude = AddressFamily.allCases.map { AddressRanges(family: $0, networks: block.exclude) }
            let uplinks = links.byIndex.values.filter { link in
                block.outInterfaces.contains { $0.matches(link.name) }
            }
            uplinkAddresses = Set(uplinks.flatMap(\.addresses).filter { !$0.isLinkLocal })
            var families: [Int32: Set<AddressFamily>] = [:]
            for link in uplinks where link.isUp {
                families[link.index] = Set(link.addresses.filter { !$0.isLinkLocal }.map(\.family))
            }
            self.uplinks = families
            var prefixes: [Int32: IPNetwork] = [:]
            if case .snat(let snat) = translation, snat.target(.ipv6) == .uplinkPrefix,
                let length = block.mappedSource(.ipv6)?.prefixLength
            {
                for link in uplinks where link.isUp {
                    prefixes[link.index] = links.prefix(of: link, from: snat.prefixFrom, length: length)
                }
            }
            self.prefixes = prefixes
        }

        func means(_ source: IPAddress) -> Bool { self.source.contains { $0.contains(source) } }

        func excludes(_ flow: Flow) -> Bool { exclude.contains { $0.contains(flow.destination) } }

        /// Whether a flow has an address that this block gives it.
        ///
        /// - Parameter link: the uplink; absent: any of them, as far as that makes no difference.
        func allows(_ flow: Flow, leavingBy link: Int32? = nil) -> Bool {
            switch translation {
            case .masquerade: return uplinkAddresses.contains(flow.translatedSource)
            case .routed: return flow.translatedSource == flow.source
            case .snat(let snat):
                switch snat.target(flow.source.family) {
                case nil: return true  // the reader refuses it
                case .fixed(let target): return target.allows(flow.translatedSource, for: flow.source)
                case .uplinkPrefix:
                    guard let prefix = link.map({ prefixes[$0] }) ?? onlyPrefix else { return false }
                    return NATTarget.network(prefix).allows(flow.translatedSource, for: flow.source)
                }
            }
        }

        private var onlyPrefix: IPNetwork? { prefixes.count == 1 ? prefixes.first?.value : nil }

        /// Whether a flow that is begun anew would get the right address.
        func canTranslate(_ flow: Flow, leavingBy link: Int32) -> Bool {
            switch translation {
            case .masquerade: uplinks[link]?.contains(flow.source.family) == true
            case .routed: true
            case .snat(let snat):
                snat.target(flow.source.family) != .uplinkPrefix || prefixes[link] != nil
            }
        }
    }

    /// Takes the configuration and the links as they are now.
    ///
    /// - Parameters:
    ///   - lost: the numbers of uplinks whose connections go.
    ///   - given: what masqd has given to connections, where others may translate them too.
    ///   - hasLeaked: whether the leak guard has dropped something that is not mended yet.
    public init(
        _ configuration: Configuration, _ links: Links, lost: Set<Int> = [], given: GivenAddresses? = nil,
        hasLeaked: Bool = false
    ) {
        let marks = configuration.policyRouting.marks
        self.lost = (marks.numberMask, Set(lost.map(marks.mark)))
        self.given = given
        self.links = links
        self.hasLeaked = hasLeaked
        repairs = configuration.conntrack.repair
        blocks = configuration.outbound.map { Block($0, links) }
        clients = configuration.clients
        destinations = configuration.destinations
        localAddresses = Set(links.byIndex.values.flatMap(\.addresses))
    }

    /// Whether the flow came in or left by an uplink that is lost.
    public func isLost(_ flow: Flow) -> Bool { !flow.isInZone && lost.marks.contains(flow.mark & lost.mask) }

    /// Whether the flow's route has to be asked for: cheap, and false for nearly all.
    public func isSuspicious(_ flow: Flow) -> Bool {
        guard !flow.isInZone, !localAddresses.contains(flow.destination) else { return false }
        if refusal(of: flow) != nil { return blocks.contains { $0.means(flow.source) } }
        guard repairs else { return false }
        var isSuspicious = false
        for block in blocks where block.means(flow.source) && !block.excludes(flow) {
            let isAllowed = block.allows(flow)
            // A masqueraded flow whose route moves to another uplink is mended by the kernel.
            if isAllowed, case .masquerade = block.translation { return false }
            if !isAllowed { isSuspicious = true }
        }
        return isSuspicious && !isForeignOnPurpose(flow)
    }

    /// Whether the machine itself sends the flow, from an address of its own.
    public func isOwn(_ flow: Flow) -> Bool { localAddresses.contains(flow.source) }

    /// Why a suspicious flow goes, now that the link is known that its next packet leaves by; nothing where it is right.
    public func fault(of flow: Flow, leavingBy link: Int32) -> FlowFault? {
        guard let block = blocks.first(where: { $0.uplinks[link] != nil && $0.means(flow.source) }) else {
            return nil
        }
        if let refusal = refusal(of: flow) { return refusal }
        guard repairs, !block.excludes(flow), !block.allows(flow, leavingBy: link),
            block.canTranslate(flow, leavingBy: link)
        else { return nil }
        return flow.translatedSource == flow.source ? .untranslated : .keptAddress
    }

    /// The same for a route that may have several ways: nothing unless the flow goes by each of them.
    public func fault(of flow: Flow, by route: RouteAnswer) -> FlowFault? {
        var found: FlowFault?
        for link in route.links {
            guard let fault = fault(of: flow, leavingBy: link) else { return nil }
            found = found ?? fault
        }
        return found
    }

    /// Whether a link is an uplink of a block with the flow's source: no packet of that source comes in there.
    public func isUplink(_ link: Int32, of flow: Flow) -> Bool {
        blocks.contains { $0.uplinks[link] != nil && $0.means(flow.source) }
    }

    /// Whether an untranslated flow may be of packets that pass through a bridge: to the other end of it, or to a router there.
    ///
    /// What is routed and untranslated is dropped by the leak guard, and gets no answer. So once that has rung, a flow
    /// without an answer is one of those.
    public func mayBeBridged(_ flow: Flow, comingInBy bridge: Int32, leavingBy route: RouteAnswer) -> Bool {
        flow.isAnswered || !hasLeaked || route.links.contains(bridge) && route.isOnLink
    }

    /// Who refuses a client or its destination by now.
    private func refusal(of flow: Flow) -> FlowFault? {
        clients.refuses(flow.source)
            ? .clientRefused : destinations.refuses(flow.destination) ? .destinationRefused : nil
    }

    /// Translated by somebody else: to another address of the machine's, which is none of a network that must not be
    /// seen, or to one that masqd never gave.
    ///
    /// masquerade itself picks an inside address when the uplink has none yet. So does the masquerade of a VPN whose
    /// addresses are in a block's source: where others may translate, that moment has to have been seen.
    private func isForeignOnPurpose(_ flow: Flow) -> Bool {
        guard flow.translatedSource != flow.source else { return false }
        // Nobody chooses what no router passes on (RFC 4291, 2.5.6): masquerade took it while the uplink had nothing else.
        if flow.translatedSource.isLinkLocal, !flow.destination.isLinkLocal { return false }
        if localAddresses.contains(flow.translatedSource),
            !blocks.contains(where: { $0.translation.hidesSource && $0.means(flow.translatedSource) })
        {
            return true
        }
        return given.map { !$0.contains(flow) } ?? false
    }
}
