// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import TestSupport
import Testing

@testable import MasqKernel

/// Networks as intervals in the kernel, where the ends of the address range are special.
@Suite struct IntervalTests {
    /// Networks, and the elements that nft lists of them.
    struct Case: CustomTestStringConvertible, Sendable {
        let source: [String]
        let elements: [String]
        var testDescription: String { source.joined(separator: " ") }
    }

    static let cases = [
        Case(source: ["0.0.0.0/0"], elements: ["0.0.0.0/0"]),
        Case(source: ["0.0.0.0/1"], elements: ["0.0.0.0/1"]),
        Case(source: ["128.0.0.0/1"], elements: ["128.0.0.0/1"]),
        Case(source: ["0.0.0.0/32"], elements: ["0.0.0.0"]),
        Case(source: ["255.255.255.255/32"], elements: ["255.255.255.255"]),
        Case(source: ["0.0.0.0/32", "255.255.255.255/32"], elements: ["0.0.0.0", "255.255.255.255"]),
        Case(source: ["10.0.0.1", "10.0.0.3"], elements: ["10.0.0.1", "10.0.0.3"]),
        Case(source: ["10.0.0.1", "10.0.0.2"], elements: ["10.0.0.1-10.0.0.2"]),
        Case(
            source: ["192.168.0.0/24", "192.168.1.0/24", "192.168.2.0/24"],
            elements: ["192.168.0.0-192.168.2.255"]),
        // Without the unspecified address, which is the gateway's own.
        Case(
            source: ["::/0"], elements: ["::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]),
        Case(source: ["::/128"], elements: ["::"]),
        Case(
            source: ["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
            elements: ["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]),
        Case(
            source: ["::/1", "fd00::/8", "ff00::/8"],
            elements: ["::1-7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fd00::/8", "ff00::/8"]),
        Case(source: ["2001:db8::1", "2001:db8::2"], elements: ["2001:db8::1-2001:db8::2"]),
    ]

    @Test("nft lists the networks that were meant, and they read back equal", arguments: cases)
    func isListed(intervals: Case) throws {
        let namespace = try NetworkNamespace()
        var table = try namespace.kernelTable()
        let ruleset = Ruleset.behindPPP0(try intervals.source.map { try IPNetwork($0) })
        _ = try table.apply(ruleset)
        #expect(try sourceElements(in: namespace) == intervals.elements)
        #expect(try namespace.snapshot() == Snapshot(lowering: ruleset))

        // From these to something else and back, element by element.
        let family = try IPNetwork(intervals.source[0]).family
        _ = try table.apply(
            .behindPPP0([try IPNetwork(family == .ipv4 ? "172.16.0.0/12" : "2001:db8:1::/48")]))
        _ = try table.apply(ruleset)
        #expect(try sourceElements(in: namespace) == intervals.elements)
    }

    /// What nft writes in ways that masqd does not, and the ranges of it.
    static let writings: [(elements: String, first: [UInt128], last: [UInt128])] = [
        ("192.168.0.0/24, 192.168.1.0/24, 192.168.2.0/24", [0xc0a8_0000], [0xc0a8_02ff]),
        ("0.0.0.0/1, 128.0.0.0/1", [0], [0xffff_ffff]),
        ("0.0.0.0/8, 255.0.0.0/8", [0, 0xff00_0000], [0x00ff_ffff, 0xffff_ffff]),
        ("10.0.0.0, 10.0.0.1, 10.0.0.3", [0x0a00_0000, 0x0a00_0003], [0x0a00_0001, 0x0a00_0003]),
        ("10.0.0.5-10.0.1.4, 10.0.1.5-10.0.2.0", [0x0a00_0005], [0x0a00_0200]),
        ("240.0.0.0-255.255.255.254, 255.255.255.255", [0xf000_0000], [0xffff_ffff]),
    ]

    @Test("Networks that nft wrote are read, and replaced without a remainder", arguments: writings.indices)
    func readsNft(index: Int) throws {
        let (elements, first, last) = Self.writings[index]
        let namespace = try NetworkNamespace()
        var table = try namespace.kernelTable()
        let ruleset = Ruleset.behindPPP0([try IPNetwork("172.16.0.0/12")])
        _ = try table.apply(ruleset)
        try namespace.nft(
            """
            flush set inet masqd masquerade_1_source
            add element inet masqd masquerade_1_source { \(elements) }
            """)
        let ranges = zip(first, last).map { AddressRange(first: $0, last: $1) }
        #expect(
            try namespace.snapshot().sets["masquerade_1_source"]?.elements
                == .addresses(AddressRanges(family: .ipv4, merging: ranges)))

        _ = try table.apply(ruleset)
        #expect(try sourceElements(in: namespace) == ["172.16.0.0/12"])
        #expect(try namespace.snapshot() == Snapshot(lowering: ruleset))
    }

    @Test("Part of adjacent networks that nft wrote can stay")
    func keepsPart() throws {
        let namespace = try NetworkNamespace()
        try namespace.nft(Ruleset.behindPPP0([try IPNetwork("10.0.0.0/8")]).text)
        try namespace.nft("add element inet masqd masquerade_1_source { 9.0.0.0/8, 11.0.0.0/8, 12.0.0.0/8 }")
        var table = try namespace.kernelTable()
        _ = try table.apply(.behindPPP0([try IPNetwork("10.0.0.0/8"), try IPNetwork("12.0.0.0/8")]))
        #expect(try sourceElements(in: namespace) == ["10.0.0.0/8", "12.0.0.0/8"])
    }
}

/// The elements of the only source set, as nft lists them.
func sourceElements(in namespace: NetworkNamespace) throws -> [String]? {
    let listing = try TableListing(in: namespace)
    let head = listing.objects.keys.first { $0.hasPrefix("set masquerade_1_source") }
    let attributes = ["flags interval", "type ipv4_addr", "type ipv6_addr"]
    return head.flatMap { listing.objects[$0]?.filter { !attributes.contains($0) } }
}
