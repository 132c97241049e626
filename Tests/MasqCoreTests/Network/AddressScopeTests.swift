// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

@Suite struct AddressScopeTests {
    @Test(
        "An address's scope is that of the range it is in, to the range's very ends",
        arguments: [
            ("9.255.255.255", .global), ("10.0.0.0", .private), ("10.255.255.255", .private),
            ("11.0.0.0", .global),
            ("100.63.255.255", .global), ("100.64.0.0", .shared), ("100.127.255.255", .shared),
            ("100.128.0.0", .global), ("127.0.0.1", .loopback), ("169.253.255.255", .global),
            ("169.254.0.0", .linkLocal), ("169.254.255.255", .linkLocal), ("172.15.255.255", .global),
            ("172.16.0.0", .private), ("172.31.255.255", .private), ("172.32.0.0", .global),
            ("192.167.255.255", .global), ("192.168.0.0", .private), ("192.169.0.0", .global),
            ("fbff::", .global), ("fc00::", .private), ("fdff:ffff::", .private), ("fe00::", .global),
            ("fe80::1", .linkLocal), ("febf::1", .linkLocal), ("fec0::1", .global), ("::1", .loopback),
            ("2001:db8::1", .global),
        ] as [(String, AddressScope)])
    func scopes(address: String, scope: AddressScope) throws {
        #expect(try #require(IPAddress(address)).scope == scope)
    }
}
