// SPDX-License-Identifier: GPL-3.0-or-later

extension Uplink {
    /// Whole names first, then globs, the longer before the shorter.
    ///
    /// A pattern's blocks include those of the wider patterns that cover it. So the first chain that a packet
    /// reaches knows all of its blocks, and the file's order decides among them, not the way of writing.
    ///
    /// Patterns that add nothing to what covers them share its list's memory: 2000 names and their glob, which 2000 blocks
    /// name, are one list and not 2000.
    ///
    /// - Parameter interfaces: the patterns of each block.
    static func all(of interfaces: [[InterfacePattern]]) -> [Uplink] {
        var own: [InterfacePattern: [Int]] = [:]
        var (names, globs): ([InterfacePattern], [InterfacePattern]) = ([], [])
        for (index, patterns) in interfaces.enumerated() {
            for pattern in patterns {
                guard let blocks = own[pattern] else {
                    own[pattern] = [index]
                    if case .name = pattern { names.append(pattern) } else { globs.append(pattern) }
                    continue
                }
                if blocks.last != index { own[pattern]?.append(index) }
            }
        }
        globs.sort { "\($0)".utf8.count > "\($1)".utf8.count }
        var lists: [InterfacePattern: [Int]] = [:]
        for pattern in globs.reversed() + names {
            let wider = pattern.widerGlobs.lazy.compactMap { lists[$0] }.first ?? []
            lists[pattern] = wider.merged(with: own[pattern] ?? [])
        }
        return (names + globs).map { Uplink(pattern: $0, blocks: lists[$0] ?? []) }
    }

    /// How long the uplinks' lists are together.
    static func length(_ uplinks: [Uplink]) -> Int { uplinks.reduce(0) { $0 + $1.blocks.count } }

    /// Up to which length of the uplinks' lists together each uplink has chains of its own, which are easier to read.
    static let longestSeparateLists = 256

    /// What a file's lists may come to together where they share what they have in common: some 60 000 rules.
    static let longestSharedLists = 16384

    /// How long the uplinks' lists are together where they share what they have in common.
    static func sharedLength(_ uplinks: [Uplink]) -> Int {
        let uplinks = withoutCovered(uplinks, beyond: longestSeparateLists)
        let shared = SharedLists(of: uplinks, beyond: longestSeparateLists)?.length ?? length(uplinks)
        return shared + globWeight * uplinks.count { if case .prefix = $0.pattern { true } else { false } }
    }

    /// What a glob counts for beside its list: no map can have it, so it is a rule in each chain that tells uplinks apart.
    /// The kernel lists a chain in a time that grows with the square of its rules (`__nf_tables_dump_rules`).
    private static let globWeight = 3

    /// Where their lists are longer together than `limit`, without those whose list is that of the first glob behind them
    /// which covers them: packets of theirs go on to that one's rule.
    static func withoutCovered(_ uplinks: [Uplink], beyond limit: Int) -> [Uplink] {
        guard length(uplinks) > limit else { return uplinks }
        let lists = Dictionary(uniqueKeysWithValues: uplinks.map { ($0.pattern, $0.blocks) })
        return uplinks.filter { uplink in
            uplink.pattern.widerGlobs.lazy.compactMap { lists[$0] }.first != uplink.blocks
        }
    }
}

extension [Int] {
    /// Both ascending lists in one; this one itself where it has all of the other.
    fileprivate func merged(with other: [Int]) -> [Int] {
        guard !isEmpty else { return other }
        if other.allSatisfy({ contains(sorted: $0) }) { return self }
        return Set(self).union(other).sorted()
    }

    private func contains(sorted element: Int) -> Bool {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if self[middle] < element { low = middle + 1 } else { high = middle }
        }
        return low < count && self[low] == element
    }
}
