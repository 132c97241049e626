// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import MasqKernel
import TestSupport
import Testing

@Suite struct SysctlTests {
    @Test("A link's settings are its own, but rp_filter is the higher of its own and that of all")
    func settings() throws {
        let namespace = try NetworkNamespace()
        try namespace.ip("link add wan.9 type veth peer name peer")
        try namespace.setSysctl("ipv4/conf/wan.9/rp_filter", to: "1")
        try namespace.setSysctl("ipv4/conf/wan.9/forwarding", to: "1")
        try namespace.setSysctl("ipv6/conf/wan.9/accept_ra", to: "2")
        let settings = { (name: InterfaceName) in namespace.run { Sysctl.settings(ofLink: name) } }
        #expect(
            settings("wan.9")
                == LinkSettings(reversePathFilter: 1, isForwarding: true, acceptsAdvertisements: 2))
        #expect(
            settings("peer")
                == LinkSettings(reversePathFilter: 0, isForwarding: false, acceptsAdvertisements: 1))
        try namespace.setSysctl("ipv4/conf/all/rp_filter", to: "2")
        #expect(settings("wan.9").reversePathFilter == 2)
        #expect(settings("absent").isForwarding == nil)
    }

    @Test("The connection table's fill is the namespace's, its size the machine's")
    func conntrack() throws {
        let namespace = try NetworkNamespace()
        let load = try #require(try namespace.run { try Sysctl.conntrackLoad() })
        #expect(load.count == 0)
        #expect(load.maximum > 0)
        #expect(load.buckets > 0)
        #expect(load.memory > 1 << 20)
        #expect(load.failures == .init())
    }
}
