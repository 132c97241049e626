// SPDX-License-Identifier: GPL-3.0-or-later

/// The uplinks' lists of blocks, taken apart into pieces that several of them have in common.
///
/// Where 100 names and a glob that 100 other blocks have lead to 100 lists of 101 blocks, the lists differ in one place each.
/// A list is divided by the blocks' numbers, each part again, and parts with the same blocks are one piece, in
/// whichever list they are. So a list that differs in one block needs no more than the few pieces on the way to that block.
struct SharedLists {
    /// What a piece consists of, in order.
    enum Part: Equatable {
        /// Blocks by their indexes, ascending.
        case blocks([Int])
        /// Another piece, which comes before this one.
        case piece(Int)
    }

    /// A piece comes behind those that it consists of.
    private(set) var pieces: [[Part]] = []
    /// For each list its piece.
    private(set) var roots: [Int] = []
    private var known: [[Int]: Int] = [:]

    /// How many blocks and pieces the pieces have in them together: rules are in proportion to it.
    var length: Int {
        pieces.joined().reduce(0) { sum, part in
            if case .blocks(let blocks) = part { sum + blocks.count } else { sum + 1 }
        }
    }

    /// How many parts a piece is divided into, and how many blocks are not divided any further.
    ///
    /// Jumps within jumps are few then: five for 32 768 blocks, of the kernel's 16 (`NFT_JUMP_STACK_SIZE` in
    /// net/netfilter/nf_tables_core.c), of which the pages need six.
    private static let fanOut = 8

    /// Takes the uplinks' lists apart; absent where they are no longer together than `limit`.
    init?(of uplinks: [Uplink], beyond limit: Int) {
        guard Uplink.length(uplinks) > limit else { return nil }
        self.init(uplinks.map(\.blocks))
    }

    /// Takes lists apart.
    init(_ lists: [[Int]]) {
        var span = Self.fanOut
        while span <= lists.lazy.compactMap(\.last).max() ?? 0 { span *= Self.fanOut }
        for list in lists { roots.append(piece(list[...], span: span)) }
        inlineSingleUses()
    }

    private mutating func piece(_ list: ArraySlice<Int>, span: Int) -> Int {
        let key = Array(list)
        if let piece = known[key] { return piece }
        var parts: [Part] = []
        if list.count <= Self.fanOut {
            parts = [.blocks(key)]
        } else {
            let span = span / Self.fanOut
            var rest = list
            while let first = rest.first {
                let number = first / span
                let part = rest.prefix { $0 / span == number }
                rest = rest.dropFirst(part.count)
                let inner = piece(part, span: span)
                if part.count == list.count { return inner }
                parts.append(.piece(inner))
            }
        }
        pieces.append(parts)
        known[key] = pieces.count - 1
        return pieces.count - 1
    }

    /// Writes pieces that are needed in one place only into that place, and leaves nothing of them behind.
    private mutating func inlineSingleUses() {
        var uses = [Int](repeating: 0, count: pieces.count)
        for case .piece(let inner) in pieces.joined() { uses[inner] += 1 }
        for root in roots { uses[root] += 1 }
        for index in pieces.indices {
            pieces[index] = pieces[index].flatMap { part -> [Part] in
                if case .piece(let inner) = part, uses[inner] == 1 { pieces[inner] } else { [part] }
            }
        }
        isShared = uses.map { $0 > 1 }
    }

    /// For each piece whether several lists or pieces consist of it, so that it is worth a chain.
    private(set) var isShared: [Bool] = []
}

extension RulesetBuilder {
    /// One chain for each uplink, and before these the chains that they have in common.
    ///
    /// - Parameter build: makes a chain of an uplink's blocks, each rule of which is about one of them alone.
    func chains(_ page: Page, _ build: (Uplink) -> Ruleset.Chain) -> [Ruleset.Chain] {
        chains(page, of: uplinks, sharedLists, build)
    }

    /// The same for other uplinks.
    func chains(
        _ page: Page, of uplinks: [Uplink], _ sharedLists: SharedLists?, _ build: (Uplink) -> Ruleset.Chain
    ) -> [Ruleset.Chain] {
        guard let sharedLists else { return uplinks.map(build) }
        func rules(_ parts: [SharedLists.Part], _ uplink: Uplink) -> [Rule] {
            parts.flatMap { part -> [Rule] in
                switch part {
                case .blocks(let blocks): build(Uplink(pattern: uplink.pattern, blocks: blocks)).rules
                case .piece(let piece): [jump(to: piece, page)]
                }
            }
        }
        var chains: [Ruleset.Chain] = []
        for (piece, parts) in sharedLists.pieces.enumerated() where sharedLists.isShared[piece] {
            chains.append(.init(Self.chainName(of: piece, page), rules(parts, uplinks[0])))
        }
        for (uplink, root) in zip(uplinks, sharedLists.roots) {
            let parts = sharedLists.isShared[root] ? [.piece(root)] : sharedLists.pieces[root]
            chains.append(.init(uplink.chainName(page), rules(parts, uplink)))
        }
        return chains
    }

    private func jump(to piece: Int, _ page: Page) -> Rule {
        Rule([], .jump(Self.chainName(of: piece, page)), comment: comment("blocks in common"))
    }

    /// No uplink's chain has this name: behind a slash they have two hexadecimal digits.
    private static func chainName(of piece: Int, _ page: Page) -> String {
        "\(page.rawValue)_/shared_\(piece + 1)"
    }
}
