// SPDX-License-Identifier: GPL-3.0-or-later

/// A packet's way to one base chain and through it; it stops wherever it is told to, and goes on from there.
struct ForeignPassage: Sendable {
    private var packet: ForeignPacket
    private let way: ForeignWay
    private let carried: UInt32
    private let overlay: ForeignOverlay
    private var stop = 0
    private var walk: ForeignWalk?

    /// A packet that carries masqd's mark, or none, where masqd's chains set it.
    init(
        _ packet: ForeignPacket, on way: ForeignWay, carrying carried: UInt32 = 0,
        with overlay: ForeignOverlay = .init()
    ) {
        self.packet = packet
        self.packet.mark = ForeignMark(unknown: way.earlierMarks)
        self.way = way
        self.carried = carried
        self.overlay = overlay
        // Where nobody looks at the mark, how it comes to be is nothing to look at.
        if !way.looksAtMark, carried == 0 { stop = way.stops.count }
    }

    /// A packet of which it is taken for granted that it has no mark.
    init(unmarked packet: ForeignPacket, on way: ForeignWay) {
        self.init(packet, on: way)
        self.packet.mark = ForeignMark()
        stop = way.stops.count
    }

    /// Begins, or goes on.
    ///
    /// - Returns: what the base chain does to the packet, once that is known.
    mutating func run(_ meter: inout ForeignMeter) -> ForeignVerdict? {
        while stop < way.stops.count {
            switch way.stops[stop] {
            case .permit(let mark): packet.mark.set(mark, carried & mark != 0)
            case .doubt(let bits): packet.mark.forget(bits)
            case .chain(let hook) where hook.family.sees(packet.family):
                guard run(through: hook, with: .init(), &meter) != nil else { return nil }
            case .chain: break
            }
            stop += 1
        }
        return run(through: way.hook, with: overlay, &meter)
    }

    private mutating func run(
        through hook: ForeignRuleset.Hook, with overlay: ForeignOverlay, _ meter: inout ForeignMeter
    ) -> ForeignVerdict? {
        // Taken out and put back, since what is changed within an optional may be copied.
        var walk = self.walk ?? ForeignWalk(packet, through: hook, with: overlay)
        self.walk = nil
        guard let verdict = walk.run(&meter) else {
            self.walk = walk
            return nil
        }
        packet = walk.packet
        return verdict
    }
}

/// How packets come to one base chain: whoever stands before that may have changed their mark, and at equal priority
/// either may be first.
struct ForeignWay: Sendable {
    let hook: ForeignRuleset.Hook
    /// The bits of the mark that are not known at hook forward's beginning.
    let earlierMarks: UInt32
    let looksAtMark: Bool
    /// What changes the mark before that, in order.
    let stops: [Stop]
    /// The base chains among them.
    let chains: [Int]

    enum Stop: Sendable {
        /// Another base chain.
        case chain(ForeignRuleset.Hook)
        /// Base chains of which it is not looked at whether they change these bits.
        case doubt(UInt32)
        /// masqd's own chain, which sets this bit or clears it.
        case permit(UInt32)
    }

    /// So many chains that change marks are walked through for each packet of another one.
    private static let maximumChains = 16

    /// The way to one of the base chains, which are sorted by their priorities.
    init(
        to index: Int, of hooks: [ForeignRuleset.Hook], _ surveys: [ForeignSurvey], mark: UInt32?,
        earlierMarks: UInt32
    ) {
        hook = hooks[index]
        self.earlierMarks = earlierMarks
        looksAtMark = surveys[index].looksAtMark
        let before = hooks.indices.filter { other in
            other != index && hooks[other].point == .forward && surveys[other].touchedMarks != 0
                && (hooks[index].point == .sourceNAT || hooks[other].priority <= hooks[index].priority)
        }
        let areWalked = before.count <= Self.maximumChains
        chains = areWalked ? before : []
        var stops: [Stop] = []
        var permit = mark
        for other in before {
            if let mark = permit, hooks[other].priority > BaseChain.permit.priority {
                stops.append(.permit(mark))
                permit = nil
            }
            stops.append(areWalked ? .chain(hooks[other]) : .doubt(surveys[other].touchedMarks))
        }
        if let mark = permit, hooks[index].priority > BaseChain.permit.priority {
            stops.append(.permit(mark))
        }
        self.stops = stops
    }
}
