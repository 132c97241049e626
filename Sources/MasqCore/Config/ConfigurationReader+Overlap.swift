// SPDX-License-Identifier: GPL-3.0-or-later

/// Two blocks by their numbers.
private struct BlockPair: Hashable {
    let later: Int
    let earlier: Int
}

/// Which network: the block's number, and the network's in the block's source.
private struct NetworkID {
    let block: Int
    let index: Int
}

extension ConfigurationReader {
    /// Warns about networks that lie within others of their list, and returns their indices.
    mutating func reportOverlaps(_ networks: [IPNetwork], in list: StringList) -> Set<Int> {
        var covered: Set<Int> = []
        for family in AddressFamily.allCases {
            let ascending = IPNetwork.ascending(networks, of: family)
            // Of two networks that overlap one contains the other: the last outer one is all to look at.
            guard var outer = ascending.first else { continue }
            for index in ascending.dropFirst() {
                let (network, wider) = (networks[index], networks[outer])
                if network.range.first > wider.range.last {
                    outer = index
                    continue
                }
                covered.insert(index)
                let line = list.place(of: outer).position.map { " on line \($0.line)" } ?? ""
                diagnostics.add(
                    .warning, at: list.place(of: index),
                    network == wider
                        ? "\"\(network)\" is listed twice"
                        : "\"\(network)\" overlaps \"\(wider)\"\(line), merged")
            }
        }
        return covered
    }

    /// Reports blocks that repeat others, and sources that an earlier block with the same interface takes first.
    mutating func reportConflicts(of blocks: [OutboundDraft]) {
        let uplinks = Uplink.all(of: blocks.map { $0.outInterfaces ?? [] })
        guard !reportLength(of: uplinks, blocks), blocks.count > 1 else { return }
        var reported = reportRepeatedBlocks(blocks)
        var sweeps: Set<[Int]> = []
        for group in uplinks.map(\.blocks)
        where group.count > 1 && sweeps.insert(group).inserted {
            reportOverlaps(between: group, of: blocks, reported: &reported)
        }
    }

    /// Reports blocks that name interfaces in so many ways that the rules would be too many to commit at once.
    private mutating func reportLength(of uplinks: [Uplink], _ blocks: [OutboundDraft]) -> Bool {
        let length = Uplink.sharedLength(uplinks)
        guard length > Uplink.longestSharedLists, let last = blocks.last else { return false }
        diagnostics.add(
            .error, at: last.place,
            """
            the blocks up to here name interfaces in so many ways that \(length) entries are needed, \
            \(Uplink.longestSharedLists) are the most: give blocks the same out_interface, or write a glob, as ppp*
            """)
        return true
    }

    /// Returns the pairs of blocks that it reported, the later one first.
    private mutating func reportRepeatedBlocks(_ blocks: [OutboundDraft]) -> Set<BlockPair> {
        struct Meaning: Hashable {
            let outInterfaces: Set<InterfacePattern>
            let source: [[AddressRange]]
        }
        var reported: Set<BlockPair> = []
        var first: [Meaning: Int] = [:]
        for (number, block) in blocks.enumerated() {
            guard let outInterfaces = block.outInterfaces, let source = block.source else { continue }
            let meaning = Meaning(
                outInterfaces: Set(outInterfaces),
                source: AddressFamily.allCases.map {
                    AddressRanges(family: $0, networks: source.networks).ranges
                })
            guard let earlier = first[meaning] else {
                first[meaning] = number
                continue
            }
            reported.insert(BlockPair(later: number, earlier: earlier))
            let line = blocks[earlier].place.position?.line ?? 0
            let winner = blocks[earlier].kind
            diagnostics.add(
                .error, at: block.place,
                "\(block.kind.header) repeats the \(winner == block.kind ? "one" : winner.header) on line \(line): "
                    + "same out_interface and same source")
        }
        return reported
    }

    private mutating func reportOverlaps(
        between group: [Int], of blocks: [OutboundDraft], reported: inout Set<BlockPair>
    ) {
        for family in AddressFamily.allCases {
            var networks: [IPNetwork] = []
            var identities: [NetworkID] = []
            for number in group {
                guard let source = blocks[number].source else { continue }
                for (index, network) in source.networks.enumerated()
                where network.family == family && !source.covered.contains(index) {
                    networks.append(network)
                    identities.append(NetworkID(block: number, index: index))
                }
            }
            // At most one of each prefix length, so that it stays short.
            var enclosing: [Int] = []
            for item in IPNetwork.ascending(networks, of: family) {
                while let last = enclosing.last, networks[last].range.last < networks[item].range.first {
                    enclosing.removeLast()
                }
                // Networks of one block don't overlap any more, so whatever encloses is another block's.
                for outer in enclosing {
                    report(identities[item], overlapping: identities[outer], of: blocks, reported: &reported)
                }
                // Of equals the first block's alone: the others have been told that they lose to it.
                if enclosing.last.map({ networks[$0] }) != networks[item] { enclosing.append(item) }
            }
        }
    }

    private mutating func report(
        _ one: NetworkID, overlapping other: NetworkID, of blocks: [OutboundDraft],
        reported: inout Set<BlockPair>
    ) {
        let (earlier, later) = one.block < other.block ? (one, other) : (other, one)
        guard reported.insert(BlockPair(later: later.block, earlier: earlier.block)).inserted,
            let winner = blocks[earlier.block].source, let loser = blocks[later.block].source
        else { return }
        let line = blocks[earlier.block].place.position?.line ?? 0
        diagnostics.add(
            .warning, at: loser.strings.place(of: later.index),
            """
            "\(loser.networks[later.index])" overlaps "\(winner.networks[earlier.index])" of the \(blocks[earlier.block].kind.header) on line \(line), \
            which has an interface in common: the first block wins
            """)
    }
}
