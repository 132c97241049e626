// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import TestSupport
import Testing

@testable import MasqKernel

/// Sets and maps of several fields: as masqd puts them into the kernel, and as nft does.
@Suite struct EntriesTests {
    private static func ruleset(_ ports: some Sequence<UInt16>) throws -> Ruleset {
        let server = FieldValue.address(try #require(IPAddress("192.168.5.10")))
        var forwards = PackedElements.List()
        var restricted = PackedElements.List()
        for port in ports {
            forwards.append([.transport(.tcp), .port(port)], data: [server, .port(port &+ 1000)])
            restricted.append(
                [.address(try #require(IPAddress("10.0.0.0"))), .port(port)],
                through: [.address(try #require(IPAddress("10.0.0.255"))), .port(port)],
                data: [server, .port(port)])
        }
        var marks = PackedElements.List()
        marks.append([.interface("ppp0"), .mark(0x100)])
        var prefixes = PackedElements.List()
        for (name, port) in zip(["ppp0", "ppp1", "ppp2"], ports) {
            let ends = [0, UInt128.max >> 64].map {
                FieldValue.address(
                    IPAddress(family: .ipv6, value: 0x2001_0db8 << 96 | UInt128(port) << 64 | $0))
            }
            prefixes.append([.interface(InterfaceName(name))], data: ends)
        }
        let key: [ElementType.Field] = [.protocol, .service]
        let data: [ElementType.Field] = [.ipv4Address, .service]
        var ruleset = Ruleset()
        ruleset.sets = [
            .init(
                "forwards",
                .entries(PackedElements(ElementType(key: key, data: data, countsPackets: true), forwards))),
            .init(
                "restricted",
                .entries(
                    PackedElements(
                        ElementType(key: [.ipv4Address, .service], data: data, isInterval: true), restricted))
            ),
            .init(
                "prefixes",
                .entries(
                    PackedElements(
                        ElementType(key: [.interfaceName], data: [.ipv6Address], isDataInterval: true),
                        prefixes))),
            .init("marks", .entries(PackedElements(ElementType(key: [.interfaceName, .mark]), marks))),
            .init("addresses", .addressJumps(.ipv4, [try #require(IPAddress("203.0.113.7")): "target"])),
            .init("addresses_ipv6", .addressJumps(.ipv6, [try #require(IPAddress("2001:db8::7")): "target"])),
        ]
        ruleset.chains = [.init("target")]
        return ruleset
    }

    @Test("masqd and nft make the same of them, and each takes the other's for its own")
    func equalsNft() throws {
        let (own, nft) = (try NetworkNamespace(), try NetworkNamespace())
        let ruleset = try Self.ruleset([22, 80, 443])
        var table = try own.kernelTable()
        _ = try table.apply(ruleset)
        try nft.nft(ruleset.text)
        #expect(try TableListing(in: own).objects == TableListing(in: nft).objects)
        #expect(try own.snapshot() == Snapshot(lowering: ruleset))

        var successor = try nft.kernelTable()
        #expect(try successor.apply(ruleset).map { "\($0)" } == [])
    }

    @Test(
        "An element for every other key is removed, and no other is lost",
        arguments: [
            "forwards { * : 192.168.5.10 . 80 }", "restricted { * : 192.168.5.10 . 80 }",
            "addresses { * : jump target }", "addresses_ipv6 { * : jump target }", "marks { * }",
        ])
    func catchAll(element: String) throws {
        let namespace = try NetworkNamespace()
        var table = try namespace.kernelTable()
        let ruleset = try Self.ruleset([22, 80, 443])
        _ = try table.apply(ruleset)
        let before = try TableListing(in: namespace)
        try namespace.nft("add element inet masqd \(element)")
        #expect(try TableListing(in: namespace) != before)
        #expect(try !table.apply(ruleset).isEmpty)
        #expect(try TableListing(in: namespace) == before)
    }

    @Test("Only the elements that differ are sent, also where there are thousands")
    func changesByElement() throws {
        let namespace = try NetworkNamespace()
        var table = try namespace.kernelTable()
        _ = try table.apply(try Self.ruleset([22, 80, 443]))
        let changes = try table.apply(try Self.ruleset([22, 443, 8080]))
        #expect(changes.count == 6)
        #expect(try namespace.snapshot() == Snapshot(lowering: try Self.ruleset([22, 443, 8080])))

        var many = PackedElements.List()
        let server = FieldValue.address(try #require(IPAddress("192.168.5.10")))
        for port in UInt16(1)...5_000 {
            many.append([.transport(.udp), .port(port)], data: [server, .port(port)])
        }
        var ruleset = Ruleset()
        let type = ElementType(
            key: [.protocol, .service], data: [.ipv4Address, .service], countsPackets: true)
        ruleset.sets = [.init("forwards", .entries(PackedElements(type, many)))]
        _ = try table.apply(ruleset)
        // The kernel makes the hash table larger behind the commit, and a listing meanwhile may miss elements
        // (rhashtable_walk_next in lib/rhashtable.c).
        let expected = Snapshot(lowering: ruleset)
        try eventually("all elements are listed") { try namespace.snapshot() == expected }
    }

    @Test(
        "What a listing misses while the kernel makes a hash table larger is not taken for somebody's deletion"
    )
    func resizing() throws {
        var many = PackedElements.List()
        for port in UInt16(1)...5_000 { many.append([.transport(.udp), .port(port)], data: []) }
        var ruleset = Ruleset()
        ruleset.sets = [
            .init("known", .entries(PackedElements(ElementType(key: [.protocol, .service]), many)))
        ]
        for _ in 0..<10 {
            let namespace = try NetworkNamespace()
            var table = try namespace.kernelTable()
            _ = try table.apply(ruleset)
            // Another generation, so that it has to look.
            try namespace.nft("add table ip somebody")
            #expect(try table.apply(ruleset).map { "\($0)" } == [])
        }
    }
}
