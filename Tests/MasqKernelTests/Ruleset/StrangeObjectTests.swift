// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore
import TestSupport
import Testing

@testable import MasqKernel

/// What the kernel takes and Debian's `nft` can't write, but another program may.
@Suite struct StrangeObjectTests {
    @Test("An element whose name is no text, or has no NUL at its end, is removed")
    func names() throws {
        let namespace = try NetworkNamespace()
        var table = try namespace.kernelTable()
        let ruleset = try GoldenRuleset.rich.ruleset
        _ = try table.apply(ruleset)
        // Cut after 15 bytes, in the middle of a letter.
        let names = Ruleset.Elements.interfaces(["ääääääää", "masq-uplink-015"])
        var connection = try namespace.connection()
        _ = try connection.commit(
            [
                .addElements(set: "masquerade_1_interfaces", names),
                .addElements(set: "outward", .jumps(["ääääääää": "outward_ppp0"])),
            ], generation: try connection.generation())
        #expect(try namespace.nftListing().contains("masq-uplink-015"))
        #expect(try !table.apply(ruleset).isEmpty)
        #expect(try namespace.snapshot() == Snapshot(lowering: ruleset))
    }

    @Test("An element for every other address is removed from a set of networks")
    func catchAll() throws {
        let namespace = try NetworkNamespace()
        var table = try namespace.kernelTable()
        let ruleset = try GoldenRuleset.rich.ruleset
        _ = try table.apply(ruleset)
        let before = try TableListing(in: namespace)
        var connection = try namespace.connection()
        let generation = try connection.generation()
        var batch = Batch(
            firstSequence: connection.conversation.nextSequence(), generation: generation, capacity: 256)
        batch.begin(NFT_MSG_NEWSETELEM, flags: NLM_F_CREATE, table: NFTA_SET_ELEM_LIST_TABLE)
        batch.writer.attribute(Int(NFTA_SET_ELEM_LIST_SET.rawValue), "masquerade_1_source")
        batch.writer.nest(Int(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue)) {
            $0.nest(Int(NFTA_LIST_ELEM.rawValue)) {
                $0.attribute(
                    Int(NFTA_SET_ELEM_FLAGS.rawValue), bigEndian: UInt32(NFT_SET_ELEM_CATCHALL.rawValue))
            }
        }
        batch.end()
        connection.finish(&batch)
        try connection.commit(batch)
        #expect(try TableListing(in: namespace) != before)
        #expect(try !table.apply(ruleset).isEmpty)
        #expect(try TableListing(in: namespace) == before)
    }

    /// `inner` (Linux 6.2): `meta load l4proto` of the packet inside of a VXLAN packet, then accept or not.
    private static let unknownRule: Snapshot.RuleBytes = {
        var writer = MessageWriter()
        writer.nest(Int(NFTA_RULE_EXPRESSIONS.rawValue)) {
            $0.nest(Int(NFTA_LIST_ELEM.rawValue)) {
                $0.attribute(Int(NFTA_EXPR_NAME.rawValue), "inner")
                $0.nest(Int(NFTA_EXPR_DATA.rawValue)) {
                    // enum nft_inner_attributes: number, type (VXLAN), flags (all headers), size, expression.
                    for (index, value) in [0, 1, 0xf, 8].enumerated() {
                        $0.attribute(index + 1, bigEndian: UInt32(value))
                    }
                    $0.nest(5) {
                        $0.attribute(Int(NFTA_EXPR_NAME.rawValue), "meta")
                        $0.nest(Int(NFTA_EXPR_DATA.rawValue)) {
                            $0.attribute(Int(NFTA_META_KEY.rawValue), bigEndian: NFT_META_L4PROTO.rawValue)
                            $0.attribute(Int(NFTA_META_DREG.rawValue), bigEndian: NFT_REG_1.rawValue)
                        }
                    }
                }
            }
        }
        return Array(writer.bytes)
    }()

    @Test("A rule that libnftnl does not understand is seen, and removed")
    func unknownExpression() throws {
        let namespace = try NetworkNamespace()
        var table = try namespace.kernelTable()
        let ruleset = try GoldenRuleset.rich.ruleset
        _ = try table.apply(ruleset)
        let before = try namespace.bytecode()
        var connection = try namespace.connection()
        _ = try connection.commit(
            [.addRule(chain: "guard", Self.unknownRule)], generation: try connection.generation())
        let changes = try table.apply(ruleset)
        #expect(changes.first == .flushChain("guard"))
        #expect(try namespace.bytecode() == before)
        #expect(try namespace.snapshot() == Snapshot(lowering: ruleset))
    }

    @Test("What the table remembers is there for the next process, and as a counter that nft lists")
    func memory() throws {
        let namespace = try NetworkNamespace()
        var table = try namespace.kernelTable()
        #expect(try table.memory() == [])
        let block = OutboundBlock(
            line: 2, outInterfaces: [.name("ppp0")], source: [try IPNetwork("10.0.0.0/8")])
        let configuration = Configuration(origin: .commandLine, outbound: [block])
        _ = try table.apply(.desired(configuration, memory: .ipv6ForwardingWasOff))
        var successor = try namespace.kernelTable()
        #expect(try successor.memory() == .ipv6ForwardingWasOff)
        #expect(try namespace.packets(counter: "ipv6_forwarding_was_off") == 0)
        #expect(
            try successor.apply(.desired(configuration, memory: [])) == [
                .deleteObject(.counter("ipv6_forwarding_was_off"))
            ])
        #expect(try successor.memory() == [])
    }
}
