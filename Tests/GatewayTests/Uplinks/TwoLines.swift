// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport

/// A gateway with two lines to a provider who takes no packet with an address of the other line.
final class TwoLines {
    let gateway: Gateway
    private var server: AddressServer?

    init() throws {
        gateway = try Gateway(dialedUp: false)
        // The default route is the last one's.
        try gateway.dialUp("ppp1", address: "203.0.113.9", addressIPv6: "2001:db8::9")
        try gateway.dialUp()
        try gateway.wan.nft(
            """
            table inet lines {
                chain arriving {
                    type filter hook prerouting priority raw; policy accept;
                    iifname "isp-*" fib saddr . iif oif missing drop
                }
            }

            """)
    }

    /// Uplinks in the order of preference; `lines` belong to the first, but for those from a header on.
    static func configuration(_ interfaces: String..., lines: [String] = []) -> String {
        let blocks = interfaces.map { "[[uplink]]\ninterface = \"\($0)\"\n" }
        let own = lines.prefix { !$0.hasPrefix("[") }
        return """
            [[masquerade]]
            out_interface = ["ppp0", "ppp1"]
            source = ["192.168.0.0/16", "fd00:1::/64"]

            """ + blocks[0] + own.map { $0 + "\n" }.joined() + blocks[1]
                + lines.dropFirst(own.count).map { $0 + "\n" }.joined()
    }

    /// A masqd that is ready and prefers ppp0.
    func start(_ lines: String...) throws -> Masqd {
        let configuration = Self.configuration("ppp0", "ppp1", lines: lines)
        let masqd = try Masqd(in: gateway.router, configuration: configuration)
        try masqd.waitForReady()
        return masqd
    }

    /// A port of each line that somebody else's table forwards to the client in the LAN.
    func serveThroughBothLines() throws {
        try gateway.router.nft(
            """
            table inet foreign {
                chain forwards {
                    type nat hook prerouting priority dstnat; policy accept;
                    meta l4proto { tcp, udp } th dport 8080 dnat ip to 192.168.1.2:7777
                }
            }

            """)
        server = try AddressServer(in: gateway.lan, addresses: ["192.168.1.2"])
    }

    /// All rules, and the routes of the uplinks' tables, a line each.
    func policy() throws -> [String] {
        let commands = [
            ["rule"], ["-6", "rule"], ["route", "show", "table", "all"],
            ["-6", "route", "show", "table", "all"],
        ]
        return try commands.flatMap { arguments in
            try Command("ip", arguments).run(in: gateway.router).expectSuccess().standardOutput
                .split(separator: "\n").map(String.init)
        }.filter { $0.contains(":\t") || $0.contains("table 70") }.sorted()
    }

    /// The connections whose line in conntrack's listing has this in it.
    func connections(marked mark: String) throws -> [String] {
        try Command("conntrack", "-L").run(in: gateway.router).expectSuccess().standardOutput
            .split(separator: "\n").map(String.init).filter { $0.contains(mark + " ") }
    }
}
