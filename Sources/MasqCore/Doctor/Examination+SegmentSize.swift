// SPDX-License-Identifier: GPL-3.0-or-later

// Where packets get smaller on the way and nobody tells TCP, connections hang as soon as data flows.
extension Examination {
    /// The own chain, as `nft list chain` takes it.
    private static let ownClamp = "inet \(Ruleset.tableName) mss"

    mutating func examineSegmentSize(of uplinks: [Uplink], _ links: Links, _ mss: Configuration.Mss) {
        let inside = links.byIndex.values.filter { link in
            link.isUp && link.name != "lo" && !uplinks.contains { $0.name == link.name }
        }
        // More than that no router on the way takes.
        let widest = min(1500, inside.map(\.mtu).max() ?? 1500)
        for uplink in uplinks {
            guard let link = uplink.link, link.isUp else { continue }
            let isNarrow = link.mtu < widest
            switch mss.clamp {
            case .pathMTU where isNarrow: addClamp("it", link)
            case .fixed(let size): examine(Int(size), uplink, link, isNarrow: isNarrow)
            case .off where isNarrow: examineOthersClamps(link)
            case .pathMTU, .off: break
            }
        }
    }

    /// A number that the file says.
    private mutating func examine(_ size: Int, _ uplink: Uplink, _ link: Link, isNarrow: Bool) {
        // The headers of IPv4 or IPv6, and of TCP, without options.
        let largest = uplink.families.map { link.mtu - ($0 == .ipv4 ? 40 : 60) }
        guard let smallest = largest.min(), let most = largest.max() else { return }
        let claim = "the MTU of \(link.name) is \(link.mtu), and [mss] clamp is \(size)"
        if isNarrow, size > smallest {
            let consequence = "larger than the \(smallest) that fit: \(Self.consequence)"
            add(Finding(.warning, "\(claim), \(consequence)", type: origin.edit))
        } else if !isNarrow, size > most {
            add(
                Finding(
                    .hint, "\(claim), larger than the \(most) that fit: it lowers nothing", type: origin.edit)
            )
        } else if isNarrow {
            addClamp("\(size)", link)
        }
    }

    /// What masqd does about it, where that is in force; else the table is what is wrong.
    private mutating func addClamp(_ size: String, _ link: Link) {
        guard observations.segmentClamps.value?.contains(Self.ownClamp) == true else { return }
        add(.ok, "the MTU of \(link.name) is \(link.mtu), and masqd clamps the MSS to \(size)")
    }

    /// Whether anybody else does, where the file does not want masqd to.
    private mutating func examineOthersClamps(_ link: Link) {
        guard let clamps = look(observations.segmentClamps, "whether the MSS is clamped") else { return }
        let claim = "the MTU of \(link.name) is \(link.mtu)"
        if let chain = clamps.first(where: { $0 != Self.ownClamp }) {
            return add(.ok, "\(claim), and \(chain) clamps the MSS")
        }
        add(
            Finding(
                .warning,
                "\(claim), [mss] clamp is \"off\", and nobody else clamps the MSS: \(Self.consequence)",
                type: origin.edit))
    }

    private static let consequence = "where ICMP is filtered, connections hang once data flows"
}
