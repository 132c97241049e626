// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import TestSupport
import Testing

@Suite struct IPAddressParsingTests {
    @Test(
        "An address is read in every notation of RFC 4291, and dotted decimal",
        arguments: [
            ("0.0.0.0", AddressFamily.ipv4, 0 as UInt128),
            ("255.255.255.255", .ipv4, 0xffff_ffff),
            ("192.168.0.1", .ipv4, 0xc0a8_0001),
            ("::", .ipv6, 0),
            ("::1", .ipv6, 1),
            ("1::", .ipv6, 1 << 112),
            ("fe80::1:2", .ipv6, 0xfe80 << 112 | 0x1_0002),
            ("2001:DB8:0:0:8:800:200C:417A", .ipv6, 0x2001_0db8_0000_0000_0008_0800_200c_417a),
            ("2001:db8::8:800:200c:417a", .ipv6, 0x2001_0db8_0000_0000_0008_0800_200c_417a),
            ("0001:2:3:4:5:6:7::", .ipv6, 0x0001_0002_0003_0004_0005_0006_0007_0000),
            ("::2:3:4:5:6:7:8", .ipv6, 0x0000_0002_0003_0004_0005_0006_0007_0008),
            ("::ffff:192.168.0.1", .ipv6, 0xffff_c0a8_0001),
            ("1:2:3:4:5:6:1.2.3.4", .ipv6, 0x0001_0002_0003_0004_0005_0006_0102_0304),
            ("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", .ipv6, .max),
        ])
    func reads(text: String, family: AddressFamily, value: UInt128) throws {
        let address = try #require(IPAddress(text))
        #expect(address.family == family)
        #expect(address.value == value)
    }

    @Test(
        "What is not exactly an address is refused",
        arguments: [
            "", ".", ":", "1", "1.2.3", "1.2.3.", ".1.2.3", "1..2.3", "1.2.3.4.", "1.2.3.4.5", "256.0.0.0",
            "01.2.3.4", "1.2.3.04", "0x1.2.3.4", "1.2.3.-4", "+1.2.3.4", " 1.2.3.4", "1.2.3.4 ", "1.2.3.4\0",
            ":::", "1:::2", "1::2::3", ":1::", "1:", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
            "1:2:3:4:5:6:7:8::",
            "::1:2:3:4:5:6:7:8", "12345::", "g::", "::1%eth0", "[::1]", "::1.2.3", "::1.2.3.4:5", "1.2.3.4::",
            "1:2:3:4:5:6:7:1.2.3.4", "::01.2.3.4", "١.2.3.4",
        ])
    func refuses(text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test("An address that was written is read as the same address")
    func survivesDescription() throws {
        var random = SplitMix64(seed: 4711)
        for _ in 0..<2_000 {
            // Runs of zero groups are what "::" is about, so most groups are zero.
            let groups = (0..<8).map { _ in
                Int.random(in: 0..<3, using: &random) == 0 ? UInt16.random(in: 0...(.max), using: &random) : 0
            }
            let ipv6 = IPAddress(family: .ipv6, value: groups.reduce(0) { $0 << 16 | UInt128($1) })
            #expect(IPAddress(ipv6.description) == ipv6)
            let ipv4 = IPAddress(family: .ipv4, value: UInt128(UInt32.random(in: 0...(.max), using: &random)))
            #expect(IPAddress(ipv4.description) == ipv4)
        }
    }
}
