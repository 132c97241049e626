// SPDX-License-Identifier: GPL-3.0-or-later

/// What one base chain does to all traffic; it stops wherever it is told to, and goes on from there.
struct ForeignHookReview: Sendable {
    /// What is in the way, and stays there.
    private(set) var finding: ForeignFinding?
    /// What carries the mark, and passes because of it.
    private(set) var permission: Permission = []
    /// The places that are opened, where any may be.
    private(set) var opening: ForeignOpening?

    private let audit: ForeignAudit
    private let way: ForeignWay
    private var classes: ForeignClasses
    private var stage = Stage.classes
    /// The packet that comes next.
    private var cursor = 0
    private var passage: ForeignPassage?
    /// What is dropped without masqd's rule, by packet.
    private var dropped: [Int] = []
    /// The place that is tried for the packet that comes next.
    private var candidate: (place: ForeignOpening.Place, reason: ForeignVerdict.Place)?
    private var verdicts: [ForeignVerdict] = []
    private var owners: [ForeignVerdict.Place: ForeignOwner] = [:]
    private var drop: ForeignDrop

    private enum Stage {
        /// Which packets the chain can tell apart.
        case classes
        /// What becomes of them without masqd's rule.
        case bare
        /// Where that has to be for those that are dropped.
        case opening
        /// What becomes of them as it is, or as it will be then.
        case final
        /// What that means for each kind of traffic.
        case findings
        /// What it translates.
        case translation
        case over
    }

    /// Every packet of a class has three stages, and a number.
    private static let stages = ForeignPacket.Stage.allCases

    init(
        to index: Int, of hooks: [ForeignRuleset.Hook], _ surveys: [ForeignSurvey], for audit: ForeignAudit,
        earlierMarks: UInt32
    ) {
        let hook = hooks[index]
        self.audit = audit
        way = ForeignWay(to: index, of: hooks, surveys, mark: audit.mark, earlierMarks: earlierMarks)
        drop = ForeignDrop(hook)
        if let mark = audit.mark, hook.point == .forward, ForeignOpening.isPossible(in: hook, surveys[index]),
            !audit.refused.contains(hook.title)
        {
            opening = ForeignOpening(surveys[index], of: hook, mark: mark)
        }
        let isMarkAsked = surveys[index].looksAtMark || opening != nil
        classes = ForeignClasses(
            audit, hook.family,
            ([index] + (isMarkAsked ? way.chains : [])).map { surveys[$0].vocabulary })
    }

    /// Goes on.
    ///
    /// - Returns: whether it is over.
    mutating func run(_ meter: inout ForeignMeter) -> Bool {
        while true {
            if meter.isExhausted { return false }
            switch stage {
            case .classes:
                guard classes.run(&meter) else { return false }
                stage = way.hook.point == .sourceNAT ? .translation : opening == nil ? .final : .bare
            case .bare: lookAtBare(&meter)
            case .opening: open(&meter)
            case .final: lookAtFinal(&meter)
            case .findings: find(&meter)
            case .translation: translate(&meter)
            case .over: return true
            }
        }
    }

    private var packetCount: Int { classes.packets.count * Self.stages.count }

    private func packet(_ number: Int) -> ForeignPacket {
        classes.packets[number / Self.stages.count].at(Self.stages[number % Self.stages.count])
    }

    private mutating func enter(_ next: Stage) {
        stage = next
        cursor = 0
    }

    /// Goes on with one packet's passage, or begins it.
    private mutating func verdict(
        _ meter: inout ForeignMeter, beginning: () -> ForeignPassage
    ) -> ForeignVerdict? {
        var passage = self.passage ?? beginning()
        self.passage = nil
        let verdict = passage.run(&meter)
        if verdict == nil { self.passage = passage }
        return verdict
    }

    private mutating func lookAtBare(_ meter: inout ForeignMeter) {
        guard cursor < packetCount, let opening else { return enter(.opening) }
        let (packet, way) = (packet(cursor), way)
        guard let verdict = verdict(&meter, beginning: { .init(packet, on: way, with: opening.bare) }) else {
            return
        }
        if verdict.outcomes == .drop { dropped.append(cursor) }
        cursor += 1
    }

    /// For each packet that is dropped: where, and whether it passes if that is opened.
    private mutating func open(_ meter: inout ForeignMeter) {
        guard cursor < dropped.count, var opening, !opening.isFull else { return enter(.final) }
        let (packet, way, mark) = (packet(dropped[cursor]), way, audit.mark ?? 0)
        let overlay = candidate.map { opening.overlay(with: $0.place) } ?? opening.overlay
        let passing = verdict(&meter) { .init(packet, on: way, carrying: mark, with: overlay) }
        guard let passing else { return }
        if let (place, reason) = candidate {
            if passing.outcomes != .drop { opening.open(place, because: reason) }
            candidate = nil
        } else if passing.outcomes == .drop, let reason = passing.place {
            candidate = opening.candidate(for: reason).map { ($0, reason) }
            meter.spend(16)
        }
        self.opening = opening
        if candidate == nil { cursor += 1 }
    }

