// SPDX-License-Identifier: GPL-3.0-or-later

extension AddressRanges {
    /// What one of several claims gets.
    struct Share {
        /// The addresses that no earlier claim has.
        let ranges: AddressRanges
        /// The lowest address that an earlier claim has already, and the index of that claim.
        let lost: (address: IPAddress, to: Int)?
    }

    /// Divides addresses among claims of one family: each goes to the first one that has it.
    ///
    /// In n log n for n ranges, however they overlap.
    static func divided(_ claims: [AddressRanges]) -> [Share] {
        // Between two neighbouring bounds all addresses have the same claims.
        var bounds: Set<UInt128> = []
        for range in claims.lazy.flatMap(\.ranges) {
            bounds.insert(range.first)
            if range.last < .max { bounds.insert(range.last + 1) }
        }
        let starts = bounds.sorted()
        let index = Dictionary(uniqueKeysWithValues: zip(starts, starts.indices))
        var pieces = Pieces(count: starts.count)
        return claims.enumerated().map { number, claim in
            var own: [AddressRange] = []
            var lost: (IPAddress, Int)?
            for range in claim.ranges {
                let end = range.last < .max ? index[range.last + 1] ?? starts.count : starts.count
                var piece = index[range.first] ?? end
                while piece < end {
                    if let owner = pieces.owner[piece] {
                        lost = lost ?? (IPAddress(family: claim.family, value: starts[piece]), owner)
                        piece = pieces.firstFree(from: piece)
                        continue
                    }
                    pieces.owner[piece] = number
                    let last = piece + 1 < starts.count ? starts[piece + 1] - 1 : range.last
                    own.append(AddressRange(first: starts[piece], last: last))
                    piece += 1
                }
            }
            return Share(ranges: AddressRanges(family: claim.family, merging: own), lost: lost)
        }
    }
}

/// Pieces of the address space in order, each of which has one owner or none.
private struct Pieces {
    var owner: [Int?]
    /// For a piece with an owner one further on, from where to look for one without.
    private var next: [Int]

    init(count: Int) {
        owner = [Int?](repeating: nil, count: count)
        next = (0..<count).map { $0 + 1 }
    }

    /// The first piece without an owner from here on; their number where there is none.
    mutating func firstFree(from start: Int) -> Int {
        var free = start
        while free < owner.count, owner[free] != nil { free = next[free] }
        // So that nobody goes this way again step by step.
        var piece = start
        while piece < free { (piece, next[piece]) = (next[piece], free) }
        return free
    }
}
