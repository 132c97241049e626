// SPDX-License-Identifier: GPL-3.0-or-later

/// What a base chain's rules can tell packets apart by: two links, or two sources, that it has no word for are one.
struct ForeignVocabulary: Sendable {
    private var names: Set<InterfacePattern> = []
    private var prefixes: [InterfacePattern] = []
    private var indexes: Set<Int32> = []
    private var sources: [AddressFamily: SourceCells] = [:]

    /// With more different beginnings of names than these each link is looked at by itself.
    private static let maximumPrefixes = 64

    /// Begins a vocabulary for traffic with these sources.
    init(_ audit: ForeignAudit) {
        for family in AddressFamily.allCases {
            sources[family] = SourceCells(audit.sources.filter { $0.family == family })
        }
    }

    /// Takes in what a condition speaks of.
    mutating func add(_ condition: ForeignRuleset.Condition, _ meter: inout ForeignMeter) {
        meter.spend()
        switch condition {
        case .link(_, .prefix(let prefix)):
            let pattern = InterfacePattern.prefix(prefix)
            if prefixes.count <= Self.maximumPrefixes, !prefixes.contains(pattern) {
                prefixes.append(pattern)
            }
        case .link(_, let name): names.insert(name)
        case .linkIndex(_, let index): indexes.insert(index)
        case .address(_, let ranges):
            meter.spend(ranges.ranges.count)
            sources[ranges.family]?.add(ranges)
        case .any(let conditions): for condition in conditions { add(condition, &meter) }
        case .not(let other): add(other, &meter)
        case .family, .transport, .state, .status, .isReply, .mark, .unknown: break
        }
    }

    /// What the rules can see of a link; links that have the same are one to them.
    func word(for link: ForeignPacket.Link) -> LinkWord {
        // What begins so may be any name.
        guard case .name = link.name, prefixes.count <= Self.maximumPrefixes else {
            return LinkWord(name: link.name, index: link.index)
        }
        var beginnings: UInt64 = 0
        for (number, prefix) in prefixes.enumerated() where prefix.covers(link.name) {
            beginnings |= 1 << UInt64(number)
        }
        return LinkWord(
            name: names.contains(link.name) ? link.name : nil, beginnings: beginnings,
            index: link.index.flatMap { indexes.contains($0) ? $0 : nil })
    }

    /// What the rules can see of sources; those that have the same are one to them.
    func words(for source: AddressRanges) -> [Int] { sources[source.family]?.words(for: source) ?? [] }

    /// A link as the rules see it.
    struct LinkWord: Hashable, Sendable {
        var name: InterfacePattern?
        /// Which of the beginnings it has.
        var beginnings: UInt64 = 0
        var index: Int32?
    }
}

/// The address space of one family, cut at the ends of all sources; and which of the pieces rules tell apart.
private struct SourceCells: Sendable {
    /// Where each cell begins; before the first one there is no source.
    private let starts: [UInt128]
    /// Whether a range of a rule begins or ends where a cell begins.
    private var isSeparate: [Bool]
    /// Whether one begins or ends within: it is like no other cell then.
    private var isCut: [Bool]

    /// With more ranges than these each source is looked at by itself.
    private static let maximumRanges = 4096

    init(_ sources: [AddressRanges]) {
        var bounds: Set<UInt128> = []
        let count = sources.reduce(0) { $0 + $1.ranges.count }
        if count <= Self.maximumRanges {
            for range in sources.lazy.flatMap(\.ranges) {
                bounds.insert(range.first)
                if range.last < .max { bounds.insert(range.last + 1) }
            }
        }
        starts = bounds.sorted()
        isSeparate = Array(repeating: false, count: starts.count)
        isCut = isSeparate
    }

    mutating func add(_ ranges: AddressRanges) {
        guard !starts.isEmpty else { return }
        for range in ranges.ranges {
            add(range.first)
            if range.last < .max { add(range.last + 1) }
        }
    }

    private mutating func add(_ bound: UInt128) {
        let next = starts.firstIndex(fromWhichOn: { $0 > bound })
        guard next > 0 else { return }
        if starts[next - 1] == bound { isSeparate[next - 1] = true } else { isCut[next - 1] = true }
    }

    /// The parts that are told apart, of which a source has an address each; its bounds are among the cells'.
    func words(for source: AddressRanges) -> [Int] {
        guard !starts.isEmpty else { return source.ranges.flatMap { Self.own($0) } }
        var parts: [Int] = []
        // A number for each cell, one more wherever something separates it from the one before.
        let numbers = numbers
        for range in source.ranges {
            var cell = starts.firstIndex(fromWhichOn: { $0 >= range.first })
            while cell < starts.count, starts[cell] <= range.last {
                if parts.last != numbers[cell] { parts.append(numbers[cell]) }
                cell += 1
            }
        }
        return parts
    }

    private var numbers: [Int] {
        var number = 0
        return starts.indices.map { cell in
            if isSeparate[cell] || isCut[cell] || (cell > 0 && isCut[cell - 1]) { number += 1 }
            return number
        }
    }

    /// The bounds themselves, as many numbers as that takes.
    private static func own(_ range: AddressRange) -> [Int] {
        [range.first, range.last].flatMap {
            [Int(truncatingIfNeeded: $0), Int(truncatingIfNeeded: $0 >> 64)]
        }
    }
}
