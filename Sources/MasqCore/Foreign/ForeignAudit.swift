// SPDX-License-Identifier: GPL-3.0-or-later

/// The masqueraded traffic as others' tables see it, to be walked through them.
///
/// It is made again whenever links change, to see whether the traffic does, so it holds blocks × uplinks and lists of links
/// beside them, never their product.
public struct ForeignAudit: Equatable, Sendable {
    /// One kind of traffic: a block's sources of one family, out of one uplink.
    struct Group: Equatable, Sendable {
        let sources: [IPNetwork]
        let uplink: ForeignPacket.Link
        let isTranslated: Bool
        /// Which of ``ForeignAudit/sources`` its addresses are.
        let source: Int
        /// Which of ``ForeignAudit/linkLists`` it comes from.
        let links: Int
    }

    /// A group behind one of its links, or behind one of several that others' rules can't tell apart.
    struct Path {
        let group: Group
        let packet: ForeignPacket

        var sources: [IPNetwork] { group.sources }
        var uplink: InterfacePattern { group.uplink.name }
    }

    /// How many of a block's networks are walked through others' tables: 50 000 would be as good as these.
    private static let maximumSources = 256

    /// In the order of the configuration.
    let groups: [Group]
    /// The different source addresses that blocks have.
    let sources: [AddressRanges]
    /// The links that sources are behind, sorted by index; one that is not known where none has an address of them.
    let linkLists: [[ForeignPacket.Link?]]
    /// The mark that others' chains are to be opened with; absent where masqd only looks.
    let mark: UInt32?
    /// Base chains that can't be opened, since the kernel refused it.
    let refused: Set<String>

    /// Takes the configuration and the links as they are now.
    public init(_ configuration: Configuration, _ links: Links, refused: Set<String> = []) {
        mark = configuration.forward.foreignDrop == .open ? configuration.forward.mark : nil
        self.refused = refused
        var groups: [Group] = []
        var known = Known(links, configuration)
        for block in configuration.outbound {
            for family in AddressFamily.allCases {
                let sources = Array(
                    block.source.lazy.filter { $0.family == family }.prefix(Self.maximumSources))
                guard !sources.isEmpty else { continue }
                let source = known.source(AddressRanges(family: family, networks: sources))
                let list = known.links(behind: source, besides: block.outInterfaces)
                for uplink in block.outInterfaces {
                    groups.append(
                        Group(
                            sources: sources, uplink: .init(uplink, index: known.index(of: uplink)),
                            isTranslated: block.translation.hidesSource, source: source, links: list))
                }
            }
        }
        self.groups = groups
        sources = known.sources
        linkLists = known.linkLists
    }

    /// The first packet of a group that comes by a link.
    func packet(of group: Group, from link: ForeignPacket.Link?) -> ForeignPacket {
        let inside = sources[group.source]
        var packet = ForeignPacket(
            family: inside.family, inside: inside, insideLink: link, uplink: group.uplink)
        packet.isTranslated = group.isTranslated
        return packet
    }

    /// Everything in others' tables that is certainly in the way, in the order in which packets meet it, and where
    /// they are to be opened, what that takes: all at once, for those who may wait.
    public func report(on ruleset: ForeignRuleset) -> ForeignReport {
        var review = ForeignReview(self, ruleset)
        while true {
            if let report = review.step(evaluations: .max) { return report }
        }
    }

    /// What blocks have in common, found once.
    private struct Known {
        private(set) var sources: [AddressRanges] = []
        private(set) var linkLists: [[ForeignPacket.Link?]] = []
        private var sourceNumbers: [AddressRanges: Int] = [:]
        private var listNumbers: [Behind: Int] = [:]
        private var uplinkIndexes: [InterfacePattern: Int32] = [:]
        private let byIndex: [Int32: Link]
        /// Every address of a link, in order, with the link's index: links themselves are large to sort.
        private var addresses: [AddressFamily: [(value: UInt128, link: Int32)]] = [:]

        private struct Behind: Hashable {
            let source: Int
            let uplinks: [InterfacePattern]
        }

        init(_ links: Links, _ configuration: Configuration) {
            let uplinks = Set(configuration.outbound.lazy.flatMap(\.outInterfaces))
            byIndex = links.byIndex
            for link in links.byIndex.values {
                let name = InterfacePattern.name(link.name)
                if uplinks.contains(name) { uplinkIndexes[name] = link.index }
                for address in link.addresses {
                    addresses[address.family, default: []].append((address.value, link.index))
                }
            }
            for family in AddressFamily.allCases { addresses[family]?.sort { $0.value < $1.value } }
        }

        /// The index of the link that a pattern names, where it names one.
        func index(of pattern: InterfacePattern) -> Int32? { uplinkIndexes[pattern] }

        mutating func source(_ ranges: AddressRanges) -> Int {
            if let number = sourceNumbers[ranges] { return number }
            sourceNumbers[ranges] = sources.count
            sources.append(ranges)
            return sources.count - 1
        }

        /// The links that have an address of the sources; where none has, some link that is not known.
        mutating func links(behind source: Int, besides uplinks: [InterfacePattern]) -> Int {
            let key = Behind(source: source, uplinks: uplinks)
            if let number = listNumbers[key] { return number }
            let all = addresses[sources[source].family] ?? []
            var found: [Int32: Link] = [:]
            for range in sources[source].ranges {
                var index = all.firstIndex(fromWhichOn: { $0.value >= range.first })
                while index < all.count, all[index].value <= range.last {
                    let number = all[index].link
                    index += 1
                    guard found[number] == nil, let link = byIndex[number],
                        !uplinks.contains(where: { $0.matches(link.name) })
                    else { continue }
                    found[number] = link
                }
            }
            let list = found.values.sorted { $0.index < $1.index }
                .map { ForeignPacket.Link(.name($0.name), index: $0.index) }
            listNumbers[key] = linkLists.count
            linkLists.append(list.isEmpty ? [nil] : list)
            return linkLists.count - 1
        }
    }
}

extension ForeignRuleset.Hook {
    /// How nft names the base chain: `ip filter FORWARD`; `legacy ip filter FORWARD` is another one, which nft does not see.
    var title: String {
        let name = "\(family.rawValue) \(table.printable) \(chain.printable)"
        return backend == .legacy ? "legacy \(name)" : name
    }

    /// The rule that decides, for people: `its policy is drop`, `rule 3 of chain ufw-reject-forward is reject`.
    func reason(_ place: ForeignVerdict.Place?) -> String {
        guard let place else { return "by a rule that is not known" }
        guard let rule = place.rule else { return "its policy is \(place.word)" }
        let home = place.chain == chain ? "" : " of chain \(place.chain.printable)"
        return "rule \(rule)\(home) is \(place.word)"
    }
}

extension String {
    /// Whether it may stand in a command as it is.
    var isPlainName: Bool {
        !isEmpty
            && utf8.allSatisfy {
                switch $0 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"),
                    UInt8(ascii: "."), UInt8(ascii: "/"):
                    true
                default: false
                }
            }
    }
}
