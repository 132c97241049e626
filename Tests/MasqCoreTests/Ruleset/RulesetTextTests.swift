// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

@Suite struct RulesetTextTests {
    private func elements(_ pairs: [(UInt128, UInt128)], _ family: AddressFamily = .ipv4) -> String {
        var ruleset = Ruleset()
        let ranges = pairs.map { AddressRange(first: $0.0, last: $0.1) }
        ruleset.sets = [.init("s", .addresses(.init(family: family, merging: ranges)))]
        let lines = ruleset.text.split(separator: "\n").map(String.init)
        return lines.first { $0.contains("elements") } ?? ""
    }

    @Test(
        "A range is written as a network where it is one, else with both ends",
        arguments: [
            (0x0a00_0000, 0x0aff_ffff, "10.0.0.0/8"), (0x0a00_0001, 0x0a00_0001, "10.0.0.1/32"),
            (0, 0xffff_ffff, "0.0.0.0/0"), (0, 0, "0.0.0.0/32"),
            (0xffff_ffff, 0xffff_ffff, "255.255.255.255/32"),
            (0x8000_0000, 0xffff_ffff, "128.0.0.0/1"), (0, 0x7fff_ffff, "0.0.0.0/1"),
            (1, 2, "0.0.0.1-0.0.0.2"), (0, 2, "0.0.0.0-0.0.0.2"),
            (0x0a00_0000, 0x0bff_fffe, "10.0.0.0-11.255.255.254"),
            // As long as a network, and not where one begins.
            (0x0b00_0000, 0x0cff_ffff, "11.0.0.0-12.255.255.255"),
        ] as [(UInt128, UInt128, String)])
    func ipv4(first: UInt128, last: UInt128, text: String) {
        #expect(elements([(first, last)]) == "\t\telements = { \(text) }")
    }

