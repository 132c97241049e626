// SPDX-License-Identifier: GPL-3.0-or-later

import TestSupport
import Testing

@testable import MasqCore

@Suite("What a look at others' rules costs, and that it is cut into steps")
struct ForeignReviewTests {
    private typealias Rule = ForeignRuleset.Rule

    private static func configuration(
        _ sources: [[String]] = [["192.168.0.0/16"]], out: [String] = ["ppp0"], opens: Bool = false
    ) throws -> Configuration {
        let uplinks = try out.map { try InterfacePattern($0) }
        var configuration = Configuration(
            origin: .commandLine,
            outbound: try sources.map { networks in
                OutboundBlock(line: 1, outInterfaces: uplinks, source: try networks.map { try IPNetwork($0) })
            })
        if opens { configuration.forward.foreignDrop = .open }
        return configuration
    }

    private static func links(_ addresses: [(name: String, address: String)]) throws -> Links {
        Links(
            try addresses.enumerated().map { index, link in
                Link(
                    index: Int32(index + 2), name: InterfaceName(link.name), isUp: true,
                    addresses: [try #require(IPAddress(link.address))])
            })
    }

    /// Chains of which each jumps so many times to the next one, and the last one drops.
    private static func ladder(_ depth: Int, _ jumps: Int) -> ForeignRuleset {
        var chains: [ForeignName: [ForeignRuleset.Rule]] = [
            ForeignName("c\(depth)"): [Rule([], .drop, handle: 1)]
        ]
        for chain in 0..<depth {
            let jump = Rule([], .jump(ForeignName("c\(chain + 1)")), handle: 1)
            chains[ForeignName("c\(chain)")] = Array(repeating: jump, count: jumps)
        }
        return ForeignRuleset([
            .init(.ip, table: "t", chain: "c0", at: .forward, priority: 10, chains: chains)
        ])
    }

    private static func evaluations(
        _ audit: ForeignAudit, _ ruleset: ForeignRuleset
    ) -> (report: ForeignReport, count: Int) {
        var review = ForeignReview(audit, ruleset)
        while true {
            if let report = review.step(evaluations: 1000) { return (report, review.evaluations) }
        }
    }

    @Test("A chain is walked once however many ways lead there", arguments: [(15, 4), (16, 100), (16, 5000)])
    func ladders(depth: Int, jumps: Int) throws {
        let rules = depth * jumps + 1
        for opens in [false, true] {
            let audit = ForeignAudit(try Self.configuration(opens: opens), Links())
            let (report, count) = Self.evaluations(audit, Self.ladder(depth, jumps))
            #expect(opens ? report.edits.count == 1 : report.findings.map(\.kind) == [.dropsBoth])
            // Three packets: as they are, or without masqd's rule, at the place that is tried, and with it.
            #expect(count < rules * 3 * 10, "\(count) evaluations for \(rules) rules")
        }
    }

    @Test("Every way to a drop that a condition guards is tried once, and none is a place to open")
    func guardedLadder() throws {
        var ruleset = Self.ladder(15, 4)
        ruleset.hooks[0].chains["c0"] = [Rule([.state(8 | 2)], .jump("c1"))]
        let audit = ForeignAudit(try Self.configuration(opens: true), Links())
        let (report, count) = Self.evaluations(audit, ruleset)
        #expect(report.edits.isEmpty && report.findings.count == 1)
        #expect(count < 60 * 3 * 10)
    }

    @Test("Loops and ways that are deeper than the kernel's end, and decide nothing")
    func loops() throws {
        let audit = ForeignAudit(try Self.configuration(opens: true), Links())
        let jumps = { (name: ForeignName) in Array(repeating: Rule([], .jump(name)), count: 1000) }
        let loop = ForeignRuleset([
            .init(
                .ip, table: "t", chain: "a", at: .forward, dropsByPolicy: true,
                chains: [
                    "a": jumps("b"), "b": jumps("c") + jumps("b"), "c": jumps("b") + jumps("c") + jumps("a"),
                ])
        ])
        for ruleset in [loop, Self.ladder(40, 100)] {
            let (report, count) = Self.evaluations(audit, ruleset)
            #expect(report.findings.isEmpty && report.edits.isEmpty)
            #expect(count < 6000 * 3 * 20)
        }
    }

    @Test("Links that no rule can tell apart are one: 500 of them cost as much as one")
    func manyLinks() throws {
        let links = try Self.links((0..<500).map { ("mv\($0)", "10.\($0 / 250).\($0 % 250).1") })
        let rules = (0..<20_000).map { number in
            Rule(
                [
                    .address(
                        .destination,
                        .init(
                            family: .ipv4,
                            merging: [
                                .init(
                                    first: 134_217_728 + UInt128(number), last: 134_217_728 + UInt128(number))
                            ])),
                    .unknown,
                ], .accept)
        }
        let audit = ForeignAudit(try Self.configuration([["10.0.0.0/8"], ["192.168.0.0/16"]]), links)
        let named = [Rule([.link(.source, .name("mv7"))], .drop)]
        for (first, classes) in [([], 2), (named, 3)] {
            let hook = ForeignRuleset.Hook(
                .inet, table: "t", chain: "f", at: .forward, dropsByPolicy: true, chains: ["f": first + rules]
            )
            let (_, count) = Self.evaluations(audit, ForeignRuleset([hook]))
            // Up to three evaluations for each rule, and three for the pass before.
            #expect(count < 20_001 * (3 * classes * 3 + 4) + 10_000, "\(count)")
        }
    }

    @Test("Two names that look the same are two chains, and what is no UTF-8 is a name too")
    func names() {
        let names = [
            ForeignName("\u{E9}"), ForeignName("e\u{301}"), ForeignName([0xFF]), ForeignName([0xFE]),
            ForeignName("\u{FFFD}"),
        ]
        #expect(Set(names).count == 5)
        #expect(Set(names.map(\.printable)).count >= 4)
        #expect(ForeignName([0x61, 0x0A, 0xFF]).printable == "\"a\\n\\xFF\"")
        #expect(!ForeignName("a;b").isPlainName && ForeignName("FORWARD").isPlainName)
    }

    @Test("A mark that a chain may set counts from its second visit on")
    func secondVisit() throws {
        let hook = ForeignRuleset.Hook(
            .ip, table: "t", chain: "f", at: .forward, dropsByPolicy: true,
            chains: [
                "f": [Rule([], .jump("x")), Rule([], .jump("x"))],
                "x": [
                    Rule([.mark(4, mask: 4)], .accept),
                    Rule([.unknown], .none, markChange: .init(keep: .max, flip: 4)),
                ],
            ])
        let report = ForeignAudit(try Self.configuration(), Links()).report(on: ForeignRuleset([hook]))
        #expect(report.findings.isEmpty)
    }

    @Test("What is remembered changes no verdict, in thousands of small rulesets", arguments: [1, 2, 3, 4])
    func verdicts(seed: UInt64) throws {
        var rules = RandomForeignRules(random: SplitMix64(seed: seed))
        let inside = AddressRanges(family: .ipv4, networks: [try IPNetwork("10.1.0.0/16")])
        for _ in 0..<500 {
            let hook = rules.hook()
            for (link, unknown) in [("lan0", 0), ("mv7", 0), (nil, 5)] as [(InterfaceName?, UInt32)] {
                for stage in ForeignPacket.Stage.allCases {
                    var packet = ForeignPacket(
                        family: .ipv4, inside: inside, insideLink: link.map { .init(.name($0), index: 3) },
                        uplink: .init(.name("ppp0"), index: 6)
                    ).at(stage)
                    packet.mark = ForeignMark(unknown: unknown)
                    let expected = ForeignReference.verdict(on: packet, in: hook)
                    var walk = ForeignWalk(packet, through: hook)
                    var verdict: ForeignVerdict?
                    while verdict == nil {
                        // One at a time, so that it stops wherever it can.
                        var meter = ForeignMeter(1)
                        verdict = walk.run(&meter)
                    }
                    #expect(verdict == expected.verdict && walk.packet.mark == expected.mark, "\(hook)")
                }
            }
        }
    }

    @Test(
        "Packets that are taken together meet what each of them meets, and steps change nothing",
        arguments: [11, 12])
    func findings(seed: UInt64) throws {
        var rules = RandomForeignRules(random: SplitMix64(seed: seed))
        let links = try Self.links([
            ("lan0", "10.0.1.1"), ("lan1", "10.1.1.1"), ("mv7", "10.1.2.1"), ("mv8", "10.2.1.1"),
            ("ppp0", "10.3.1.1"),
        ])
        let sources = [["10.0.0.0/16", "10.1.0.0/17"], ["10.1.0.0/16"], ["10.2.0.0/15", "fd00::/8"]]
        for _ in 0..<400 {
            let ruleset = rules.ruleset()
            for opens in [false, true] {
                let configuration = try Self.configuration(sources, out: ["ppp0", "pp*"], opens: opens)
                let audit = ForeignAudit(configuration, links)
                let report = audit.report(on: ruleset)
                var review = ForeignReview(audit, ruleset)
                var stepped: ForeignReport?
                while stepped == nil { stepped = review.step(evaluations: 7) }
                #expect(stepped == report)
                if !opens { #expect(report.findings.map(\.claim) == Self.claims(audit, ruleset)) }
            }
        }
    }

    /// The same claims, each link looked at by itself and nothing remembered.
    private static func claims(_ audit: ForeignAudit, _ ruleset: ForeignRuleset) -> [String] {
        let hooks = ruleset.hooks.enumerated().sorted {
            ($0.element.priority, $0.offset) < ($1.element.priority, $1.offset)
        }
        .map(\.element)
        return hooks.indices.compactMap { index in
            let hook = hooks[index]
            var first: String?
            var (outward, answers) = (false, false)
            var words: (outward: String, answers: String)?
            for group in audit.groups where hook.family.sees(audit.sources[group.source].family) {
                for link in audit.linkLists[group.links] {
                    let drops = ForeignPacket.Stage.allCases.compactMap {
                        stage -> (ForeignPacket.Stage, ForeignVerdict)? in
                        var packet = audit.packet(of: group, from: link).at(stage)
                        packet.mark = ForeignMark(unknown: ruleset.earlierMarks)
                        if hook.chains.values.contains(where: { $0.contains(where: \.looksAtMark) }) {
                            for other in hooks.indices
                            where other != index && hooks[other].priority <= hook.priority
                                && hooks[other].family.sees(packet.family)
                            {
                                packet.mark = ForeignReference.verdict(on: packet, in: hooks[other]).mark
                            }
                        }
                        let verdict = ForeignReference.verdict(on: packet, in: hook).verdict
                        return verdict.outcomes == .drop ? (stage, verdict) : nil
                    }
                    guard let place = drops.first?.1.place else { continue }
                    outward = outward || drops.contains { $0.0 != .answer }
                    answers = answers || drops.contains { $0.0 == .answer }
                    if first == nil {
                        let more = group.sources.count - 1
                        let name = "\(group.sources[0])\(more == 0 ? "" : " and \(more) more")"
                        words = (
                            "what \(name) sends out of \(group.uplink.name)",
                            "the answers from \(group.uplink.name) to \(name)"
                        )
                        first = hook.reason(place)
                    }
                }
            }
            guard let first, let words else { return nil }
            let what = outward ? words.outward + (answers ? ", and the answers" : "") : words.answers
            return "\(hook.title) (rules made by hand) drops \(what): \(first)"
        }
    }
}
