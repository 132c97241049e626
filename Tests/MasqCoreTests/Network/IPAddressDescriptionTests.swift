// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

@Suite struct IPAddressDescriptionTests {
    @Test(
        "An IPv6 address is written as RFC 5952 recommends",
        arguments: [
            // Section 4.1: no leading zeros.
            ("2001:0db8::0001", "2001:db8::1"), ("2001:db8:0:0:0:0:2:1", "2001:db8::2:1"),
            // Section 4.2.1: as short as possible.
            ("2001:db8::0:1", "2001:db8::1"),
            // Section 4.2.2: a single group of zeros stays.
            ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
            // Section 4.2.3: the longest run, the first of equals.
            ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"), ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            // Section 4.3: lower case.
            ("2001:DB8::ABCD:EF12", "2001:db8::abcd:ef12"),
            ("::", "::"), ("0:0:0:0:0:0:0:1", "::1"), ("1:0:0:0:0:0:0:0", "1::"),
            ("0:1:0:0:0:0:0:0", "0:1::"),
            ("0:0:1:2:3:4:5:6", "::1:2:3:4:5:6"), ("1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"),
            ("0:1:2:3:4:5:6:7", "0:1:2:3:4:5:6:7"), ("1:2:3:4:5:6:7:0", "1:2:3:4:5:6:7:0"),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ])
    func ipv6(text: String, expected: String) throws {
        let address = try #require(IPAddress(text))
        #expect(address.description == expected)
        #expect(IPAddress(expected) == address)
    }

    @Test("An IPv4 address is written as four decimal numbers")
    func ipv4() {
        #expect(IPAddress(family: .ipv4, value: 0).description == "0.0.0.0")
        #expect(IPAddress(family: .ipv4, value: 0xc0a8_0a01).description == "192.168.10.1")
        #expect(IPAddress(family: .ipv4, value: 0xffff_ffff).description == "255.255.255.255")
    }

    @Test("Bytes in network order are an address if there are 4 or 16")
    func networkOrder() {
        #expect(IPAddress(networkOrder: [192, 168, 0, 1])?.description == "192.168.0.1")
        #expect(
            IPAddress(networkOrder: [0x20, 1] + [UInt8](repeating: 0, count: 13) + [9])?.description
                == "2001::9")
        #expect(IPAddress(networkOrder: [UInt8]()) == nil)
        #expect(IPAddress(networkOrder: [UInt8](repeating: 1, count: 5)) == nil)
    }

    @Test(
        "Link-local is fe80::/10 and nothing else",
        arguments: [
            ("fe80::", true), ("febf:ffff::1", true), ("fe7f:ffff::1", false), ("fec0::1", false),
            ("169.254.0.1", false), ("::", false), ("ff02::1", false),
        ])
    func linkLocal(text: String, isLinkLocal: Bool) throws {
        #expect(try #require(IPAddress(text)).isLinkLocal == isLinkLocal)
    }
}
