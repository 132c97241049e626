// SPDX-License-Identifier: GPL-3.0-or-later

import TestSupport
import Testing

/// `foreign_drop = "open"` and connections that come in: what the file forwards passes, and nothing else that comes unasked.
@Suite("Others' chains are opened for what the file forwards")
struct OpenForwardTests {
    private static let configuration = """
        [[masquerade]]
        out_interface = "ppp0"
        source = "192.168.0.0/16"

        [[port_forward]]
        port = 443
        to = "192.168.1.3:7777"

        [[port_forward]]
        port = 444
        to = "10.9.0.2:7777"

        [forward]
        foreign_drop = "open"

        """

    @Test(
        "The world reaches the servers, whether others drop first packets or all",
        arguments: ["ct state established,related accept", ""])
    func servers(rule: String) throws {
        let gateway = try Gateway()
        try gateway.lan.ip("addr add 192.168.1.3/24 dev eth0")
        let server = try AddressServer(in: gateway.lan, addresses: ["192.168.1.3"])
        defer { withExtendedLifetime(server) {} }
        try gateway.router.nft(
            """
            table inet others {
                chain forward { type filter hook forward priority filter; policy drop; \(rule); }
                chain pre {
                    type nat hook prerouting priority dstnat;
                    ip daddr 203.0.113.7 tcp dport 445 dnat ip to 192.168.1.3:7778
                }
            }

            """)
        let masqd = try Masqd(in: gateway.router, configuration: Self.configuration)
        try eventually("it is opened") { try masqd.log.contains("opened for what masqd permits") }
        func isReached(_ port: UInt16, limit: Duration = .seconds(10)) throws -> Bool {
            try answer {
                try Conversation(
                    .tcp, from: gateway.wan, source: Endpoint("198.51.100.80"),
                    to: Endpoint("203.0.113.7", port), limit: limit
                ).ask(limit: limit)
            } != nil
        }
        for port in [443, 444] as [UInt16] {
            #expect(try isReached(port), "\(port)")
        }
        // What others forward is theirs to permit.
        try gateway.lan.watch("others", "tcp dport 7778")
        #expect(try !isReached(445, limit: .unanswered))
        #expect(try gateway.lan.watched("others") == 0)
        #expect(try gateway.isAnswered(.tcp))
    }
}
