// SPDX-License-Identifier: GPL-3.0-or-later

/// The masqueraded traffic as others' tables see it, to be walked through them.
public struct ForeignAudit: Equatable, Sendable {
    /// One kind of traffic: a block's sources of one family, behind one link, out of one uplink.
    struct Path: Equatable, Sendable {
        let sources: [IPNetwork]
        let packet: ForeignPacket

        var uplink: InterfacePattern { packet.uplink.name }
    }

    /// How many of a block's networks are walked through others' tables: 50 000 would be as good as these.
    private static let maximumSources = 256

    let paths: [Path]
    /// The packets of every path at every stage, of whose marks nothing is known.
    private let packets: [ForeignPacket]
    /// The mark that others' chains are to be opened with; absent where masqd only looks.
    private let mark: UInt32?
    /// Base chains that can't be opened, since the kernel refused it.
    private let refused: Set<String>

    /// Whether a condition certainly holds for none of the traffic: its rule need not be looked at any further.
    public func rulesOut(_ condition: ForeignRuleset.Condition) -> Bool {
        packets.allSatisfy { $0.meets(condition) == false }
    }

    /// Takes the configuration and the links as they are now.
    public init(_ configuration: Configuration, _ links: Links, refused: Set<String> = []) {
        mark = configuration.forward.foreignDrop == .open ? configuration.forward.mark : nil
        self.refused = refused
        var paths: [Path] = []
        for block in configuration.outbound {
            for family in AddressFamily.allCases {
                let sources = Array(
                    block.source.lazy.filter { $0.family == family }.prefix(Self.maximumSources))
                guard !sources.isEmpty else { continue }
                let inside = AddressRanges(family: family, networks: sources)
                for uplink in block.outInterfaces {
                    let outside = ForeignPacket.Link(uplink, index: links.index(of: uplink))
                    for link in Self.insideLinks(of: block, inside, links) {
                        var packet = ForeignPacket(
                            family: family, inside: inside, insideLink: link, uplink: outside)
                        packet.isTranslated = block.translation.hidesSource
                        paths.append(Path(sources: sources, packet: packet))
                    }
                }
            }
        }
        self.paths = paths
        packets = paths.flatMap { path in
            ForeignPacket.Stage.allCases.map { stage in
                var packet = path.packet.at(stage)
                packet.mark = ForeignMark(unknown: .max)
                return packet
            }
        }
    }

    /// The links that have an address of the sources; where none has, some link that is not known.
    private static func insideLinks(
        of block: OutboundBlock, _ inside: AddressRanges, _ links: Links
    ) -> [ForeignPacket.Link?] {
        let found = links.byIndex.values.filter { link in
            !block.outInterfaces.contains { $0.matches(link.name) }
                && link.addresses.contains { inside.contains($0) }
        }
        guard !found.isEmpty else { return [nil] }
        return found.sorted { $0.index < $1.index }.map {
            ForeignPacket.Link(.name($0.name), index: $0.index)
        }
    }

    /// Everything in others' tables that is certainly in the way, in the order in which packets meet it, and where
    /// they are to be opened, what that takes.
    public func report(on ruleset: ForeignRuleset) -> ForeignReport {
        var report = ForeignReport(generation: ruleset.generation)
        report.isComplete = ruleset.isComplete
        report.mayTranslate = !ruleset.isComplete || ruleset.hooks.contains { $0.point == .sourceNAT }
        var kept: Set<ForeignEdit> = []
        for hook in ruleset.hooks.sorted(by: { $0.priority < $1.priority }) {
            let finding: ForeignFinding?
            switch hook.point {
            case .forward:
                if let mark, ForeignOpening.isPossible(in: hook), !refused.contains(hook.title) {
                    let opening = ForeignOpening(hook, for: traffic(in: hook, of: ruleset), mark: mark)
                    report.permission.formUnion(opening.permission)
                    for edit in opening.edits where !report.edits.contains(edit) { report.edits.append(edit) }
                    kept.formUnion(opening.kept)
                    finding = drop(in: opening.opened, of: ruleset, carrying: mark)
                } else {
                    finding = drop(in: hook, of: ruleset)
                }
            case .sourceNAT: finding = translation(in: hook, of: ruleset)
            }
            if let finding { report.findings.append(finding) }
        }
        // Two base chains of one table may lead to the same chain.
        report.edits.removeAll { kept.contains($0) }
        return report
    }

    /// The packets that a base chain sees, without masqd's mark and with it.
    private func traffic(
        in hook: ForeignRuleset.Hook, of ruleset: ForeignRuleset
    ) -> [(bare: ForeignPacket, marked: ForeignPacket)] {
        paths.filter { hook.family.sees($0.packet.family) }.flatMap { path in
            ForeignPacket.Stage.allCases.map { stage in
                let packet = path.packet.at(stage)
                return (
                    arriving(packet, at: hook, of: ruleset, carrying: 0),
                    arriving(packet, at: hook, of: ruleset, carrying: mark ?? 0)
                )
            }
        }
    }

