// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore
import TestSupport
import Testing

@testable import MasqKernel

/// The table is gone, the monitor says so, and the batch that was written beforehand brings it back.
@Suite final class RescueTests {
    private let namespace: NetworkNamespace
    private let monitor: NftablesMonitor
    private var table: KernelTable
    private let ruleset: Ruleset

    init() throws {
        namespace = try NetworkNamespace()
        table = try namespace.kernelTable()
        ruleset = try GoldenRuleset.rich.ruleset
        _ = try table.apply(ruleset)
        monitor = try namespace.run { try NftablesMonitor() }
    }

    private func heard() throws -> NftablesMonitor.Activity {
        var pending: NftablesMonitor.Touch?
        return try monitor.drain(&pending, ownPorts: table.portID)
    }

    /// What the monitor heard of one script; somebody's commits are told before `nft` ends.
    ///
    /// What it says of a large table takes several turns.
    private func touch(by script: String) throws -> NftablesMonitor.Touch {
        try namespace.nft(script)
        var pending: NftablesMonitor.Touch?
        for _ in 0..<1000 {
            let activity = try monitor.drain(&pending, ownPorts: table.portID)
            if let touch = activity.ownTable { return touch }
        }
        throw Failure("nothing was heard of it")
    }

    @Test(
        "Restored by one batch, the same as before, again and again",
        arguments: ["flush ruleset", "delete table inet masqd"])
    func restores(script: String) throws {
        let before = try TableListing(in: namespace)
        for _ in 0..<3 {
            let touch = try touch(by: script)
            let generation = try namespace.generation()
            #expect(touch.deletesTable)
            #expect(touch.generationWithoutTable == generation)
            table.heard(touch)
            #expect(try !table.apply(ruleset).isEmpty)
            #expect(try namespace.generation() == generation + 1)
            #expect(try TableListing(in: namespace) == before)
            #expect(try table.apply(ruleset).isEmpty)
            _ = try heard()
        }
    }

    @Test(
        "A table that is there is not said to be gone",
        arguments: [
            "delete table inet masqd\nadd table inet masqd",
            "delete table inet masqd\nadd table inet masqd\nadd chain inet masqd mine",
            "delete chain inet masqd forward",
        ])
    func isThere(script: String) throws {
        #expect(try touch(by: script).generationWithoutTable == nil)
    }

    @Test("Whoever made something of that name meanwhile is seen, and mended")
    func stale() throws {
        let before = try TableListing(in: namespace)
        let touch = try touch(by: "flush ruleset")
        try namespace.nft(
            "add table inet masqd\nadd chain inet masqd forward { type filter hook input priority 0; }")
        table.heard(touch)
        #expect(try !table.apply(ruleset).isEmpty)
        #expect(try TableListing(in: namespace) == before)
    }

    @Test("Where messages were lost it is not known whether the table is gone, and so it is looked at")
    func overflow() throws {
        let before = try TableListing(in: namespace)
        _ = try touch(by: "delete table inet masqd\nadd table inet masqd")
        // Room for one datagram, and more than one between the table's end and its return.
        var size: CInt = 1
        setsockopt(
            monitor.descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<CInt>.size))
        let comment = String(repeating: "x", count: 120)
        let elements = (0..<200).map { "\(0x0a00_0000 + $0) comment \"\(comment)\"" }
        try namespace.nft(
            """
            delete table inet masqd
            table ip flood {
                set many { type ipv4_addr; elements = { \(elements.joined(separator: ", ")) }; }
            }
            \(GoldenRuleset.rich.text)
            """)
        var pending: NftablesMonitor.Touch?
        var isIncomplete = false
        var last: NftablesMonitor.Touch?
        // A turn ends by the clock, also right behind the error that says that something was lost.
        for _ in 0..<1000 where last == nil {
            let activity = try monitor.drain(&pending, ownPorts: table.portID)
            isIncomplete = isIncomplete || activity.isIncomplete
            last = activity.ownTable
        }
        #expect(isIncomplete)
        let touch = try #require(last)
        #expect(touch.generationWithoutTable == nil)
        table.heard(touch)
        _ = try table.apply(ruleset)
        #expect(try TableListing(in: namespace) == before)
    }

    @Test("The end of a transaction that was not read says nothing about the generation")
    func withoutEnd() {
        var message = MessageWriter()
        message.beginNftables(NFT_MSG_DELTABLE, family: Batch.family, flags: 0, sequence: 1)
        message.attribute(Int(NFTA_TABLE_NAME.rawValue), Ruleset.tableName)
        message.endMessage()
        var activity = NftablesMonitor.Activity()
        var pending: NftablesMonitor.Touch?
        for message in NetlinkMessages(message.bytes) { activity.read(message, &pending) }
        #expect(activity.ownTable == nil)
        #expect(pending?.deletesTable == true)
        #expect(pending?.generationWithoutTable == nil)
    }

    @Test("Another ruleset than the one that was in force is not restored to the old one")
    func another() throws {
        table.heard(try touch(by: "flush ruleset"))
        let other = Ruleset.behindPPP0([try IPNetwork("10.1.0.0/16")])
        _ = try table.apply(other)
        #expect(try namespace.snapshot() == Snapshot(lowering: other))
        table.heard(try touch(by: "flush ruleset"))
        _ = try table.apply(other)
        #expect(try namespace.snapshot() == Snapshot(lowering: other))
    }

    @Test("Only looking is not misled by what was heard")
    func looking() throws {
        let touch = try touch(by: "flush ruleset")
        try namespace.nft(GoldenRuleset.rich.text)
        table.heard(touch)
        #expect(try table.comparison(with: ruleset).changes.count == 0)
    }
}