    @Test("IPv6's ranges too, up to all of it")
    func ipv6() {
        #expect(elements([(0, .max)], .ipv6) == "\t\telements = { ::/0 }")
        #expect(
            elements([(1, .max)], .ipv6) == "\t\telements = { ::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff }")
        #expect(
            elements([(.max, .max)], .ipv6)
                == "\t\telements = { ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128 }")
        #expect(elements([(0xfd << 120, 0xfe << 120 - 1)], .ipv6) == "\t\telements = { fd00::/8 }")
    }

    @Test("Sets, maps, objects and chains have the layout of nft list table")
    func layout() {
        var ruleset = Ruleset()
        ruleset.counters = ["hits"]
        ruleset.alarms = ["bell"]
        ruleset.sets = [
            .init("empty", .addresses(.init(family: .ipv6))),
            .init("lan", .addresses(.init("10.0.0.0/8", "192.168.0.0/16"))),
            .init("names", .interfaces(["ppp1", "ppp0"])), .init("map", .jumps(["ppp1": "b", "ppp0": "a"])),
        ]
        ruleset.chains = [
            .init("plain", []),
            .init("base", base: .forward(policy: .drop), [Rule([], .accept, comment: "why")]),
        ]
        let text = """
            table inet masqd {
            \tcounter hits {
            \t}

            \tquota bell {
            \t\tover 1 bytes
            \t}

            \tset empty {
            \t\ttype ipv6_addr
            \t\tflags interval
            \t}

            \tset lan {
            \t\ttype ipv4_addr
            \t\tflags interval
            \t\telements = { 10.0.0.0/8,
            \t\t\t     192.168.0.0/16 }
            \t}

            \tset names {
            \t\ttype ifname
            \t\telements = { "ppp0",
            \t\t\t     "ppp1" }
            \t}

            \tmap map {
            \t\ttype ifname : verdict
            \t\telements = { "ppp0" : jump a,
            \t\t\t     "ppp1" : jump b }
            \t}

            \tchain plain {
            \t}

            \tchain base {
            \t\ttype filter hook forward priority filter; policy drop;
            \t\taccept comment "why"
            \t}
            }

            """
        #expect(ruleset.text == text)
    }

    @Test("Every word that a rule can have is nft's")
    func rules() {
        let cases: [(Rule, String)] = [
            (Rule([.interface(.input, .prefix("ppp"))], .drop, comment: ""), "iifname \"ppp*\" drop"),
            (Rule([.interface(.output, .name("wan@1"))], .accept, comment: ""), "oifname \"wan@1\" accept"),
            (
                Rule([.interfaceIn(.input, set: "s")], counter: "c", .drop, comment: ""),
                "iifname @s counter name c drop"
            ),
            (Rule([.address(.ipv4, .source, set: "s")], .jump("j"), comment: ""), "ip saddr @s jump j"),
            (Rule([.address(.ipv6, .destination, set: "s")], .accept, comment: ""), "ip6 daddr @s accept"),
            (
                Rule([.sourceTranslated, .replyDirection], .accept, comment: ""),
                "ct status snat ct direction reply accept"
            ),
            (Rule([.destinationTranslated], .accept, comment: ""), "ct status dnat accept"),
            (
                Rule([.sourceTranslatedAssured], .accept, comment: ""),
                "ct status & (assured | snat) == (assured | snat) accept"
            ),
            (
                Rule([.synchronizes], .clampSegmentSize(.pathMTU), comment: ""),
                "tcp flags syn tcp option maxseg size set rt mtu"
            ),
            (
                Rule([.sourceTranslatedAssured], .offload("fastpath"), comment: ""),
                "ct status & (assured | snat) == (assured | snat) flow add @fastpath"
            ),
            (
                Rule([.destinationPort(.tcp, 21)], .help("helper_ftp"), comment: ""),
                "tcp dport 21 ct helper set \"helper_ftp\""
            ),
            (
                Rule([.otherDestinationPort(.udp, 53)], .expire("timeout_udp"), comment: ""),
                "udp dport != 53 ct timeout set \"timeout_udp\""
            ),
            (
                Rule([], .clampSegmentSize(.fixed(1412)), comment: ""),
                "tcp option maxseg size set 1412"
            ),
            (
                Rule(
                    [.within(Rate(10, .minute, burst: 20))], .log(.group(5), prefix: "why: "), comment: ""),
                "limit rate 10/minute burst 20 packets log prefix \"why: \" group 5"
            ),
            (Rule([], .log(.kernel, prefix: "why: "), comment: ""), "log prefix \"why: \""),
            (Rule([.unconfirmed], .accept, comment: ""), "ct status & confirmed == 0 accept"),
            (Rule([.confirmed], .raise("bell"), comment: ""), "ct status confirmed quota name bell"),
            (
                Rule([.state([.untracked, .invalid, .related, .established])], .drop, comment: ""),
                "ct state invalid,established,related,untracked drop"
            ),
            (
                Rule([.leavesThroughIPsec, .cameThroughIPsec], .drop, comment: ""),
                "rt ipsec exists meta ipsec exists drop"
            ),
            (Rule([.sourceForeignToOutInterface], .drop, comment: ""), "fib saddr . oif type != local drop"),
            (Rule([], .dispatch(.input, map: "m"), comment: ""), "iifname vmap @m"),
            (
                Rule([.transport(.icmpv6)], .masquerade(.init()), comment: ""),
                "meta l4proto ipv6-icmp masquerade"
            ),
            (
                Rule([.transport(.sctp)], .masquerade(.init(ports: 7...7)), comment: ""),
                "meta l4proto sctp masquerade to :7"
            ),
            (
                Rule(
                    [], .masquerade(.init(ports: 1024...65535, random: .fullyRandom, persistent: true)),
                    comment: ""),
                "masquerade to :1024-65535 fully-random,persistent"
            ),
            (Rule([], .masquerade(.init(random: .random)), comment: ""), "masquerade random"),
            (Rule([], .masquerade(.init(persistent: true)), comment: ""), "masquerade persistent"),
        ]
        for (rule, text) in cases { #expect(rule.text == text + " comment \"\"") }
    }
}
