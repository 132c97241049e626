// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import TestSupport
import Testing

@testable import MasqKernel

/// Whatever somebody does to the table, one batch mends it, and touches nothing else.
@Suite struct MendingTests {
    @Test("One batch mends what somebody did to the table", arguments: Interference.all)
    func mends(interference: Interference) throws {
        let namespace = try NetworkNamespace()
        try namespace.nft(foreignTables)
        let foreign = try foreignTablesListed(in: namespace)
        try namespace.nft(try countedRuleset)
        let ruleset = try GoldenRuleset.rich.ruleset
        var table = try namespace.kernelTable()
        try #require(try table.apply(ruleset).isEmpty)
        let before = try TableListing(in: namespace)

        for transaction in interference.script.split(separator: "---\n") {
            try namespace.nft(String(transaction))
        }
        let damaged = try namespace.snapshot()
        #expect(damaged != Snapshot(lowering: ruleset), "this is no interference")
        let generation = try namespace.generation()
        let changes = try table.apply(ruleset)

        #expect(!changes.isEmpty)
        #expect(try namespace.generation() == generation + interference.batches)
        #expect(try namespace.snapshot() == Snapshot(lowering: ruleset))
        let after = try TableListing(in: namespace)
        #expect(withoutValues(after, interference).objects == withoutValues(before, interference).objects)
        #expect(after.tableHandle == before.tableHandle)
        let isUntouched = { (head: String) in !interference.touches.contains { head.hasPrefix($0) } }
        #expect(after.handles(whereHead: isUntouched) == before.handles(whereHead: isUntouched))
        #expect(try foreignTablesListed(in: namespace) == foreign)
        #expect(try table.apply(ruleset).isEmpty)
    }

    @Test("A table that somebody deleted is made anew")
    func makesAnew() throws {
        let namespace = try NetworkNamespace()
        var table = try namespace.kernelTable()
        let ruleset = try GoldenRuleset.rich.ruleset
        _ = try table.apply(ruleset)
        let before = try TableListing(in: namespace)
        try namespace.nft("flush ruleset")
        #expect(try !table.apply(ruleset).isEmpty)
        #expect(try TableListing(in: namespace) == before)
    }

    @Test("A set of another kind is replaced though all rules are right, and use it")
    func replacesUsedSet() throws {
        let namespace = try NetworkNamespace()
        let text = try GoldenRuleset.rich.text
        try namespace.nft(text)
        let before = try TableListing(in: namespace)
        let chains = try text[#require(text.firstRange(of: "\tchain")).lowerBound...]
        let shape = "type ipv4_addr; flags interval, timeout;"
        let replacement = Interference.replacing("set", "masquerade_2_source", with: shape)
        try namespace.nft("\(replacement)\ntable inet masqd {\n\(chains)")
        #expect(try TableListing(in: namespace) != before)

        var table = try namespace.kernelTable()
        _ = try table.apply(GoldenRuleset.rich.ruleset)
        #expect(try TableListing(in: namespace) == before)
    }

    @Test("From every golden ruleset to the next in one batch, named counters keeping their values")
    func changesConfiguration() throws {
        let namespace = try NetworkNamespace()
        try namespace.nft(try countedRuleset)
        var table = try namespace.kernelTable()
        var handle: Int?
        var isReset = false
        // Those that masquerade first: a counter that a ruleset does without is gone.
        let rulesets = try GoldenRuleset.all.map { (golden: $0, ruleset: try $0.ruleset) }
        let counting = rulesets.filter { $0.ruleset.counters.contains("masquerade_1") }
        let others = rulesets.filter { !$0.ruleset.counters.contains("masquerade_1") }
        for (golden, ruleset) in counting + others + counting.suffix(5) {
            _ = try table.apply(ruleset)
            #expect(try namespace.snapshot() == Snapshot(lowering: ruleset), "\(golden.name)")
            let listing = try TableListing(in: namespace)
            if !isReset, ruleset.counters.contains("masquerade_1") {
                #expect(
                    listing.objects["counter masquerade_1 {"] == ["packets 7 bytes 700"], "\(golden.name)")
            } else {
                isReset = true
            }
            #expect(handle == nil || listing.tableHandle == handle)
            handle = listing.tableHandle
        }
    }

    /// Values that show whether a counter was made anew.
    private var countedRuleset: String {
        get throws {
            try GoldenRuleset.rich.text.split(separator: "\n", omittingEmptySubsequences: false)
                .map { $0.hasPrefix("\tcounter ") ? $0 + " packets 7 bytes 700" : $0 }.joined(separator: "\n")
        }
    }

    /// A counter that somebody deleted begins at 0.
    private func withoutValues(_ listing: TableListing, _ interference: Interference) -> TableListing {
        listing.withoutValues { head in interference.touches.contains { head.hasPrefix($0) } }
    }
}

/// Tables that look like masqd's own, and are not.
private let foreignTables = """
    table ip masqd { chain forward { type filter hook forward priority 0; policy accept; ip saddr { 1.2.3.4, 1.2.3.6 } counter accept; }; }
    table ip6 masqd { set outward { type ifname; elements = { "ppp0" }; }; counter masquerade_1 { packets 3 bytes 4; }; }
    table inet masqd2 { chain forward { type filter hook forward priority 0; policy drop; accept; }; }
    table inet filter { chain guard { drop; }; map inward { type ifname : verdict; elements = { "ppp0" : jump guard }; }; }
    """

private func foreignTablesListed(in namespace: NetworkNamespace) throws -> [String] {
    try ["ip masqd", "ip6 masqd", "inet masqd2", "inet filter"].map {
        try Command("nft", ["-a", "list", "table"] + $0.split(separator: " ").map(String.init))
            .run(in: namespace).expectSuccess().standardOutput
    }
}
