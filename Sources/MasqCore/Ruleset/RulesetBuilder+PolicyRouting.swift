// SPDX-License-Identifier: GPL-3.0-or-later

extension RulesetBuilder {
    /// A connection remembers its `[[uplink]]` in its mark, and its packets toward the uplink carry that to routing.
    ///
    /// Toward the uplink means: the answers, where it came in by it, and the first packet's way, where it left by it. All
    /// else, such as an ICMP error that the gateway sends to a client, is routed as if there were no marks; so an
    /// uplink's routing table needs no route to any network inside.
    var policyRoutingChains: [Ruleset.Chain] {
        let marks = configuration.policyRouting.marks
        let unmarked = Rule.Match.connectionMark(mask: marks.numberMask, 0)
        var arriving: [Rule] = []
        var leaving: [Rule] = []
        var toward: [Rule] = []
        for uplink in configuration.uplinks {
            let mark = marks.mark(uplink.number)
            let pattern = InterfacePattern.name(uplink.interface)
            func comment(_ purpose: String) -> String { self.comment(purpose, line: uplink.line) }
            arriving.append(
                Rule(
                    [.interface(.input, pattern)],
                    .markConnection(mask: marks.mask, mark | marks.cameIn), comment: comment("came in by it"))
            )
            leaving.append(
                Rule(
                    [.interface(.output, pattern)], .markConnection(mask: marks.mask, mark),
                    comment: comment("left by it")))
            toward += [
                Rule(
                    [.connectionMark(mask: marks.mask, mark), .originalDirection],
                    .markPacket(mask: marks.numberMask, mark), comment: comment("goes on by it")),
                Rule(
                    [.connectionMark(mask: marks.mask, mark | marks.cameIn), .replyDirection],
                    .markPacket(mask: marks.numberMask, mark), comment: comment("answered by it")),
            ]
        }
        let line = configuration.uplinks.first?.line
        return [
            .init("uplink_arriving", arriving), .init("uplink_leaving", leaving),
            .init("uplink_toward", toward),
            .init(
                "mark_arriving", base: .markArriving,
                [
                    Rule(
                        [.state(.new), unmarked], .jump("uplink_arriving"),
                        comment: self.comment("connections that begin", line: line)),
                    Rule(
                        [], .jump("uplink_toward"), comment: self.comment("back to their uplink", line: line)),
                ]),
            .init(
                "mark_own", base: .markOwn,
                [Rule([], .jump("uplink_toward"), comment: self.comment("back to their uplink", line: line))]),
            // Not only the first packet: connections that began before the rules were there get their mark too.
            .init(
                "mark_leaving", base: .markLeaving,
                [
                    Rule(
                        [unmarked, .originalDirection], .jump("uplink_leaving"),
                        comment: self.comment("connections that leave", line: line))
                ]),
        ]
    }
}