    /// A packet with what is known of its mark when it comes to a base chain: whoever stands before that may have
    /// changed it, and at equal priority either may be first.
    private func arriving(
        _ packet: ForeignPacket, at hook: ForeignRuleset.Hook, of ruleset: ForeignRuleset,
        carrying carried: UInt32
    ) -> ForeignPacket {
        var packet = packet
        packet.mark = ForeignMark(unknown: ruleset.earlierMarks)
        guard hook.looksAtMark || carried != 0 else { return packet }
        var isMarked = false
        func passPermit() {
            guard let mark, !isMarked else { return }
            packet.mark.set(mark, carried & mark != 0)
            isMarked = true
        }
        for other in ruleset.hooks.sorted(by: { $0.priority < $1.priority })
        where other.point == .forward && other.family.sees(packet.family) && other.title != hook.title {
            guard hook.point == .sourceNAT || other.priority <= hook.priority else { break }
            if other.priority > BaseChain.permit.priority { passPermit() }
            _ = other.verdict(on: &packet)
        }
        if hook.priority > BaseChain.permit.priority { passPermit() }
        return packet
    }

    /// What one base chain drops, with the commands for all of it.
    private func drop(
        in hook: ForeignRuleset.Hook, of ruleset: ForeignRuleset, carrying mark: UInt32 = 0
    ) -> ForeignFinding? {
        var first: (path: Path, place: ForeignVerdict.Place?, owner: ForeignOwner)?
        var dropsOutward = false
        var dropsAnswers = false
        var advice = ForeignAdvice(hook)
        for path in paths where hook.family.sees(path.packet.family) {
            let verdicts = ForeignPacket.Stage.allCases.map {
                ($0, hook.verdict(on: arriving(path.packet.at($0), at: hook, of: ruleset, carrying: mark)))
            }.filter { $0.1.outcomes == .drop }
            guard let place = verdicts.first?.1.place else { continue }
            let outwardFails = verdicts.contains { $0.0 != .answer }
            let answersFail = verdicts.contains { $0.0 == .answer }
            dropsOutward = dropsOutward || outwardFails
            dropsAnswers = dropsAnswers || answersFail
            let owner = ForeignOwner(hook, place)
            advice.permit(path, outward: outwardFails, answers: answersFail, asking: owner)
            if first == nil { first = (path, place, owner) }
        }
        guard let first else { return nil }
        let kind: ForeignFinding.Kind =
            !dropsAnswers ? .dropsOutward : !dropsOutward ? .dropsAnswers : .dropsBoth
        let what =
            kind == .dropsAnswers
            ? "the answers from \(first.path.uplink) to \(Self.summary(first.path.sources))"
            : "what \(Self.summary(first.path.sources)) sends out of \(first.path.uplink)"
        let answers = kind == .dropsBoth ? ", and the answers" : ""
        return ForeignFinding(
            kind: kind, owner: first.owner, baseChain: hook.title,
            claim: "\(hook.title) (\(first.owner)) drops \(what)\(answers): \(hook.reason(first.place))",
            advice: advice.commands, unlisted: advice.unlisted)
    }

    /// What one nat chain translates before masqd's own, whose priority is 105; or, of what masqd lets pass as it is,
    /// before or behind it.
    private func translation(
        in hook: ForeignRuleset.Hook, of ruleset: ForeignRuleset
    ) -> ForeignFinding? {
        for path in paths where hook.family.sees(path.packet.family) {
            guard !path.packet.isTranslated || hook.priority <= BaseChain.postrouting.priority else {
                continue
            }
            let verdict = hook.verdict(on: path.packet)
            guard verdict.outcomes.contains(.translate), let place = verdict.place else { continue }
            let arriving = arriving(path.packet, at: hook, of: ruleset, carrying: 0)
            let isCertain = hook.verdict(on: arriving).outcomes == .translate
            let owner = ForeignOwner(hook, place)
            return ForeignFinding(
                kind: isCertain ? .translates : .mayTranslate, owner: owner, baseChain: hook.title,
                claim: """
                    \(hook.title) (\(owner)) \(isCertain ? "translates" : "may translate") what \
                    \(Self.summary(path.sources)) sends out of \(path.uplink)\
                    \(path.packet.isTranslated ? " before masqd does" : ", which is routed"): \(hook.reason(place))
                    """,
                advice: isCertain ? ForeignAdvice.removal(of: place, in: hook, of: owner) : [])
        }
        return nil
    }

    /// For people: `192.168.0.0/16 and 3 more`.
    private static func summary(_ sources: [IPNetwork]) -> String {
        guard let first = sources.first else { return "nothing" }
        return sources.count == 1 ? "\(first)" : "\(first) and \(sources.count - 1) more"
    }
}

extension Links {
    /// The index of the link that a pattern names, where it names one.
    fileprivate func index(of pattern: InterfacePattern) -> Int32? {
        if case .name(let name) = pattern { named(name)?.index } else { nil }
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
    /// As it is where it is a plain name, else quoted: what others call their chains may be anything.
    var printable: String { isPlainName ? self : quoted }

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
