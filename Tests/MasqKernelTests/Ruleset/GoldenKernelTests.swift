// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import TestSupport
import Testing

@testable import MasqKernel

/// Every golden ruleset in the kernel: as masqd puts it there, and as `nft -f` does.
@Suite struct GoldenKernelTests {
    @Test("The golden rulesets are found")
    func areFound() { #expect(GoldenRuleset.all.count >= 25) }

    @Test(
        "What masqd puts into the kernel is what nft makes of the golden file", arguments: GoldenRuleset.all)
    func equalsNft(golden: GoldenRuleset) throws {
        let (own, nft) = (try NetworkNamespace(), try NetworkNamespace())
        var table = try own.kernelTable()
        #expect(try !table.apply(golden.ruleset).isEmpty)
        try nft.nft(golden.text)

        let (ownListing, nftListing) = (try TableListing(in: own), try TableListing(in: nft))
        #expect(ownListing.objects == nftListing.objects)
        #expect(try own.bytecode() == nft.bytecode())
    }

    @Test(
        "What was committed reads back equal, and a second look sends nothing", arguments: GoldenRuleset.all)
    func readsBack(golden: GoldenRuleset) throws {
        let namespace = try NetworkNamespace()
        var table = try namespace.kernelTable()
        let ruleset = try golden.ruleset
        _ = try table.apply(ruleset)
        let answersDifferently = table.answersDifferently
        #expect(!answersDifferently)
        #expect(try namespace.snapshot() == Snapshot(lowering: ruleset))

        let generation = try namespace.generation()
        #expect(try table.apply(ruleset).isEmpty)
        // A daemon that has just started knows nothing and reads everything.
        var successor = try namespace.kernelTable()
        #expect(try successor.apply(ruleset).isEmpty)
        #expect(try namespace.generation() == generation)
    }

    @Test("A table that nft loaded from the golden file is adopted as it is", arguments: GoldenRuleset.all)
    func isAdopted(golden: GoldenRuleset) throws {
        let namespace = try NetworkNamespace()
        try namespace.nft(golden.text)
        let before = try TableListing(in: namespace)

        var table = try namespace.kernelTable()
        let changes = try table.apply(golden.ruleset)
        #expect(changes.map { "\($0)" } == [])
        #expect(try TableListing(in: namespace).handles == before.handles)
    }

    @Test("Removing the table leaves nothing of it, and a second time does nothing")
    func removes() throws {
        let namespace = try NetworkNamespace()
        var table = try namespace.kernelTable()
        _ = try table.apply(GoldenRuleset.rich.ruleset)
        try table.remove()
        #expect(try namespace.nftListing().isEmpty)

        let generation = try namespace.generation()
        try table.remove()
        #expect(try namespace.generation() == generation)
    }
}
