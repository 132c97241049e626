// SPDX-License-Identifier: GPL-3.0-or-later

/// Says which connections are translated wrongly, and will be for ever unless their conntrack entry goes.
///
/// One invariant: a connection from a masqueraded source whose route leads out of an uplink is translated to an address
/// of that uplink. It breaks when a connection began without a rule, or through a link that is not masqueraded; when
/// the address of a link with a peer is replaced; when a link was up before it had an address.
public struct FlowJudge: Sendable {
    private let blocks: [Block]
    /// Every address of the machine.
    private let localAddresses: Set<IPAddress>

    /// A block and the links that are its uplinks now.
    private struct Block: Sendable {
        let source: [AddressRanges]
        let exclude: [AddressRanges]
        /// The addresses that its connections may have.
        let uplinkAddresses: Set<IPAddress>
        /// The indexes of the uplinks that are up, with the families that they have an address of.
        let usable: [Int32: Set<AddressFamily>]

        init(_ block: OutboundBlock, _ links: Links) {
            source = AddressFamily.allCases.map { AddressRanges(family: $0, networks: block.source) }
            exclude = AddressFamily.allCases.map { AddressRanges(family: $0, networks: block.exclude) }
            let uplinks = links.byIndex.values.filter { link in
                block.outInterfaces.contains { $0.matches(link.name) }
            }
            uplinkAddresses = Set(uplinks.flatMap(\.addresses))
            var usable: [Int32: Set<AddressFamily>] = [:]
            for link in uplinks where link.isUp {
                usable[link.index] = Set(link.addresses.filter { !$0.isLinkLocal }.map(\.family))
            }
            self.usable = usable
        }

        func applies(to flow: Flow) -> Bool {
            source.contains { $0.contains(flow.source) }
                && !exclude.contains { $0.contains(flow.destination) }
        }
    }

    /// Takes the configuration and the links as they are now.
    public init(_ configuration: Configuration, _ links: Links) {
        blocks = configuration.outbound.map { Block($0, links) }
        localAddresses = Set(links.byIndex.values.flatMap(\.addresses))
    }

    /// Whether the flow's route has to be asked for: cheap, and false for nearly all.
    public func isSuspicious(_ flow: Flow) -> Bool {
        guard !localAddresses.contains(flow.destination) else { return false }
        var isOurs = false
        for block in blocks where block.applies(to: flow) {
            if block.uplinkAddresses.contains(flow.translatedSource) { return false }
            isOurs = true
        }
        return isOurs && !isForeignOnPurpose(flow)
    }

    /// Whether a suspicious flow is wrong, now that the link is known that its next packet leaves by.
    public func isWrong(_ flow: Flow, leavingBy link: Int32) -> Bool {
        blocks.contains { block in
            block.applies(to: flow) && block.usable[link]?.contains(flow.source.family) == true
        }
    }

    /// Translated to another address of the machine's, which is none of a masqueraded network.
    ///
    /// masquerade itself picks an inside address when the uplink has none yet; an administrator picks a public one.
    private func isForeignOnPurpose(_ flow: Flow) -> Bool {
        flow.translatedSource != flow.source && localAddresses.contains(flow.translatedSource)
            && !blocks.contains { $0.source.contains { $0.contains(flow.translatedSource) } }
    }
}
