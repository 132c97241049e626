// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore
import TestSupport
import Testing

@testable import MasqKernel

@Suite("Tables of iptables-legacy")
struct LegacyTableTests {
    private typealias Rule = ForeignRuleset.Rule

    /// Whether the program is installed and the kernel has what it speaks to.
    static let isPossible: Bool = {
        do {
            let namespace = try NetworkNamespace()
            return try Command("iptables-legacy", "-S").run(in: namespace).status == 0
                && Command("ip6tables-legacy", "-S").run(in: namespace).status == 0
        } catch {
            return false
        }
    }()

    private func network(_ text: String) throws -> AddressRanges {
        let network = try IPNetwork(text)
        return AddressRanges(family: network.family, networks: [network])
    }

    private func hooks(_ rules: String, with program: String = "iptables-legacy-restore") throws
        -> [ForeignRuleset.Hook]
    {
        let namespace = try NetworkNamespace()
        try Command(program).run(in: namespace, input: rules).expectSuccess()
        return namespace.run { LegacyReader.read(for: nil).hooks }
    }

    @Test(
        "Chains, verdicts and conditions are read as they were written, for both families",
        .enabled(if: isPossible, "iptables-legacy is not installed, or not in this kernel"))
    func real() throws {
        for (program, family, sources) in [
            ("iptables-legacy-restore", ForeignRuleset.Family.ip, ["192.168.0.0/16", "10.0.0.1/32"]),
            ("ip6tables-legacy-restore", .ip6, ["fd00::/9", "2001:db8::1/128"]),
        ] {
            let hooks = try hooks(
                """
                *filter
                :INPUT DROP [0:0]
                :FORWARD DROP [0:0]
                :OUTPUT ACCEPT [0:0]
                :unreached - [0:0]
                :empty - [0:0]
                :user - [0:0]
                -A INPUT -j unreached
                -A FORWARD -i lan+ ! -o ppp0 -j ACCEPT
                -A FORWARD -s \(sources[0]) ! -d \(sources[1]) -p tcp -j user
                -A FORWARD -p tcp -m multiport --dports 80,443 -j ACCEPT
                -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
                -A FORWARD -m comment --comment "no target"
                -A FORWARD ! -p udp -g empty
                -A FORWARD -j MARK --set-xmark 0x4000/0xc000
                -A FORWARD -m mark ! --mark 0x1/0x1 -j REJECT
                -A unreached -j DROP
                -A user -j RETURN
                -A user -j empty
                -A user -j NFQUEUE
                COMMIT

                """, with: program)
            let hook = try #require(hooks.first)
            #expect(hooks.count == 1)
            #expect(hook.family == family && hook.backend == .legacy)
            #expect(hook.table == "filter" && hook.chain == "FORWARD")
            #expect(hook.point == .forward && hook.priority == 0 && hook.dropsByPolicy)
            #expect(hook.chains.keys.sorted() == ["FORWARD", "empty", "user"])
            #expect(
                try hook.chains["FORWARD"] == [
                    Rule(
                        [.link(.source, .prefix("lan")), .not(.link(.destination, .name("ppp0")))], .accept,
                        number: 1),
                    Rule(
                        [
                            .address(.source, network(sources[0])),
                            .not(.address(.destination, network(sources[1]))), .transport(6),
                        ], .jump("user"), number: 2),
                    Rule([.transport(6), .unknown], .accept, number: 3),
                    Rule([.any([.state(6)])], .accept, number: 4),
                    Rule([], .none, number: 5),
                    Rule([.not(.transport(17))], .goto("empty"), number: 6),
                    Rule([], .none, markChange: .init(keep: ~0xc000, flip: 0x4000), number: 7),
                    Rule([.not(.mark(1, mask: 1))], .reject, number: 8),
                ])
            // A user's chain ends with the return that the program puts there.
            #expect(hook.chains["user"]?.map(\.effect) == [.return, .jump("empty"), .unknown, .return])
            #expect(hook.chains["empty"] == [Rule([], .return, number: 1)])
        }
    }

    @Test(
        "A translation is read, and marks that are set before the forward hook are known",
        .enabled(if: isPossible, "iptables-legacy is not installed, or not in this kernel"))
    func otherTables() throws {
        let namespace = try NetworkNamespace()
        #expect(namespace.run { LegacyReader.read(for: nil).hooks } == [])
        try Command("iptables-legacy-restore").run(
            in: namespace,
            input: """
                *nat
                -A POSTROUTING -o ppp0 -j MASQUERADE
                COMMIT
                *mangle
                -A PREROUTING -j MARK --or-mark 0x30
                COMMIT

                """
        ).expectSuccess()
        let findings = namespace.run { LegacyReader.read(for: nil) }
        #expect(findings.isComplete && findings.earlierMarks == 0x30)
        let nat = try #require(findings.hooks.first { $0.table == "nat" })
        #expect(nat.point == .sourceNAT && nat.priority == 100 && !nat.dropsByPolicy)
        #expect(
            nat.chains["POSTROUTING"] == [
                Rule([.link(.destination, .name("ppp0"))], .translate("masquerade"), number: 1)
            ])
        let mangle = try #require(findings.hooks.first { $0.table == "mangle" })
        #expect(mangle.point == .forward && mangle.priority == -150 && mangle.chains == ["FORWARD": []])
    }

    @Test(
        "Looking makes no table",
        .enabled(if: isPossible, "iptables-legacy is not installed, or not in this kernel"))
    func nothingIsMade() throws {
        let namespace = try NetworkNamespace()
        func names() throws -> String {
            try Command("cat", "/proc/net/ip_tables_names").run(in: namespace).expectSuccess().standardOutput
        }
        _ = namespace.run { LegacyReader.read(for: nil) }
        #expect(try names() == "")
        try Command("iptables-legacy", "-S").run(in: namespace).expectSuccess()
        _ = namespace.run { LegacyReader.read(for: nil) }
        #expect(try names() == "filter\n")
    }

    @Test(
        "A table that is cut off anywhere, or has another byte anywhere, is read as something or not at all")
    func broken() throws {
        // FORWARD: a drop, the policy; then a user's chain of nothing but its return, and the end.
        let entries: [[UInt8]] = [
            Self.entry(verdict: -1), Self.entry(verdict: -2), Self.entry(error: "user"),
            Self.entry(verdict: -5), Self.entry(error: "ERROR"),
        ]
        let bytes = entries.flatMap { $0 }
        let information = Self.information(forwardPolicy: entries[0].count, size: bytes.count)
        func table(_ bytes: [UInt8]) -> LegacyTable? {
            bytes.withUnsafeBytes { LegacyTable("filter", .ipv4, information, $0, for: nil) }
        }
        let hook = try #require(table(bytes)?.hooks.first)
        #expect(!hook.dropsByPolicy)
        #expect(hook.chains == ["FORWARD": [Rule([], .drop, number: 1)]])
        let boundaries = entries.indices.map { entries[...$0].reduce(0) { $0 + $1.count } }
        for length in bytes.indices where !boundaries.contains(length) && length > 0 {
            #expect(table(Array(bytes[..<length])) == nil, "\(length)")
        }
        for index in bytes.indices {
            for byte: UInt8 in [0, 1, 0x7f, 0xff] {
                var broken = bytes
                broken[index] = byte
                _ = table(broken)
            }
        }
    }

    /// An ipt_entry without conditions, with a target of this name and these first bytes.
    private static func entry(_ target: String, _ data: [UInt8], _ dataLength: Int) -> [UInt8] {
        let length = 112 + 32 + dataLength
        var bytes = [UInt8](repeating: 0, count: length)
        bytes[88] = 112
        withUnsafeBytes(of: UInt16(length)) { bytes.replaceSubrange(90..<92, with: $0) }
        bytes[112] = UInt8(32 + dataLength)
        bytes.replaceSubrange(114..<114 + target.utf8.count, with: target.utf8)
        bytes.replaceSubrange(144..<144 + data.count, with: data)
        return bytes
    }

    private static func entry(verdict: Int32) -> [UInt8] {
        entry("", withUnsafeBytes(of: verdict) { Array($0) }, 8)
    }

    private static func entry(error: String) -> [UInt8] { entry("ERROR", Array(error.utf8), 32) }

    /// A table with one built-in chain, from the first byte on.
    private static func information(forwardPolicy: Int, size: Int) -> LegacyTable.Information {
        var bytes = [UInt8](repeating: 0, count: LegacyTable.Information.byteCount)
        bytes[32] = 1 << 2
        for (offset, number) in [(64, forwardPolicy), (80, size)] {
            withUnsafeBytes(of: UInt32(number)) { bytes.replaceSubrange(offset..<offset + 4, with: $0) }
        }
        return bytes.withUnsafeBytes { LegacyTable.Information($0) }
    }
}
