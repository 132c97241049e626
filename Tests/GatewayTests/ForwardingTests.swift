// SPDX-License-Identifier: GPL-3.0-or-later

import TestSupport
import Testing

@Suite("ip_forward")
struct ForwardingTests {
    @Test("manage leaves forwarding on at stop if it was on before")
    func manageFoundOn() throws {
        let gateway = try Gateway()
        try gateway.router.setSysctl("ipv4/ip_forward", to: "1")
        let masqd = try Masqd(in: gateway.router, configuration: configuration("manage"))
        try masqd.waitForReady()
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
        #expect(try masqd.stop() == 0)
        #expect(try gateway.router.sysctl("ipv4/ip_forward") == "1")
    }

    @Test("manage does not touch IPv6's forwarding when no source is IPv6")
    func manageIPv4Only() throws {
        let namespace = try NetworkNamespace()
        let masqd = try Masqd(in: namespace, configuration: configuration("manage"))
        try masqd.waitForReady()
        #expect(try namespace.sysctl("ipv4/ip_forward") == "1")
        #expect(try namespace.sysctl("ipv6/conf/all/forwarding") == "0")
    }

    @Test("ignore leaves it alone")
    func ignore() throws {
        let gateway = try Gateway()
        let masqd = try Masqd(in: gateway.router, configuration: configuration("ignore"))
        try masqd.waitForReady()
        #expect(try gateway.router.sysctl("ipv4/ip_forward") == "0")
        #expect(try masqd.stop() == 0)
        #expect(try gateway.router.sysctl("ipv4/ip_forward") == "0")
    }

    @Test("require fails without it and says what is missing, and works with it")
    func require() throws {
        let gateway = try Gateway()
        let refused = try Masqd(in: gateway.router, configuration: configuration("require"))
        #expect(try refused.waitForExit() != 0)
        #expect(try refused.log.contains("ip_forward"))
        #expect(try gateway.router.sysctl("ipv4/ip_forward") == "0")
        #expect(try !gateway.router.hasMasqdTable())

        try gateway.router.setSysctl("ipv4/ip_forward", to: "1")
        let masqd = try Masqd(in: gateway.router, configuration: configuration("require"))
        try masqd.waitForReady()
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
        #expect(try masqd.stop() == 0)
        #expect(try gateway.router.sysctl("ipv4/ip_forward") == "1")
    }

    private func configuration(_ mode: String) -> String {
        """
        [gateway]
        ip_forward = "\(mode)"
        [[masquerade]]
        out_interface = "ppp0"
        source = "192.168.0.0/16"

        """
    }
}
