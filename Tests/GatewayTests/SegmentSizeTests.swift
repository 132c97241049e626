// SPDX-License-Identifier: GPL-3.0-or-later

import TestSupport
import Testing

/// The uplink's MTU is PPPoE's 1492, everything else has 1500: without a clamp both ends announce segments for 1500.
@Suite("The largest segment that TCP connections through the uplink agree on")
struct SegmentSizeTests {
    private func scenario(_ lines: String...) throws -> Scenario {
        let mss = lines.isEmpty ? "" : "[mss]\n" + lines.joined(separator: "\n") + "\n"
        let scenario = try Scenario(Scenario.configuration + mss)
        let gateway = scenario.gateway
        try gateway.router.ip("link set ppp0 mtu 1492")
        for namespace in [gateway.wan, gateway.lan] {
            try namespace.nft(
                """
                table inet sizes {
                    set seen { typeof tcp option maxseg size; flags dynamic; size 100; }
                    chain arriving {
                        type filter hook prerouting priority raw; policy accept;
                        tcp flags syn add @seen { tcp option maxseg size }
                    }
                }

                """)
        }
        return scenario
    }

    /// The sizes that SYNs announced as they arrived at the server and, in the answer, at the client.
    private func seenSizes(_ gateway: Gateway) throws -> [[Int]] {
        try [gateway.wan, gateway.lan].map { namespace in
            let listing = try namespace.nftListing("set", "inet", "sizes", "seen")
            guard let elements = listing.split(separator: "elements = {").dropFirst().first else { return [] }
            return elements.split { !$0.isNumber }.compactMap { Int($0) }.sorted()
        }
    }

    @Test("It fits the uplink in both directions, for both families, without being asked for")
    func pathMTU() throws {
        let scenario = try scenario()
        #expect(try scenario.gateway.seenSource(.tcp).address == "203.0.113.7")
        #expect(try seenSizes(scenario.gateway) == [[1452], [1452]])
    }

    @Test("For IPv6 it is 20 bytes less")
    func ipv6() throws {
        let scenario = try scenario()
        #expect(try scenario.gateway.seenSource(.tcp, to: Gateway.serverIPv6).address == "2001:db8::7")
        #expect(try seenSizes(scenario.gateway) == [[1432], [1432]])
    }

    @Test("A SYN that is sent again is clamped again")
    func repeated() throws {
        let scenario = try scenario()
        let gateway = scenario.gateway
        // The first one is lost on its way, and its connection is translated by then.
        try gateway.wan.nft(
            """
            table inet loss {
                counter lost { }
                chain arriving {
                    type filter hook prerouting priority filter; policy accept;
                    tcp flags syn limit rate 1/hour burst 1 packets counter name lost drop
                }
            }

            """)
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
        #expect(try gateway.wan.packets(counter: "lost", table: "inet loss") == 1)
        #expect(try seenSizes(gateway) == [[1452], [1452]])
    }

    @Test("What comes in by the uplink, and what is not translated, is clamped too")
    func inward() throws {
        let scenario = try scenario()
        let gateway = scenario.gateway
        let server = try AddressServer(in: gateway.lan, addresses: ["172.20.0.2"])
        defer { withExtendedLifetime(server) {} }
        let inside = Endpoint("172.20.0.2", AddressServer.port)
        #expect(try Conversation(.tcp, from: gateway.wan, to: inside).ask().address == "203.0.113.1")
        #expect(try seenSizes(gateway) == [[1452], [1452]])
        #expect(try gateway.seenSource(.tcp, from: "172.20.0.2").address == "172.20.0.2")
        #expect(try seenSizes(gateway) == [[1452], [1452]])
    }

    @Test("A smaller one stays as it is, and so does what passes no uplink")
    func untouched() throws {
        let scenario = try scenario("clamp = \"pmtu\"")
        let gateway = scenario.gateway
        #expect(try gateway.seenSource(.tcp, to: Gateway.dmzServer).address == "192.168.1.2")
        #expect(try seenSizes(gateway) == [[], [1460]])
        try gateway.lan.nft("flush set inet sizes seen")
        try gateway.lan.ip("route replace default via 192.168.1.1 advmss 1000")
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
        #expect(try seenSizes(gateway) == [[1000], [1452]])
    }

    @Test("A number in the configuration is what both ends see")
    func number() throws {
        let scenario = try scenario("clamp = 1200")
        #expect(try scenario.gateway.seenSource(.tcp).address == "203.0.113.7")
        #expect(try seenSizes(scenario.gateway) == [[1200], [1200]])
        try scenario.masqd.reload(Scenario.configuration + "[mss]\nclamp = 1100\n")
        #expect(try scenario.gateway.seenSource(.tcp, to: Gateway.serverIPv6).address == "2001:db8::7")
        #expect(try seenSizes(scenario.gateway) == [[1100, 1200], [1100, 1200]])
    }

    @Test("Off leaves it alone")
    func off() throws {
        let scenario = try scenario("clamp = \"off\"")
        #expect(try scenario.gateway.seenSource(.tcp).address == "203.0.113.7")
        #expect(try seenSizes(scenario.gateway) == [[1460], [1460]])
    }
}
