// SPDX-License-Identifier: GPL-3.0-or-later

/// The different packets of an audit, as far as a base chain can tell: what it has no word for makes no difference.
///
/// 500 links of the inside, none of which a rule names, are one.
struct ForeignClasses: Sendable {
    /// One packet for each class, the first of its connection.
    private(set) var packets: [ForeignPacket] = []
    /// The traffic, each kind once for each class that it has; the class is the index of its packet.
    private(set) var paths: [(group: Int, class: Int)] = []

    private let audit: ForeignAudit
    private let family: ForeignRuleset.Family
    private let vocabularies: [ForeignVocabulary]
    private var sources: [Int] = []
    private var sourceNumbers: [[[Int]]: Int] = [:]
    /// For each list of links the ones that differ, with their numbers.
    private var lists: [[(number: Int, link: ForeignPacket.Link?)]] = []
    private var seen: Set<Int> = []
    private var link = 0
    private var linkNumbers: [[ForeignVocabulary.LinkWord]: Int] = [[]: 0]
    private var numbers: [Kind: Int] = [:]
    private var group = 0

    private struct Kind: Hashable {
        let source: Int
        let link: Int
        let uplink: Int
        let isTranslated: Bool
    }

    init(_ audit: ForeignAudit, _ family: ForeignRuleset.Family, _ vocabularies: [ForeignVocabulary]) {
        self.audit = audit
        self.family = family
        self.vocabularies = vocabularies
    }

    /// Goes on.
    ///
    /// - Returns: whether it is over.
    mutating func run(_ meter: inout ForeignMeter) -> Bool {
        while sources.count < audit.sources.count {
            if meter.isExhausted { return false }
            let source = audit.sources[sources.count]
            meter.spend(8 + source.ranges.count)
            let words = vocabularies.map { $0.words(for: source) } + [[source.family == .ipv4 ? 4 : 6]]
            sources.append(sourceNumbers.number(of: words))
        }
        while lists.count < audit.linkLists.count {
            guard readList(&meter) else { return false }
        }
        while group < audit.groups.count {
            if meter.isExhausted { return false }
            append(audit.groups[group], &meter)
            group += 1
        }
        return true
    }

    private mutating func readList(_ meter: inout ForeignMeter) -> Bool {
        let list = audit.linkLists[lists.count]
        while link < list.count {
            if meter.isExhausted { return false }
            meter.spend(4)
            let number = self.number(of: list[link])
            if seen.insert(number).inserted { different.append((number, list[link])) }
            link += 1
        }
        lists.append(different)
        (link, seen, different) = (0, [], [])
        return true
    }

    /// The links of the list under way that differ so far.
    private var different: [(number: Int, link: ForeignPacket.Link?)] = []

    /// A number that links share which are one to the rules; 0 is the link that is not known.
    private mutating func number(of link: ForeignPacket.Link?) -> Int {
        guard let link else { return 0 }
        return linkNumbers.number(of: vocabularies.map { $0.word(for: link) })
    }

    private mutating func append(_ group: ForeignAudit.Group, _ meter: inout ForeignMeter) {
        meter.spend(4)
        guard family.sees(audit.sources[group.source].family) else { return }
        let uplink = number(of: group.uplink)
        for (number, link) in lists[group.links] {
            meter.spend()
            let kind = Kind(
                source: sources[group.source], link: number, uplink: uplink, isTranslated: group.isTranslated)
            let index = numbers.number(of: kind)
            if index == packets.count { packets.append(audit.packet(of: group, from: link)) }
            paths.append((self.group, index))
        }
    }
}

extension Dictionary where Value == Int {
    /// A number for a key: the one that it has, or the next one.
    fileprivate mutating func number(of key: Key) -> Int {
        if let number = self[key] { return number }
        self[key] = count
        return count - 1
    }
}
