// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import MasqKernel
import TestSupport
import Testing

@Suite("Others' tables as the kernel has them")
struct ForeignReaderTests {
    private typealias Rule = ForeignRuleset.Rule

    /// The rules of one chain, read back without their handles.
    private func rules(_ text: String, in namespace: NetworkNamespace) throws -> [[ForeignRuleset.Rule]] {
        try namespace.nft(text)
        let ruleset = try namespace.run { () throws -> ForeignRuleset in
            var reader = try ForeignReader()
            return try reader.read()
        }
        return ruleset.hooks.map { hook in
            hook.chains.sorted { $0.key < $1.key }.flatMap(\.value).map {
                Rule($0.conditions, $0.effect, markChange: $0.markChange)
            }
        }
    }

    private func network(_ texts: String...) throws -> AddressRanges {
        let networks = try texts.map { try IPNetwork($0) }
        return AddressRanges(family: networks[0].family, networks: networks)
    }

    @Test("Every expression has its word, and what has none is unknown")
    func words() throws {
        for (text, conditions) in [
            ("iifname \"lan0\"", [.link(.source, .name("lan0"))]),
            ("oifname != \"ppp*\"", [.not(.link(.destination, .prefix("ppp")))]),
            ("iif \"lo\"", [.linkIndex(.source, 1)]),
            ("ip saddr 192.168.0.0/16", [.family(.ipv4), .address(.source, try network("192.168.0.0/16"))]),
            ("ip daddr 10.0.0.0/9", [.family(.ipv4), .address(.destination, try network("10.0.0.0/9"))]),
            ("ip saddr 192.0.2.1", [.family(.ipv4), .address(.source, try network("192.0.2.1/32"))]),
            ("ip6 daddr fd00::/8", [.family(.ipv6), .address(.destination, try network("fd00::/8"))]),
            (
                "ip saddr { 10.0.0.0/8, 172.16.0.0/12 }",
                [.family(.ipv4), .address(.source, try network("10.0.0.0/8", "172.16.0.0/12"))]
            ),
            ("iifname { \"lan0\", * }", [.not(.any([]))]),
            ("meta l4proto . th dport { tcp . 22, udp . 53 }", [.unknown]),
            ("iifname . oifname { \"lan0\" . \"ppp0\" }", [.unknown]),
            ("meta nfproto ipv6", [.family(.ipv6)]),
            ("meta l4proto udp", [.transport(17)]),
            ("ct state established,related", [.not(.not(.state(6)))]),
            ("ct state new", [.not(.not(.state(8)))]),
            ("ct status dnat", [.not(.not(.status(32)))]),
            ("ct direction reply", [.isReply]),
            ("meta mark and 0x4000 == 0x4000", [.mark(0x4000, mask: 0x4000)]),
            ("tcp dport 22", [.transport(6), .unknown]),
            ("limit rate 1/second", [.unknown]),
            ("ip saddr @named", [.family(.ipv4), .unknown]),
            ("fib daddr type local", [.unknown, .unknown]),
            ("counter log prefix \"x\"", []),
        ] as [(String, [ForeignRuleset.Condition])] {
            let namespace = try NetworkNamespace()
            let table = """
                table inet t {
                    set named { type ipv4_addr; elements = { 192.0.2.7 } }
                    chain c { type filter hook forward priority 0; \(text) drop; }
                }

                """
            #expect(try rules(table, in: namespace) == [[Rule(conditions, .drop)]], "\(text)")
        }
    }

    @Test("Every verdict has its word")
    func verdicts() throws {
        for (text, effect) in [
            ("accept", .accept), ("drop", .drop), ("reject", .reject), ("return", .return),
            ("continue", .none),
            ("jump a", .jump("a")), ("goto a", .goto("a")), ("ct mark set 1", .none),
            (
                "ct state vmap { invalid : drop, new : jump a }",
                .choose([.init(.state(1), .drop), .init(.state(8), .jump("a"))])
            ),
            (
                "iifname vmap { \"lan0\" : accept, * : drop }",
                .choose([
                    .init(.link(.source, .name("lan0")), .accept),
                    .init(.not(.any([.link(.source, .name("lan0"))])), .drop),
                ])
            ),
        ] as [(String, ForeignRuleset.Effect)] {
            let namespace = try NetworkNamespace()
            let table = """
                table inet t {
                    chain a { }
                    chain c { type filter hook forward priority 0; \(text); }
                }

                """
            let read = try #require(try rules(table, in: namespace).first?.first, "\(text)")
            if case .choose(let choices) = read.effect, case .choose(let expected) = effect {
                // The kernel lists a hash in its own order.
                #expect(choices.count == expected.count && expected.allSatisfy(choices.contains))
            } else {
                #expect(read == Rule([], effect), "\(text)")
            }
        }
    }

