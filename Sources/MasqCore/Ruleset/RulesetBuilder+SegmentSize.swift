// SPDX-License-Identifier: GPL-3.0-or-later

extension RulesetBuilder {
    /// The first rules of the forward chain: what passes at once, and before it what a SYN must have done to it.
    ///
    /// A SYN, repeated or answered, belongs to a connection that is translated already, so it would pass by the rule
    /// "translated". It is never of one that is assured as well, and to ask for both bits costs no more than for one:
    /// so a connection under way pays nothing for the clamping of others' SYNs.
    var connectionRules: [Rule] {
        let translated = Rule(
            [.sourceTranslated], .accept, comment: comment("translated connections, both directions"))
        guard clampedSegmentSize != nil else { return [translated] }
        return [
            Rule([.sourceTranslatedAssured], .accept, comment: comment("translated connections under way")),
            Rule([.synchronizes], .jump("mss"), comment: segmentSizeComment),
            translated,
        ]
    }

    /// The set of the uplinks' whole names, for those that need no chain of their own.
    var uplinkNames: Ruleset.NamedSet? {
        let names = uplinks.compactMap(\.pattern.wholeName)
        return names.isEmpty ? nil : .init("uplinks", .interfaces(Set(names)))
    }

    /// What SYNs that leave or arrive by an uplink announce as the largest segment is lowered.
    ///
    /// In the forward hook both routes are known: the packet has its own, and the kernel looks up the one back.
    var segmentSizeChain: Ruleset.Chain? {
        guard let size = clampedSegmentSize else { return nil }
        var rules: [Rule] = []
        for direction in [Rule.Direction.output, .input] {
            var matches: [Rule.Match] = []
            if let uplinkNames { matches.append(.interfaceIn(direction, set: uplinkNames.name)) }
            for uplink in uplinks {
                if case .prefix = uplink.pattern { matches.append(.interface(direction, uplink.pattern)) }
            }
            rules += matches.map { Rule([$0], .clampSegmentSize(size), comment: segmentSizeComment) }
        }
        return .init("mss", rules)
    }

    private var clampedSegmentSize: Rule.SegmentSize? {
        switch configuration.mss.clamp {
        case .pathMTU: .pathMTU
        case .fixed(let size): .fixed(size)
        case .off: nil
        }
    }

    private var segmentSizeComment: String { comment("mss clamp", line: configuration.mss.clampLine) }
}
