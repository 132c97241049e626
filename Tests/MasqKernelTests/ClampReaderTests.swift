// SPDX-License-Identifier: GPL-3.0-or-later

import MasqKernel
import TestSupport
import Testing

@Suite struct ClampReaderTests {
    private func chains(in namespace: NetworkNamespace) throws -> [String] {
        try namespace.run { try ClampReader.chains() }
    }

    @Test("A rule that sets the MSS is found, whoever made it; one that only looks at it is none")
    func found() throws {
        let namespace = try NetworkNamespace()
        #expect(try chains(in: namespace) == [])
        try namespace.nft(
            """
            table inet other {
                chain looks { tcp option maxseg size 1400 counter accept; tcp option sack-perm exists accept; }
                chain drops { tcp flags syn drop; }
            }

            """)
        #expect(try chains(in: namespace) == [])
        try namespace.nft("add rule inet other drops tcp flags syn tcp option maxseg size set rt mtu\n")
        try namespace.nft(
            "add table ip6 t\nadd chain ip6 t c\nadd rule ip6 t c tcp option maxseg size set 1400\n")
        #expect(try chains(in: namespace) == ["inet other drops", "ip6 t c"])
        try Command(
            "iptables-nft", "-t", "mangle", "-A", "FORWARD", "-p", "tcp", "--tcp-flags", "SYN,RST", "SYN",
            "-j",
            "TCPMSS", "--clamp-mss-to-pmtu"
        ).run(in: namespace).expectSuccess()
        #expect(try chains(in: namespace) == ["inet other drops", "ip mangle FORWARD", "ip6 t c"])
    }

    /// Whether iptables-legacy is installed, and the kernel has the table and the target.
    private static let hasLegacy: Bool = {
        do {
            return try Command("iptables-legacy", Self.clamp).run(in: NetworkNamespace()).status == 0
        } catch {
            return false
        }
    }()

    private static let clamp = [
        "-t", "mangle", "-A", "POSTROUTING", "-p", "tcp", "--tcp-flags", "SYN,RST", "SYN", "-j", "TCPMSS",
        "--clamp-mss-to-pmtu",
    ]

    @Test(
        "A rule of iptables-legacy is found too",
        .enabled(if: hasLegacy, "iptables-legacy is not installed, or not in this kernel"))
    func legacy() throws {
        let namespace = try NetworkNamespace()
        try Command("iptables-legacy", "-t", "mangle", "-S").run(in: namespace).expectSuccess()
        #expect(try chains(in: namespace) == [])
        try Command("iptables-legacy", Self.clamp).run(in: namespace).expectSuccess()
        #expect(try chains(in: namespace) == ["legacy ip mangle POSTROUTING"])
    }
}
