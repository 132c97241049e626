// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

@Suite("Where others' chains are opened")
struct ForeignOpeningTests {
    private typealias Rule = ForeignRuleset.Rule
    private typealias Change = ForeignEdit.Change

    private static let mark: UInt32 = 0x1000
    private static let pass = Rule([.mark(mark, mask: mark)], .accept, handle: 99)

    private static func report(
        _ chains: [ForeignName: [ForeignRuleset.Rule]], dropsByPolicy: Bool = false,
        table: ForeignName = "filter",
        priority: Int32 = 0, refused: Set<String> = []
    ) throws -> ForeignReport {
        var configuration = Configuration.masquerading("ppp0", "192.168.0.0/16")
        configuration.forward.foreignDrop = .open
        let hook = ForeignRuleset.Hook(
            .ip, table: table, chain: "FORWARD", at: .forward, priority: priority,
            dropsByPolicy: dropsByPolicy, chains: chains)
        var ruleset = ForeignRuleset([hook])
        ruleset.generation = 7
        let report = ForeignAudit(configuration, Links(), refused: refused).report(on: ruleset)
        #expect(report.generation == 7)
        return report
    }

    private static func changes(_ report: ForeignReport) -> [String] {
        report.edits.map { edit in
            switch edit.change {
            case .insert(let mark, let before):
                "\(edit.chain): 0x\(String(mark, radix: 16)) \(before.map { "before \($0)" } ?? "at the end")"
            case .delete(let handle): "\(edit.chain): \(handle) goes"
            }
        }
    }

    @Test("A policy is opened at the end, and then nothing is found and nothing is left to do")
    func policy() throws {
        let report = try Self.report(
            ["FORWARD": [Rule([.family(.ipv6)], .drop, handle: 4)]], dropsByPolicy: true)
        #expect(Self.changes(report) == ["FORWARD: 0x1000 at the end"])
        #expect(report.permission == .all)
        #expect(report.findings.isEmpty)
        #expect(report.edits.first?.reason == "ip filter FORWARD (iptables): its policy is drop")
        let done = try Self.report(
            ["FORWARD": [Rule([.family(.ipv6)], .drop, handle: 4), Self.pass]], dropsByPolicy: true)
        #expect(done.edits.isEmpty && done.findings.isEmpty && done.permission == .all)
    }

    @Test(
        "Where established packets pass by the owner's own rule, first packets alone are marked, and the reverse"
    )
    func permission() throws {
        let established = Rule([.state(UInt32(2 | 4))], .accept)
        #expect(try Self.report(["FORWARD": [established]], dropsByPolicy: true).permission == .firstPackets)
        let new = Rule([.state(8)], .accept)
        #expect(try Self.report(["FORWARD": [new]], dropsByPolicy: true).permission == .laterPackets)
        #expect(try Self.report(["FORWARD": [new, established]], dropsByPolicy: true).permission == [])
        // What the owner lets pass in part, nobody knows which part, is his decision.
        let some = Rule([.state(8), .unknown], .accept)
        let report = try Self.report(["FORWARD": [some, established]], dropsByPolicy: true)
        #expect(report == ForeignReport(generation: 7))
    }