    private mutating func lookAtFinal(_ meter: inout ForeignMeter) {
        guard cursor < packetCount else {
            for number in dropped where verdicts[number].outcomes != .drop {
                permission.formUnion(packet(number).stage.permission)
            }
            return enter(.findings)
        }
        let (packet, way) = (packet(cursor), way)
        let (overlay, mark) = opening.map { ($0.overlay, audit.mark ?? 0) } ?? (.init(), 0)
        let verdict = verdict(&meter) { .init(packet, on: way, carrying: mark, with: overlay) }
        guard let verdict else { return }
        verdicts.append(verdict)
        cursor += 1
    }

    private mutating func find(_ meter: inout ForeignMeter) {
        guard cursor < classes.paths.count else {
            finding = drop.finding
            return enter(.over)
        }
        let (group, number) = classes.paths[cursor]
        cursor += 1
        meter.spend(1)
        let first = number * Self.stages.count
        let drops = Self.stages.indices.filter { verdicts[first + $0].outcomes == .drop }
        guard let some = drops.first else { return }
        meter.spend(8)
        let place = verdicts[first + some].place
        drop.add(
            ForeignAudit.Path(group: audit.groups[group], packet: classes.packets[number]),
            drops.map { Self.stages[$0] }, at: place, of: owner(of: place))
    }

    private mutating func owner(of place: ForeignVerdict.Place?) -> ForeignOwner {
        guard let place else { return ForeignOwner(way.hook, nil) }
        if let owner = owners[place] { return owner }
        let owner = ForeignOwner(way.hook, place)
        owners[place] = owner
        return owner
    }

    /// What a nat chain translates before masqd's own, whose priority is 105; or, of what masqd lets pass as it is,
    /// before or behind it.
    private mutating func translate(_ meter: inout ForeignMeter) {
        guard cursor < classes.packets.count else { return enter(.over) }
        let (packet, way) = (classes.packets[cursor], way)
        guard !packet.isTranslated || way.hook.priority <= BaseChain.postrouting.priority else {
            cursor += 1
            return
        }
        if let translating {
            guard let arriving = verdict(&meter, beginning: { .init(packet, on: way) }) else { return }
            finding = translation(by: translating, isCertain: arriving.outcomes == .translate)
            return enter(.over)
        }
        guard let verdict = verdict(&meter, beginning: { .init(unmarked: packet, on: way) }) else { return }
        if verdict.outcomes.contains(.translate), let place = verdict.place {
            translating = place
        } else {
            cursor += 1
        }
    }

    /// The place that translates the packet that comes next.
    private var translating: ForeignVerdict.Place?

    private mutating func translation(by place: ForeignVerdict.Place, isCertain: Bool) -> ForeignFinding? {
        guard let path = classes.paths.first(where: { $0.class == cursor }) else { return nil }
        let (group, hook, owner) = (audit.groups[path.group], way.hook, owner(of: place))
        return ForeignFinding(
            kind: isCertain ? .translates : .mayTranslate, owner: owner, baseChain: hook.title,
            claim: """
                \(hook.title) (\(owner)) \(isCertain ? "translates" : "may translate") what \
                \(group.sources.summary) sends out of \(group.uplink.name)\
                \(group.isTranslated ? " before masqd does" : ", which is routed"): \(hook.reason(place))
                """,
            advice: isCertain ? ForeignAdvice.removal(of: place, in: hook, of: owner) : [])
    }
}

/// What one base chain drops, with the commands for all of it.
private struct ForeignDrop: Sendable {
    private let hook: ForeignRuleset.Hook
    private var first: (group: ForeignAudit.Group, place: ForeignVerdict.Place?, owner: ForeignOwner)?
    private var dropsOutward = false
    private var dropsAnswers = false
    private var advice: ForeignAdvice

    init(_ hook: ForeignRuleset.Hook) {
        self.hook = hook
        advice = ForeignAdvice(hook)
    }

    /// Takes in the packets of one kind of traffic that are dropped.
    mutating func add(
        _ path: ForeignAudit.Path, _ stages: [ForeignPacket.Stage], at place: ForeignVerdict.Place?,
        of owner: ForeignOwner
    ) {
        let outwardFails = stages.contains { $0 != .answer }
        let answersFail = stages.contains(.answer)
        dropsOutward = dropsOutward || outwardFails
        dropsAnswers = dropsAnswers || answersFail
        advice.permit(path, outward: outwardFails, answers: answersFail, asking: owner)
        if first == nil { first = (path.group, place, owner) }
    }

    var finding: ForeignFinding? {
        guard let first else { return nil }
        let kind: ForeignFinding.Kind =
            !dropsAnswers ? .dropsOutward : !dropsOutward ? .dropsAnswers : .dropsBoth
        let (sources, uplink) = (first.group.sources.summary, first.group.uplink.name)
        let what =
            kind == .dropsAnswers
            ? "the answers from \(uplink) to \(sources)" : "what \(sources) sends out of \(uplink)"
        let answers = kind == .dropsBoth ? ", and the answers" : ""
        return ForeignFinding(
            kind: kind, owner: first.owner, baseChain: hook.title,
            claim: "\(hook.title) (\(first.owner)) drops \(what)\(answers): \(hook.reason(first.place))",
            advice: advice.commands, unlisted: advice.unlisted)
    }
}

extension [IPNetwork] {
    /// For people: `192.168.0.0/16 and 3 more`.
    fileprivate var summary: String {
        guard let first else { return "nothing" }
        return count == 1 ? "\(first)" : "\(first) and \(count - 1) more"
    }
}
