// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import TestSupport
import Testing

@Suite struct AddressRangesTests {
    private func ranges(_ pairs: (UInt128, UInt128)..., family: AddressFamily = .ipv4) -> AddressRanges {
        AddressRanges(family: family, merging: pairs.map { AddressRange(first: $0.0, last: $0.1) })
    }

    private func pairs(_ ranges: AddressRanges) -> [[UInt128]] { ranges.ranges.map { [$0.first, $0.last] } }

    @Test("Ranges that overlap, touch or lie within others become one, in whatever order they come")
    func merges() {
        #expect(pairs(ranges()) == [])
        #expect(pairs(ranges((5, 9), (1, 3))) == [[1, 3], [5, 9]])
        #expect(pairs(ranges((1, 3), (4, 9))) == [[1, 9]])
        #expect(pairs(ranges((1, 5), (3, 9))) == [[1, 9]])
        #expect(pairs(ranges((1, 9), (3, 5))) == [[1, 9]])
        #expect(pairs(ranges((3, 5), (1, 9), (10, 10), (12, 12))) == [[1, 10], [12, 12]])
        #expect(pairs(ranges((7, 7), (7, 7))) == [[7, 7]])
        #expect(pairs(ranges((1, 2), (4, 5), (7, 8), (0, 20))) == [[0, 20]])
    }

    @Test("The highest address does not overflow")
    func top() {
        #expect(
            pairs(ranges((.max - 1, .max), (0, .max - 2), family: .ipv6)) == [[0, .max]])
        #expect(pairs(ranges((.max, .max), (0, .max), family: .ipv6)) == [[0, .max]])
    }

    @Test("Networks of the other family are left out, and neighbours become one range")
    func networks() {
        let networks = ["10.1.0.0/16", "fd00::/8", "10.0.0.0/16", "192.168.0.0/16", "0.0.0.0/8"]
            .compactMap { try? IPNetwork($0) }
        #expect(
            pairs(AddressRanges(family: .ipv4, networks: networks)) == [
                [0, 0xff_ffff], [0xa00_0000, 0xa01_ffff], [0xc0a8_0000, 0xc0a8_ffff],
            ])
        #expect(
            pairs(AddressRanges(family: .ipv6, networks: networks))
                == [[0xfd00_0000_0000_0000_0000_0000_0000_0000, 0xfdff_ffff_ffff_ffff_ffff_ffff_ffff_ffff]])
    }

    @Test("The same addresses are equal however they were written, and differ from the other family's")
    func equality() {
        #expect(AddressRanges("10.0.0.0/9", "10.128.0.0/9") == AddressRanges("10.0.0.0/8", "10.7.0.0/16"))
        #expect(AddressRanges("10.0.0.0/8") != AddressRanges("10.0.0.0/9"))
        #expect(AddressRanges(family: .ipv4) != AddressRanges(family: .ipv6))
        #expect(AddressRanges(family: .ipv4).isEmpty)
        #expect(!AddressRanges("10.0.0.0/32").isEmpty)
    }

    @Test("An address is found in its range, at both ends, and in its family only")
    func contains() throws {
        let ranges = AddressRanges("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
        let cases = [
            ("10.0.0.0", true), ("10.255.255.255", true), ("9.255.255.255", false), ("11.0.0.0", false),
            ("172.20.1.1", true), ("192.168.0.0", true), ("192.168.255.255", true), ("192.169.0.0", false),
            ("255.255.255.255", false), ("0.0.0.0", false), ("::a00:0", false),
        ]
        for (text, isThere) in cases {
            #expect(ranges.contains(try #require(IPAddress(text))) == isThere, "\(text)")
        }
        #expect(!AddressRanges(family: .ipv4).contains(try #require(IPAddress("0.0.0.0"))))
    }

    @Test("Against a bit for each address, random ranges are the same addresses, sorted and apart")
    func random() {
        for seed in UInt64(0)..<1_000 {
            var random = SplitMix64(seed: seed)
            var bits = [Bool](repeating: false, count: 64)
            var parts: [AddressRange] = []
            for _ in 0..<Int.random(in: 0...8, using: &random) {
                let first = Int.random(in: 0..<60, using: &random)
                let last = Int.random(in: first..<min(first + 9, 64), using: &random)
                for address in first...last { bits[address] = true }
                parts.append(AddressRange(first: UInt128(first), last: UInt128(last)))
            }
            let ranges = AddressRanges(family: .ipv4, merging: parts)
            for address in 0..<64 {
                let isThere = ranges.contains(IPAddress(family: .ipv4, value: UInt128(address)))
                #expect(isThere == bits[address], "seed \(seed)")
            }
            #expect(zip(ranges.ranges, ranges.ranges.dropFirst()).allSatisfy { $0.last + 1 < $1.first })
        }
    }
}
