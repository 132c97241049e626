// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

@Suite("What is said about others' rules")
struct ForeignFindingTests {
    private static func audit(_ sources: [String], out: [String] = ["ppp0"]) throws -> ForeignAudit {
        let block = OutboundBlock(
            line: 1, outInterfaces: try out.map { try InterfacePattern($0) },
            source: try sources.map { try IPNetwork($0) })
        return ForeignAudit(Configuration(origin: .commandLine, outbound: [block]), Links())
    }

    private static func lines(
        _ hook: ForeignRuleset.Hook, sources: [String] = ["192.168.0.0/16"], out: [String] = ["ppp0"]
    ) throws -> [String] {
        try audit(sources, out: out).report(on: ForeignRuleset([hook])).findings.map { "\($0)" }
    }

    @Test("iptables' policy, for both families and a glob")
    func iptables() throws {
        let hook = { (family: ForeignRuleset.Family) in
            ForeignRuleset.Hook(
                family, table: "filter", chain: "FORWARD", at: .forward, dropsByPolicy: true,
                chains: ["FORWARD": []])
        }
        let sources = ["192.168.0.0/16", "10.1.0.0/16", "fd00::/8"]
        #expect(
            try Self.lines(hook(.ip), sources: sources, out: ["ppp*"]) == [
                """
                ip filter FORWARD (iptables) drops what 192.168.0.0/16 and 1 more sends out of ppp*, and the \
                answers: its policy is drop; to permit it: \
                iptables -I FORWARD -s 192.168.0.0/16,10.1.0.0/16 -o ppp+ -j ACCEPT && \
                iptables -I FORWARD -d 192.168.0.0/16,10.1.0.0/16 -i ppp+ -m conntrack \
                --ctstate ESTABLISHED,RELATED -j ACCEPT
                """
            ])
        #expect(
            try Self.lines(hook(.ip6), sources: sources) == [
                """
                ip6 filter FORWARD (iptables) drops what fd00::/8 sends out of ppp0, and the answers: its \
                policy is drop; to permit it: ip6tables -I FORWARD -s fd00::/8 -o ppp0 -j ACCEPT && \
                ip6tables -I FORWARD -d fd00::/8 -i ppp0 -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
                """
            ])
        #expect(try Self.lines(hook(.ip6)) == [])
    }

    @Test("iptables-legacy's chain is another than nft's of the same name, and has other commands")
    func iptablesLegacy() throws {
        let hook = { (backend: ForeignRuleset.Backend) in
            ForeignRuleset.Hook(
                .ip, table: "filter", chain: "FORWARD", at: .forward, dropsByPolicy: true, backend: backend,
                chains: ["FORWARD": []])
        }
        let nat = ForeignRuleset.Hook(
            .ip, table: "nat", chain: "POSTROUTING", at: .sourceNAT, priority: 100, backend: .legacy,
            chains: ["POSTROUTING": [.init([], .translate("snat"), number: 3)]])
        let report = try Self.audit(["192.168.0.0/16"])
            .report(on: ForeignRuleset([hook(.nftables), hook(.legacy), nat]))
        #expect(
            report.findings.map(\.baseChain) == [
                "ip filter FORWARD", "legacy ip filter FORWARD", "legacy ip nat POSTROUTING",
            ])
        #expect(
            report.findings.dropFirst().map { "\($0)" } == [
                """
                legacy ip filter FORWARD (iptables-legacy) drops what 192.168.0.0/16 sends out of ppp0, and the \
                answers: its policy is drop; to permit it: \
                iptables-legacy -I FORWARD -s 192.168.0.0/16 -o ppp0 -j ACCEPT && \
                iptables-legacy -I FORWARD -d 192.168.0.0/16 -i ppp0 -m conntrack \
                --ctstate ESTABLISHED,RELATED -j ACCEPT
                """,
                """
                legacy ip nat POSTROUTING (iptables-legacy) translates what 192.168.0.0/16 sends out of ppp0 \
                before masqd does: rule 3 is snat; to leave it to masqd: \
                iptables-legacy -t nat -D POSTROUTING 3
                """,
            ])
    }

    @Test("nft's own words, and a set where there are several networks")
    func nft() throws {
        let hook = ForeignRuleset.Hook(
            .inet, table: "fw", chain: "fwd", at: .forward,
            chains: ["fwd": [.init([.state(6)], .accept), .init([], .reject)]])
        #expect(
            try Self.lines(hook, sources: ["192.168.0.0/16", "10.1.0.0/16"]) == [
                """
                inet fw fwd (rules made by hand) drops what 192.168.0.0/16 and 1 more sends out of ppp0: \
                rule 2 is reject; to permit it: nft 'insert rule inet fw fwd \
                ip saddr { 192.168.0.0/16, 10.1.0.0/16 } oifname "ppp0" accept'
                """
            ])
    }

    @Test("Names that could be more than names are quoted, and in no command")
    func hostileNames() throws {
        let hook = ForeignRuleset.Hook(
            .ip, table: "x'; reboot #", chain: "a\nb", at: .forward, dropsByPolicy: true, chains: ["a\nb": []]
        )
        #expect(
            try Self.lines(hook) == [
                """
                ip "x'; reboot #" "a\\nb" (rules made by hand) drops what 192.168.0.0/16 sends out of ppp0, and \
                the answers: its policy is drop
                """
            ])
    }

    @Test("More networks than a command has room for are counted")
    func manyNetworks() throws {
        let hook = ForeignRuleset.Hook(
            .ip, table: "filter", chain: "FORWARD", at: .forward, dropsByPolicy: true,
            chains: ["FORWARD": [.init([.state(2)], .accept)], "ufw-user-forward": []])
        let line = try #require(try Self.lines(hook, sources: (0..<20).map { "10.\($0).0.0/16" }).first)
        #expect(line.contains("(ufw)"))
        #expect(
            line.hasSuffix("ufw route allow out on ppp0 from 10.7.0.0/16 (and the same for 12 more networks)")
        )
    }

    @Test("A translation is spoken of only where it comes before masqd's")
    func translations() throws {
        for (priority, isSpokenOf) in [(100, true), (105, true), (106, false), (110, false)]
            as [(Int32, Bool)]
        {
            let hook = ForeignRuleset.Hook(
                .ip, table: "mynat", chain: "post", at: .sourceNAT, priority: priority,
                chains: ["post": [.init([], .translate("masquerade"), handle: 4)]])
            let expected = """
                ip mynat post (rules made by hand) translates what 192.168.0.0/16 sends out of ppp0 before masqd \
                does: rule 1 is masquerade; to leave it to masqd: nft delete rule ip mynat post handle 4
                """
            #expect(try Self.lines(hook) == (isSpokenOf ? [expected] : []))
        }
    }

    @Test("What another does for some of the sources only may be on purpose: no command")
    func partOfTheSources() throws {
        let network = AddressRanges(family: .ipv4, networks: [try IPNetwork("192.168.122.0/24")])
        let rule = ForeignRuleset.Rule([.address(.source, network)], .translate("masquerade"))
        let hook = ForeignRuleset.Hook(
            .ip, table: "libvirt_network", chain: "guest_nat", at: .sourceNAT, priority: 100,
            chains: ["guest_nat": [rule]])
        #expect(
            try Self.lines(hook) == [
                """
                ip libvirt_network guest_nat (libvirt) may translate what 192.168.0.0/16 sends out of ppp0 before \
                masqd does: rule 1 is masquerade
                """
            ])
    }

    @Test("A drop that depends on a mark which somebody may have set before is no certain one")
    func marksOfOthers() throws {
        let looking = ForeignRuleset.Hook(
            .ip, table: "filter", chain: "FORWARD", at: .forward, dropsByPolicy: true,
            chains: ["FORWARD": [.init([.mark(4, mask: 4)], .accept)]])
        let setting = { (priority: Int32, bits: UInt32, family: ForeignRuleset.Family) in
            ForeignRuleset.Hook(
                family, table: "mangle", chain: "FORWARD", at: .forward, priority: priority,
                chains: ["FORWARD": [.init([.unknown], .none, markChange: .init(keep: .max, flip: bits))]])
        }
        let audit = try Self.audit(["192.168.0.0/16"])
        for (hooks, earlier, count) in [
            ([looking], 0, 1), ([looking], 3, 1), ([looking], 4, 0),
            ([setting(-150, 4, .ip), looking], 0, 0),
            ([setting(-150, 3, .ip), looking], 0, 1), ([setting(-150, 4, .ip6), looking], 0, 1),
            ([setting(1, 4, .ip), looking], 0, 1), ([setting(0, 4, .inet), looking], 0, 0),
        ] as [([ForeignRuleset.Hook], UInt32, Int)] {
            var ruleset = ForeignRuleset(hooks)
            ruleset.earlierMarks = earlier
            #expect(audit.report(on: ruleset).findings.count == count)
        }
    }

    @Test(
        "Whoever translates a routed network is found, also behind masqd, and its answers are not translated")
    func routed() throws {
        let block = OutboundBlock(
            line: 1, outInterfaces: [.name("ppp0")], source: [try IPNetwork("2001:db8:1::/48")],
            translation: .routed(Routing()))
        let inside = Link(
            index: 3, name: "lan0", isUp: true, addresses: [try #require(IPAddress("2001:db8:1::1"))])
        let audit = ForeignAudit(Configuration(origin: .commandLine, outbound: [block]), Links([inside]))
        let nat = ForeignRuleset.Hook(
            .ip6, table: "mynat", chain: "post", at: .sourceNAT, priority: 110,
            chains: ["post": [.init([], .translate("masquerade"))]])
        #expect(
            audit.report(on: ForeignRuleset([nat])).findings.map(\.claim) == [
                """
                ip6 mynat post (rules made by hand) translates what 2001:db8:1::/48 sends out of ppp0, which is routed: \
                rule 1 is masquerade
                """
            ])
        // IPS_SRC_NAT: masqueraded answers have it, these have not.
        let filter = ForeignRuleset.Hook(
            .ip6, table: "filter", chain: "FORWARD", at: .forward, dropsByPolicy: true,
            chains: [
                "FORWARD": [
                    .init([.link(.destination, .name("ppp0"))], .accept), .init([.status(16)], .accept),
                ]
            ])
        #expect(audit.report(on: ForeignRuleset([filter])).findings.map(\.kind) == [.dropsAnswers])
    }

    @Test("The inside's links are judged one by one")
    func insideLinks() throws {
        let block = OutboundBlock(
            line: 1, outInterfaces: [.name("ppp0")], source: [try IPNetwork("192.168.0.0/16")])
        let address = try #require(IPAddress("192.168.1.1"))
        let hook = ForeignRuleset.Hook(
            .ip, table: "filter", chain: "FORWARD", at: .forward, dropsByPolicy: true,
            chains: [
                "FORWARD": [.init([.link(.source, .name("lan0"))], .accept), .init([.state(2)], .accept)]
            ])
        for (name, count) in [("lan0", 0), ("lan1", 1)] as [(InterfaceName, Int)] {
            let links = Links([Link(index: 3, name: name, isUp: true, addresses: [address])])
            let audit = ForeignAudit(Configuration(origin: .commandLine, outbound: [block]), links)
            #expect(audit.report(on: ForeignRuleset([hook])).findings.count == count)
        }
    }
}
