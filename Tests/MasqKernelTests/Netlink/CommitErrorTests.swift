// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore
import TestSupport
import Testing

@testable import MasqKernel

/// A batch that the kernel refuses: the first object that is wrong is named, and nothing changes.
@Suite struct CommitErrorTests {
    /// Changes around a good table, and what is to blame.
    struct Refusal: CustomTestStringConvertible, Sendable {
        let name: String
        let changes: [Change]
        let object: String
        var code = ENOENT
        var testDescription: String { name }
    }

    private static func rule(
        _ action: Rule.Action, when matches: [Rule.Match] = [], counter: String? = nil
    ) -> Snapshot.RuleBytes {
        Rule(matches, counter: counter, action, comment: "test").lowered()
    }

    private static let network = Ruleset.Elements.addresses(
        AddressRanges(family: .ipv4, merging: [AddressRange(first: 0xc633_6400, last: 0xc633_64ff)]))

    static let refusals = [
        Refusal(
            name: "a rule for a chain that is not there",
            changes: [
                .addObject(.counter("good")), .addRule(chain: "nowhere", rule(.accept)),
                .addChain("good", nil),
            ],
            object: "a rule of chain nowhere"),
        Refusal(
            name: "a jump to nowhere",
            changes: [.addChain("good", nil), .addRule(chain: "good", rule(.jump("nowhere")))],
            object: "a rule of chain good"),
        Refusal(
            name: "a look-up in a set that is not there",
            changes: [
                .addChain("good", nil), .addRule(chain: "good", rule(.accept)),
                .addRule(chain: "guard", rule(.accept, when: [.interfaceIn(.input, set: "nowhere")])),
            ], object: "a rule of chain guard"),
        Refusal(
            name: "a counter that is not there",
            changes: [.addRule(chain: "guard", rule(.accept, counter: "nowhere"))],
            object: "a rule of chain guard"),
        Refusal(
            name: "an element of a set that is not there",
            changes: [
                .addElements(set: "masquerade_1_source", network), .addElements(set: "nowhere", network),
                .addChain("good", nil),
            ], object: "elements of set nowhere"),
        Refusal(
            name: "an element that is not there",
            changes: [.addChain("good", nil), .deleteElements(set: "masquerade_1_source", network)],
            object: "elements of set masquerade_1_source"),
        Refusal(
            name: "a map's element that leads to nowhere",
            changes: [.addElements(set: "outward", .jumps(["lan0": "nowhere"]))],
            object: "elements of set outward"),
        Refusal(
            name: "a chain that somebody jumps to deleted",
            changes: [.addChain("good", nil), .flushChain("guard"), .deleteChain("guard")],
            object: "chain guard",
            code: EBUSY),
        Refusal(
            name: "a set that rules use deleted", changes: [.deleteSet("masquerade_1_source")],
            object: "set masquerade_1_source", code: EBUSY),
        Refusal(
            name: "a counter that rules use deleted", changes: [.deleteObject(.counter("leak_guard"))],
            object: "counter leak_guard", code: EBUSY),
        Refusal(
            name: "two wrong ones: the first is named",
            changes: [
                .addChain("good", nil), .addRule(chain: "first", rule(.accept)),
                .addRule(chain: "second", rule(.accept)), .deleteSet("third"),
            ], object: "a rule of chain first"),
        Refusal(
            name: "an error behind elements of several messages",
            changes: [
                .addSet("good", Snapshot.SetShape(of: manyNetworks)),
                .addElements(set: "good", manyNetworks), .deleteSet("nowhere"), .addChain("better", nil),
            ], object: "set nowhere"),
        Refusal(
            name: "so many errors that they don't all fit into the receive buffer",
            changes: (0..<30_000).map { .deleteSet("nowhere_\($0)") }, object: "set nowhere_0"),
    ]

    /// Some 100 KiB of elements.
    private static var manyNetworks: Ruleset.Elements {
        let ranges = (0..<2000).map { AddressRange(first: UInt128($0) * 16, last: UInt128($0) * 16 + 3) }
        return .addresses(AddressRanges(family: .ipv4, merging: ranges))
    }

    @Test("The first object that the kernel refuses is named, and nothing changes", arguments: refusals)
    func names(refusal: Refusal) throws {
        let namespace = try NetworkNamespace()
        var table = try namespace.kernelTable()
        _ = try table.apply(GoldenRuleset.rich.ruleset)
        let before = try TableListing(in: namespace)
        var connection = try namespace.connection()
        let generation = try connection.generation()

        do {
            _ = try connection.commit(refusal.changes, generation: generation)
            Issue.record("nothing was thrown")
        } catch {
            #expect(error == NetlinkError(.commit, code: refusal.code, object: refusal.object))
            #expect("\(error)".hasPrefix("the kernel refused \(refusal.object): "))
        }
        #expect(try namespace.generation() == generation)
        let after = try TableListing(in: namespace)
        #expect(after.handles == before.handles && after == before)

        // What is left of the answers to the failed batch is not taken for the next one's.
        let next = try connection.commit([.addChain("next", nil)], generation: generation)
        #expect(next == generation + 1)
        #expect(try namespace.snapshot().chains["next"] != nil)
    }
}
