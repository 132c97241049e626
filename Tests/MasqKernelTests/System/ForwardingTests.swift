// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import TestSupport
import Testing

@testable import MasqKernel

@Suite struct ForwardingTests {
    @Test(
        "The switches are those of the calling thread's network namespace", arguments: AddressFamily.allCases)
    func sets(family: AddressFamily) throws {
        let (namespace, other) = (try NetworkNamespace(), try NetworkNamespace())
        let name = family == .ipv4 ? "ipv4/ip_forward" : "ipv6/conf/all/forwarding"
        #expect(try namespace.run { try Forwarding.read() } == [.ipv4: false, .ipv6: false])

        try namespace.run { try Forwarding.set(family, true) }
        #expect(try namespace.sysctl(name) == "1")
        #expect(
            try namespace.run { try Forwarding.read() } == [.ipv4: family == .ipv4, .ipv6: family == .ipv6])
        #expect(try other.run { try Forwarding.read() } == [.ipv4: false, .ipv6: false])

        try namespace.run { try Forwarding.set(family, false) }
        #expect(try namespace.sysctl(name) == "0")
    }

    @Test("Any other number than 0 is on, as for the kernel")
    func otherNumbers() throws {
        let namespace = try NetworkNamespace()
        try namespace.setSysctl("ipv4/ip_forward", to: "2")
        #expect(try namespace.run { try Forwarding.read() }[.ipv4] == true)
    }
}
