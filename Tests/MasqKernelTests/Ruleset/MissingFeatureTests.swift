// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import TestSupport
import Testing

@testable import MasqKernel

/// What this kernel does not have is named, so that the gateway can go on without it.
@Suite struct MissingFeatureTests {
    @Test("A helper that the kernel does not know is named, and nothing of its batch is in force")
    func helper() throws {
        let namespace = try NetworkNamespace()
        var table = try namespace.kernelTable()
        var ruleset = try GoldenRuleset.rich.ruleset
        ruleset.helpers = [
            .init("helper_gopher", type: "gopher", transport: .tcp, isForBothFamilies: true)
        ]
        let error = thrownError(NetlinkError.self) { _ = try table.apply(ruleset) }
        #expect(error?.missing == .helper("helper_gopher"))
        #expect(
            "\(try #require(error))" == """
                the kernel refused ct helper helper_gopher: No such file or directory \
                (this kernel does not know that protocol: modprobe nf_conntrack_gopher)
                """)
        #expect(try namespace.snapshot() == Snapshot())
    }

    @Test("A rule of the log of drops that the kernel refuses is named, and nothing of its batch is in force")
    func log() throws {
        let namespace = try NetworkNamespace()
        var table = try namespace.kernelTable()
        var ruleset = try GoldenRuleset(name: "log/01-kernel").ruleset
        let chain = try #require(ruleset.chains.firstIndex { $0.name == "drop_untranslated" })
        // This kernel has the expression; it answers a set that is not there in the same way.
        ruleset.chains[chain].rules[0].matches = [.interfaceIn(.input, set: "nowhere")]
        let error = thrownError(NetlinkError.self) { _ = try table.apply(ruleset) }
        #expect(error?.missing == .log)
        #expect(
            "\(try #require(error))" == """
                the kernel refused a rule of chain drop_untranslated: No such file or directory \
                (this kernel can't log packets: modprobe -a nft_log nf_log_syslog nfnetlink_log)
                """)
        #expect(try namespace.snapshot() == Snapshot())
    }

    @Test("Helpers and timeouts of another content are replaced; what did not change stays")
    func replaced() throws {
        let namespace = try NetworkNamespace()
        var table = try namespace.kernelTable()
        var ruleset = try GoldenRuleset(name: "conntrack/03-own-timeouts-and-ftp").ruleset
        _ = try table.apply(ruleset)
        #expect(try table.apply(ruleset).isEmpty)
        let before = try TableListing(in: namespace)
        ruleset.timeouts[1].seconds[.udp] = 90
        let changes = try table.apply(ruleset)
        #expect(
            changes.contains {
                if case .addObject(let object) = $0 { object.name == "timeout_udp" } else { false }
            })
        #expect(try namespace.snapshot() == Snapshot(lowering: ruleset))
        let after = try TableListing(in: namespace)
        #expect(after.objects["ct timeout timeout_udp {"] != before.objects["ct timeout timeout_udp {"])
        let isKept = { (head: String) in head.hasPrefix("ct helper") || head.hasPrefix("counter") }
        #expect(after.handles(whereHead: isKept) == before.handles(whereHead: isKept))
    }

    @Test(
        "Asked beforehand, the kernel names what it lacks, takes what it has, and nothing changes either way")
    func rehearsal() throws {
        let namespace = try NetworkNamespace()
        var table = try namespace.kernelTable()
        let good = try GoldenRuleset(name: "conntrack/03-own-timeouts-and-ftp").ruleset
        var bad = good
        bad.helpers += [.init("helper_gopher", type: "gopher", transport: .tcp, isForBothFamilies: true)]
        for isThere in [false, true] {
            if isThere { _ = try table.apply(try GoldenRuleset.rich.ruleset) }
            let before = try (snapshot: namespace.snapshot(), isUndisturbed: table.isUndisturbed())
            let taken = try table.rehearsal(of: good)
            #expect(taken.isThere == isThere)
            #expect(!taken.changes.isEmpty)
            #expect(taken.refusal == nil)
            let refused = try table.rehearsal(of: bad)
            #expect(refused.changes.count > taken.changes.count)
            #expect(refused.refusal?.missing == .helper("helper_gopher"))
            #expect(refused.refusal?.reason.hasPrefix("the kernel refused ct helper helper_gopher: ") == true)
            #expect(try namespace.snapshot() == before.snapshot)
            #expect(try table.isUndisturbed() == before.isUndisturbed || !isThere)
        }
        #expect(try !table.apply(good).isEmpty)
        #expect(try table.rehearsal(of: good) == TableComparison(isThere: true, changes: []))
    }
}
