// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import TestSupport
import Testing

@testable import MasqKernel

/// A set that grows and shrinks at random always holds what it should, by nft's account.
@Suite struct RandomSetTests {
    /// The address range is cut into 256 cells, /8 each; some of them are meant.
    static func network(_ cell: Int, _ family: AddressFamily) throws -> IPNetwork {
        try IPNetwork(family == .ipv4 ? "\(cell).0.0.0/8" : String(cell << 8, radix: 16) + "::/8")
    }

    @Test("A set that changes 200 times at random holds what it should", arguments: AddressFamily.allCases)
    func changes(family: AddressFamily) throws {
        let namespace = try NetworkNamespace()
        var table = try namespace.kernelTable()
        var generator = SplitMix64(seed: 20_010_816)
        var cells: Set<Int> = [1]
        for round in 0..<200 {
            // A few cells of 256, or most of them; neighbours often.
            for _ in 0..<Int.random(in: 1...24, using: &generator) {
                let start = Int.random(in: 0..<256, using: &generator)
                for cell in start..<min(256, start + Int.random(in: 1...3, using: &generator)) {
                    if Bool.random(using: &generator) { cells.insert(cell) } else { cells.remove(cell) }
                }
            }
            if round % 20 == 0 {
                cells = round % 40 == 0 ? Set(0..<256) : [Int.random(in: 0..<256, using: &generator)]
            }
            if cells.isEmpty { cells = [round] }
            if round > 0, round % 3 == 0 { try disturb(namespace, cells, family, &generator) }

            let networks = try cells.shuffled(using: &generator).map { try Self.network($0, family) }
            _ = try table.apply(.behindPPP0(networks))
            let elements = try #require(try sourceElements(in: namespace))
            let listed = Set(try elements.flatMap { try Self.cells(of: $0, family) })
            try #require(listed == cells, "round \(round)")
        }
    }

    /// Somebody adds single networks beside and between ours, and deletes some.
    private func disturb(
        _ namespace: NetworkNamespace, _ cells: Set<Int>, _ family: AddressFamily,
        _ generator: inout SplitMix64
    ) throws {
        let elements = try #require(try sourceElements(in: namespace))
        let set = family == .ipv4 ? "masquerade_1_source" : "masquerade_1_source_ipv6"
        let present = try Set(elements.flatMap { try Self.cells(of: $0, family) })
        let absent = (0..<256).filter { !present.contains($0) }.shuffled(using: &generator).prefix(24)
        let added = try absent.map { "\(try Self.network($0, family))" }
        if !added.isEmpty {
            try namespace.nft("add element inet masqd \(set) { \(added.joined(separator: ", ")) }")
        }
        if elements.count > 1 {
            try namespace.nft("delete element inet masqd \(set) { \(elements[elements.count / 2]) }")
        }
    }

    /// The cells of an element as nft prints it: `10.0.0.0/8`, `10.0.0.0-12.255.255.255`, `a00::/7`.
    private static func cells(of element: String, _ family: AddressFamily) throws -> Range<Int> {
        func cell(_ address: Substring) throws -> Int {
            let (separator, radix, shift): (Character, Int, Int) =
                family == .ipv4 ? (".", 10, 0) : (":", 16, 8)
            let group = address.prefix { $0 != separator }
            return try #require(Int(group.isEmpty ? "0" : String(group), radix: radix)) >> shift
        }
        let ends = element.split(separator: "-")
        if ends.count == 2 { return try cell(ends[0])..<cell(ends[1]) + 1 }
        let parts = element.split(separator: "/")
        let start = try cell(parts[0])
        let prefixLength = try #require(Int(parts[1]))
        return start..<start + (1 << (8 - prefixLength))
    }
}
