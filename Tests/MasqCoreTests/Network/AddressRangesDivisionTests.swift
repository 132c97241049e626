// SPDX-License-Identifier: GPL-3.0-or-later

import TestSupport
import Testing

@testable import MasqCore

@Suite struct AddressRangesDivisionTests {
    @Test(
        "An address goes to the first claim that has it, and whoever loses one is told to whom",
        arguments: 0..<200)
    func first(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        // At the top of the range, where the next address would overflow.
        let addresses = (UInt128.max - 40)...UInt128.max
        let claims = (0..<Int.random(in: 1...6, using: &random)).map { _ in
            let ranges = (0..<Int.random(in: 0...4, using: &random)).map { _ in
                let ends = [0, 1].map { _ in addresses.randomElement(using: &random) ?? 0 }.sorted()
                return AddressRange(first: ends[0], last: ends[1])
            }
            return AddressRanges(family: .ipv6, merging: ranges)
        }
        let shares = AddressRanges.divided(claims)
        #expect(shares.count == claims.count)
        for (index, share) in shares.enumerated() {
            var own: [AddressRange] = []
            var lost: (address: IPAddress, to: Int)?
            for value in addresses {
                let address = IPAddress(family: .ipv6, value: value)
                guard claims[index].contains(address),
                    let owner = claims.firstIndex(where: { $0.contains(address) })
                else { continue }
                if owner == index {
                    own.append(AddressRange(first: value, last: value))
                } else {
                    lost = lost ?? (address, owner)
                }
            }
            #expect(share.ranges == AddressRanges(family: .ipv6, merging: own))
            #expect(share.lost?.address == lost?.address)
            #expect(share.lost?.to == lost?.to)
        }
    }
}