    @Test("A rule that is not where it belongs goes, in the same batch as another comes")
    func misplaced() throws {
        let drop = Rule([.unknown], .drop, handle: 5)
        let report = try Self.report(["FORWARD": [Self.pass, drop]], dropsByPolicy: true)
        #expect(Self.changes(report) == ["FORWARD: 0x1000 at the end", "FORWARD: 99 goes"])
        // A second one goes, and where nothing is dropped, the only one.
        let other = Rule([.mark(Self.mark, mask: Self.mark)], .accept, handle: 98)
        #expect(
            Self.changes(try Self.report(["FORWARD": [other, Self.pass]], dropsByPolicy: true)) == [
                "FORWARD: 98 goes"
            ])
        #expect(Self.changes(try Self.report(["FORWARD": [Self.pass]])) == ["FORWARD: 99 goes"])
        // Others' rules with other marks, or another verdict, are theirs.
        let theirs = [
            Rule([.mark(2, mask: 2)], .accept, handle: 1),
            Rule([.mark(Self.mark, mask: Self.mark)], .drop, handle: 2),
            Rule([.mark(Self.mark, mask: Self.mark), .transport(6)], .accept, handle: 3),
            Rule([.mark(Self.mark, mask: .max)], .accept, handle: 4),
        ]
        #expect(try Self.report(["FORWARD": theirs]).edits.isEmpty)
    }

    @Test("A final drop or reject is opened right before it, behind jumps too")
    func finalDrop() throws {
        #expect(
            Self.changes(
                try Self.report(["FORWARD": [Rule([.transport(17)], .accept), Rule([], .reject, handle: 8)]]))
                == ["FORWARD: 0x1000 before 8"])
        let nested: [ForeignName: [ForeignRuleset.Rule]] = [
            "FORWARD": [Rule([], .jump("a"), handle: 1)], "a": [Rule([], .goto("b"), handle: 2)],
            "b": [Rule([.unknown], .none, handle: 3), Rule([], .drop, handle: 4)],
        ]
        #expect(Self.changes(try Self.report(nested)) == ["b: 0x1000 before 4"])
    }

    @Test(
        "A chain that drops for several rules is not opened inside, but before the jump that has no condition"
    )
    func sharedChain() throws {
        let bad = ForeignRuleset.Condition.unknown
        let chains: [ForeignName: [ForeignRuleset.Rule]] = [
            "FORWARD": [Rule([bad], .jump("LOGDROP"), handle: 1), Rule([], .jump("LOGDROP"), handle: 2)],
            "LOGDROP": [Rule([], .none, handle: 3), Rule([], .drop, handle: 4)],
        ]
        let report = try Self.report(chains)
        #expect(Self.changes(report) == ["FORWARD: 0x1000 before 2"])
        #expect(report.findings.isEmpty)
    }

    @Test("What drops by a condition stays in force, with the advice that report gives")
    func conditional() throws {
        let link = ForeignRuleset.Condition.link(.destination, .name("ppp0"))
        for chains in [
            ["FORWARD": [Rule([link], .drop, handle: 1)]],
            ["FORWARD": [Rule([link], .jump("a"), handle: 1)], "a": [Rule([], .drop, handle: 2)]],
            [
                "FORWARD": [Rule([], .choose([.init(.state(8), .jump("a"))]), handle: 1)],
                "a": [Rule([], .drop)],
            ],
        ] as [[ForeignName: [ForeignRuleset.Rule]]] {
            let report = try Self.report(chains, dropsByPolicy: false)
            #expect(report.edits.isEmpty, "\(chains)")
            #expect(report.permission.isEmpty)
            #expect(report.findings.first?.advice.isEmpty == false)
        }
    }

    @Test("An end that nobody comes to is not opened")
    func unreachableEnd() throws {
        let report = try Self.report(["FORWARD": [Rule([], .return, handle: 1)]], dropsByPolicy: true)
        #expect(report.edits.isEmpty)
        #expect(report.findings.count == 1)
    }

    @Test("Where the mark is not known, or the kernel refuses, or firewalld is at home, masqd only advises")
    func impossible() throws {
        for report in [
            try Self.report(["FORWARD": []], dropsByPolicy: true, table: "firewalld"),
            try Self.report(["FORWARD": []], dropsByPolicy: true, priority: -140),
            try Self.report(["FORWARD": []], dropsByPolicy: true, priority: 1000),
            try Self.report(["FORWARD": []], dropsByPolicy: true, refused: ["ip filter FORWARD"]),
        ] {
            #expect(report.edits.isEmpty)
            #expect(report.findings.count == 1)
        }
        // Somebody may clear all marks before the end.
        let clears = Rule([.unknown], .none, markChange: .init(keep: 0, flip: 0), handle: 1)
        let report = try Self.report(["FORWARD": [clears]], dropsByPolicy: true)
        #expect(report.findings.isEmpty)
    }
}
