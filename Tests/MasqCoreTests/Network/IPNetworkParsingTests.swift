// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

@Suite struct IPNetworkParsingTests {
    @Test(
        "CIDR notation is read, and an address alone is a network of one",
        arguments: [
            ("192.168.0.0/16", "192.168.0.0/16"), ("0.0.0.0/0", "0.0.0.0/0"), ("10.1.2.3", "10.1.2.3/32"),
            ("10.1.2.3/32", "10.1.2.3/32"), ("fd00::/8", "fd00::/8"), ("::/0", "::/0"), ("::1", "::1/128"),
            ("2001:DB8:0::/48", "2001:db8::/48"), ("::ffff:10.0.0.0/104", "::ffff:a00:0/104"),
        ])
    func reads(text: String, expected: String) throws {
        let network = try IPNetwork(text)
        #expect(network.description == expected)
    }

    @Test("Host bits are an error that knows the address and the prefix length")
    func hostBits() throws {
        let address = try #require(IPAddress("192.168.0.5"))
        #expect(throws: IPNetworkSyntaxError.hostBits(address, prefixLength: 16)) {
            try IPNetwork("192.168.0.5/16")
        }
    }

    @Test("A netmask is an error that knows the network that was meant", arguments: 0...32)
    func netmask(length: Int) throws {
        let all = UInt128(UInt32.max)
        let mask = IPAddress(family: .ipv4, value: all & ~(all >> UInt128(length)))
        let zero = IPAddress(family: .ipv4, value: 0)
        #expect(throws: IPNetworkSyntaxError.netmask(IPNetwork(containing: zero, prefixLength: length))) {
            try IPNetwork("0.0.0.0/\(mask)")
        }
    }

    @Test(
        "Each kind of mistake has its own error",
        arguments: [
            ("lan", IPNetworkSyntaxError.notANetwork), ("10", .notANetwork), ("10.0.0.010/32", .leadingZero),
            ("10.0.0.0/08", .leadingZero), ("10.0.0.256", .octetTooLarge), ("fe80::1%ppp0", .zone),
            ("10.0.0.1-10.0.0.9", .addressRange), ("10.0.0.0/8 ", .whitespace),
            ("10.0.0.0/33", .prefixLength(.ipv4)),
            ("fd00::/129", .prefixLength(.ipv6)), ("10.0.0.0/", .prefixLength(.ipv4)),
            ("10.0.0.0/99999999999999999999", .prefixLength(.ipv4)), ("10.0.0.0/255.0.255.0", .notANetmask),
            ("10.0.0.0/ffff::", .notANetmask), (String(repeating: "1", count: 1_000_000), .notANetwork),
        ])
    func mistakes(text: String, error: IPNetworkSyntaxError) {
        #expect(throws: error) { try IPNetwork(text) }
    }
}
