// SPDX-License-Identifier: GPL-3.0-or-later

import TestSupport
import Testing

/// A gateway between its networks with a masqd that is ready.
struct Scenario {
    let gateway: Gateway
    let masqd: Masqd

    /// The how-to's configuration, for both families.
    static let configuration = """
        [[masquerade]]
        out_interface = "ppp0"
        source = ["192.168.0.0/16", "fd00:1::/64"]

        """

    init(_ configuration: String = Self.configuration, dialedUp: Bool = true) throws {
        gateway = try Gateway(dialedUp: dialedUp)
        masqd = try Masqd(in: gateway.router, configuration: configuration)
        try masqd.waitForReady()
    }

    /// The how-to's configuration with more lines in its block.
    static func configuration(_ lines: String...) -> String {
        configuration + lines.joined(separator: "\n") + "\n"
    }
}

extension Gateway {
    /// Forwards without a masqd, and tracks connections: that only works for a namespace in which a rule asks for it.
    func forwardUntranslated() throws {
        try router.setSysctl("ipv4/ip_forward", to: "1")
        try router.nft(
            """
            table ip foreign {
                chain tracked {
                    type filter hook forward priority filter; policy accept;
                    ct state established accept
                }
            }

            """)
    }
}

extension Gateway {
    /// Puts a flow into conntrack that was never translated, and hands out the socket that it belongs to.
    func untranslatedFlow(port: UInt16) throws -> Conversation {
        try Command(
            "conntrack", "-I", "-p", "udp", "-s", "192.168.1.2", "-d", Gateway.server.address,
            "--sport", "\(port)", "--dport", "\(Gateway.server.port)", "-t", "600"
        ).run(in: router).expectSuccess()
        return try Conversation(
            .udp, from: lan, source: Endpoint("192.168.1.2", port), to: Gateway.server)
    }

    /// Lets masqd walk through all connections, since a default route came that changes nothing, to the end.
    func examineConnections(port: UInt16) throws {
        _ = try untranslatedFlow(port: port)
        try router.ip("route add default dev lan0 metric \(port)")
        try eventually("the untranslated flow is found") {
            try !Command("conntrack", "-L", "-p", "udp", "--orig-port-src", "\(port)").run(in: router)
                .expectSuccess().standardOutput.contains("sport=\(port)")
        }
    }
}

extension NetworkNamespace {
    /// masqd's table without the counters' values, with the handles: equal only if nothing was made anew.
    func masqdTable() throws -> String {
        try Command("nft", "-s", "-a", "list", "table", "inet", "masqd").run(in: self).expectSuccess()
            .standardOutput
    }

    /// Whether there is a table of masqd's.
    func hasMasqdTable() throws -> Bool { try nftListing("tables").contains("table inet masqd") }

    /// Counts packets as they come in from a link, before any other chain.
    func watch(_ name: String, _ match: String) throws {
        try nft(
            """
            table inet watch_\(name) {
                counter \(name) { }
                chain arriving {
                    type filter hook prerouting priority raw - 10; policy accept;
                    \(match) counter name \(name)
                }
            }

            """)
    }

    /// What ``watch(_:_:)`` has counted.
    func watched(_ name: String) throws -> Int {
        try #require(try packets(counter: name, table: "inet watch_\(name)"))
    }
}
