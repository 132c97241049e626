// SPDX-License-Identifier: GPL-3.0-or-later

/// All packets of an audit at once, to see without looking at each that a condition holds for none of them.
public struct ForeignScope: Sendable {
    /// For how many of the packets a condition holds.
    private enum Share {
        case none, all
        /// For some, or that is not known.
        case other

        init(_ decision: Bool?) {
            switch decision {
            case true?: self = .all
            case false?: self = .none
            case nil: self = .other
            }
        }

        static func | (one: Share, other: Share) -> Share { one == other ? one : .other }
    }

    /// Every link at either end.
    private var links: [ForeignPacket.Link] = []
    private var names: Set<InterfacePattern> = []
    private var hasPrefixes = false
    private var indexes: Set<Int32> = []
    /// Some end is a link that is not known.
    private var hasUnknownLinks = false
    /// All sources of a family.
    private var inside: [AddressFamily: AddressRanges] = [:]
    /// One for each family, stage and kind of translation, for what has nothing to do with links and addresses.
    private var samples: [ForeignPacket] = []

    /// Collects what an audit's packets look like, of whose marks nothing is known.
    public init(_ audit: ForeignAudit) {
        var ranges: [AddressFamily: [AddressRange]] = [:]
        var seen: Set<InterfacePattern> = []
        for link in audit.linkLists.lazy.joined() {
            if let link {
                if seen.insert(link.name).inserted { append(link) }
            } else {
                hasUnknownLinks = true
            }
        }
        var kinds: Set<Int> = []
        for group in audit.groups {
            if seen.insert(group.uplink.name).inserted { append(group.uplink) }
            let family = audit.sources[group.source].family
            guard kinds.insert((family == .ipv4 ? 0 : 1) + (group.isTranslated ? 2 : 0)).inserted else {
                continue
            }
            samples += ForeignPacket.Stage.allCases.map { stage in
                var packet = audit.packet(of: group, from: nil).at(stage)
                packet.mark = ForeignMark(unknown: .max)
                return packet
            }
        }
        for source in audit.sources { ranges[source.family, default: []] += source.ranges }
        for (family, ranges) in ranges { inside[family] = AddressRanges(family: family, merging: ranges) }
    }

    private mutating func append(_ link: ForeignPacket.Link) {
        links.append(link)
        names.insert(link.name)
        if case .prefix = link.name { hasPrefixes = true }
        // A link that is not there yet has an index that nobody knows.
        if let index = link.index { indexes.insert(index) }
    }

    /// Whether a condition certainly holds for none of the traffic: its rule need not be looked at any further.
    public func rulesOut(_ condition: ForeignRuleset.Condition) -> Bool {
        samples.isEmpty || share(of: condition) == .none
    }

    private func share(of condition: ForeignRuleset.Condition) -> Share {
        switch condition {
        // In one direction a packet's source is the inside, in the other the uplink: both sides are the same here.
        case .link(_, let pattern): shareOfLinks(pattern)
        case .linkIndex(_, let index): indexes.contains(index) || hasUnknownLinks ? .other : .none
        case .address(_, let ranges):
            if let inside = inside[ranges.family] {
                ranges.decidesPublicAddresses == false && inside.isDisjoint(with: ranges) ? .none : .other
            } else {
                .none
            }
        case .any(let conditions): shareOfAny(conditions)
        case .not(let other):
            switch share(of: other) {
            case .none: .all
            case .all: .none
            case .other: .other
            }
        case .family, .transport, .state, .status, .isReply, .mark, .unknown:
            samples.dropFirst().reduce(Share(samples.first?.meets(condition) ?? nil)) {
                $0 | Share($1.meets(condition))
            }
        }
    }

    private func shareOfLinks(_ pattern: InterfacePattern) -> Share {
        if hasUnknownLinks { return .other }
        if case .name = pattern, !hasPrefixes, !names.contains(pattern) { return .none }
        var all: Share?
        for link in links {
            let one = Share(pattern.decides(link.name))
            all = all.map { $0 | one } ?? one
            if all == .other { break }
        }
        return all ?? .none
    }

    private func shareOfAny(_ conditions: [ForeignRuleset.Condition]) -> Share {
        var isNone = true
        for condition in conditions {
            switch share(of: condition) {
            case .all: return .all
            case .none: continue
            case .other: isNone = false
            }
        }
        return isNone ? .none : .other
    }
}