    @Test("What becomes of a mark is known where a constant or the mark itself goes into it")
    func marks() throws {
        for (text, change) in [
            ("meta mark set 0x12", .init(keep: 0, flip: 0x12)),
            ("meta mark set meta mark | 0x12", .init(keep: ~0x12, flip: 0x12)),
            ("meta mark set meta mark & 0xff", .init(keep: 0xff, flip: 0)),
            ("meta mark set meta mark and 0xff or 0x100", .init(keep: 0xff & ~0x100, flip: 0x100)),
            ("meta mark set ct mark", .anything),
        ] as [(String, ForeignRuleset.MarkChange)] {
            let namespace = try NetworkNamespace()
            let table = "table inet t { chain c { type filter hook forward priority 0; \(text); }; }"
            #expect(try rules(table, in: namespace) == [[Rule([], .none, markChange: change)]], "\(text)")
        }
        let namespace = try NetworkNamespace()
        let behind = """
            table inet t {
                chain a { }
                chain c { type filter hook forward priority 0; meta mark set 1 meta mark 1 oifname "x" jump a; }
            }
            """
        let link = ForeignRuleset.Condition.link(.destination, .name("x"))
        let rule = Rule(
            [.unknown, .any([link, .unknown])], .jump("a"), markChange: .init(keep: 0, flip: 1))
        #expect(try rules(behind, in: namespace) == [[rule]])
        let lookup = behind.replacing("oifname \"x\"", with: "oifname != { \"x\", \"y\" }")
        let read = try #require(try rules(lookup, in: NetworkNamespace()).first?.first)
        guard case .any(let alternatives) = try #require(read.conditions.last) else {
            Issue.record("\(read.conditions) is certain")
            return
        }
        #expect(alternatives.count == 2 && alternatives.last == .unknown)
    }

    @Test("Marks that are set at other hooks are known by their bits, where a rule looks at marks at all")
    func earlierMarks() throws {
        let looking = "meta mark & 0x40 == 0x40 accept"
        let sets = "chain pre { type filter hook prerouting priority mangle; jump a; }"
        for (rule, others, expected) in [
            (looking, "chain a { tcp dport 22 meta mark set meta mark | 0x12; }; \(sets)", 0x12),
            (looking, "chain a { ct mark set 1; }; \(sets)", 0),
            (looking, "chain a { meta mark set ct mark; }; \(sets)", .max),
            ("drop", "chain a { meta mark set 1; }; \(sets)", 0),
            (looking, "chain a { meta mark set 1; }", 0),
            (looking, "chain post { type filter hook postrouting priority 0; meta mark set 8; }", 8),
            (looking, "chain in { type filter hook input priority 0; meta mark set 8; }", 0),
            (looking, "}; table bridge b { chain in { type filter hook prerouting priority 0; }", .max),
        ] as [(String, String, UInt32)] {
            let namespace = try NetworkNamespace()
            let text = """
                table inet t { chain c { type filter hook forward priority 0; \(rule); }; \(others); }
                table inet masqd { chain p { type filter hook prerouting priority 0; meta mark set 0x80; }; }

                """
            try namespace.nft(text)
            let ruleset = try namespace.run { () throws -> ForeignRuleset in
                var reader = try ForeignReader()
                return try reader.read()
            }
            #expect(ruleset.earlierMarks == expected, "\(rule), \(others)")
        }
    }

    @Test("What iptables' targets do to a mark is known")
    func targets() throws {
        for (text, change) in [
            ("MARK --set-xmark 0x4000/0xc000", .init(keep: ~0xc000, flip: 0x4000)),
            ("MARK --or-mark 0x4000", .init(keep: ~0x4000, flip: 0x4000)),
            ("CONNMARK --save-mark", nil), ("CONNMARK --restore-mark", .anything), ("LOG", nil),
        ] as [(String, ForeignRuleset.MarkChange?)] {
            let namespace = try NetworkNamespace()
            let words = "-t mangle -A FORWARD -j \(text)".split(separator: " ").map(String.init)
            try Command("iptables-nft", words).run(in: namespace).expectSuccess()
            #expect(try rules("", in: namespace) == [[Rule([], .none, markChange: change)]], "\(text)")
        }
    }

    @Test("Only hooks that forwarded traffic meets are read, dormant tables and masqd's own are not")
    func hooks() throws {
        let namespace = try NetworkNamespace()
        try namespace.nft(
            """
            add table inet masqd
            add chain inet masqd forward { type filter hook forward priority 0; policy drop; }
            add table ip masqd
            add chain ip masqd forward { type filter hook forward priority 1; policy drop; }
            add table ip asleep { flags dormant; }
            add chain ip asleep forward { type filter hook forward priority 2; policy drop; }
            add table ip6 t
            add chain ip6 t input { type filter hook input priority 0; policy drop; }
            add chain ip6 t alone
            add rule ip6 t alone drop
            add chain ip6 t post { type nat hook postrouting priority srcnat - 1; }
            add rule ip6 t post masquerade
            add chain ip6 t pre { type nat hook prerouting priority 0; }

            """)
        let ruleset = try namespace.run { () throws -> ForeignRuleset in
            var reader = try ForeignReader()
            return try reader.read()
        }
        #expect(ruleset.hooks.count == 2)
        let forward = try #require(ruleset.hooks.first { $0.family == .ip })
        #expect(forward.table == "masqd" && forward.point == .forward && forward.priority == 1)
        #expect(forward.dropsByPolicy)
        let post = try #require(ruleset.hooks.first { $0.family == .ip6 })
        #expect(post.point == .sourceNAT && post.priority == 99 && !post.dropsByPolicy)
        #expect(post.chains.keys.sorted() == ["post"])
        #expect(post.chains["post"]?.first?.effect == .translate("masquerade"))
    }

    @Test("iptables' matches and targets are understood")
    func iptables() throws {
        let namespace = try NetworkNamespace()
        let lines = [
            "-i lan+ -s 192.168.0.0/16 -o ppp0 -j ACCEPT", "-m state --state ESTABLISHED,RELATED -j ACCEPT",
            "-m conntrack ! --ctstate NEW -j DROP", "-m mark ! --mark 0x4000/0x4000 -j RETURN",
            "-m comment --comment why -j REJECT", "-p tcp -m multiport --dports 80,443 -j ACCEPT",
        ]
        for line in lines {
            try Command("iptables-nft", ["-A", "FORWARD"] + line.split(separator: " ").map(String.init))
                .run(in: namespace).expectSuccess()
        }
        let ruleset = try namespace.run { () throws -> ForeignRuleset in
            var reader = try ForeignReader()
            return try reader.read()
        }
        let hook = try #require(ruleset.hooks.first)
        let rules = try #require(hook.chains["FORWARD"])
        #expect(rules.map(\.effect) == [.accept, .accept, .drop, .return, .reject, .accept])
        let expected: [ForeignRuleset.Condition] = [
            .link(.source, .prefix("lan")), .address(.source, try network("192.168.0.0/16")),
            .link(.destination, .name("ppp0")),
        ]
        #expect(Set(rules[0].conditions.map { "\($0)" }) == Set(expected.map { "\($0)" }))
        let packet = ForeignPacket(
            family: .ipv4, inside: try network("10.0.0.0/8"), insideLink: nil, uplink: .init(.name("ppp0")))
        // New: none of the others applies, and the mark is not set.
        #expect(hook.verdict(on: packet).outcomes == .pass)
        #expect(hook.verdict(on: packet.at(.answer)).outcomes == .pass)
        #expect(rules[4].conditions.isEmpty)
        #expect(rules[5].conditions.contains(.unknown))
    }
}
