// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import TestSupport
import Testing

/// What holds for the ruleset of every configuration.
@Suite struct RulesetTests {
    private struct Sample {
        let seed: UInt64
        let configuration: Configuration
        let ruleset: Ruleset
    }

    private static let samples: [Sample] = (0..<300).map { (seed: UInt64) in
        var random = SplitMix64(seed: seed)
        let configuration = Configuration.random(using: &random)
        let memory = KernelMemory(rawValue: seed % 16)
            .union(.opened(with: seed % 3 == 0 ? configuration.forward.mark : 0))
        return Sample(
            seed: seed, configuration: configuration, ruleset: .desired(configuration, memory: memory))
    }

    @Test("The same configuration gives the same ruleset, with the memory in its counters and nowhere else")
    func isPure() {
        for sample in Self.samples.prefix(50) {
            let configuration = sample.configuration
            var forgetful = Ruleset.desired(configuration)
            #expect(forgetful == .desired(configuration))
            let memory: KernelMemory = [.ipv4ForwardingWasOff, .ipv6ForwardingWasOff]
            let ruleset = Ruleset.desired(configuration, memory: memory)
            #expect(KernelMemory(counterNames: ruleset.counters) == memory)
            forgetful.counters = ["ip_forward_was_off", "ipv6_forwarding_was_off"] + forgetful.counters
            let isEqual = ruleset == forgetful
            #expect(isEqual, "seed \(sample.seed)")
        }
    }

    @Test("Names are unique, at most 127 bytes, and identifiers that are no keywords of nft's")
    func names() {
        // From scanner.l of nftables 1.0.6: those that an interface or a purpose could be called.
        let keywords: Set = [
            "accept", "counter", "dnat", "drop", "fwd", "iif", "iifname", "ip", "jump", "masquerade", "mark",
            "meta", "oif", "oifname", "quota", "redirect", "reject", "rt", "set", "snat", "table", "th",
        ]
        for sample in Self.samples {
            let (seed, ruleset) = (sample.seed, sample.ruleset)
            for names in [
                ruleset.chains.map(\.name), ruleset.sets.map(\.name), ruleset.counters + ruleset.alarms,
            ] {
                #expect(Set(names).count == names.count, "seed \(seed)")
                for name in names {
                    #expect(isIdentifier(name) && !keywords.contains(name), "seed \(seed): \(name)")
                }
            }
        }
    }

    /// `({letter}|[_.])({letter}|{digit}|[/\-_\.])*` of nftables' scanner.l, and NFT_NAME_MAXLEN, 128 with the NUL.
    private func isIdentifier(_ name: String) -> Bool {
        let letters = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.".utf8)
        let others = letters.union("0123456789/-".utf8)
        guard let first = name.utf8.first, name.utf8.count <= 127 else { return false }
        return letters.contains(first) && name.utf8.allSatisfy(others.contains)
    }

    @Test("Interfaces that nft could not tell apart have chains of their own")
    func chainNames() {
        var configuration = Configuration.masquerading("wan@1", "10.0.0.0/8")
        configuration.outbound[0].outInterfaces += [
            .name("wan/401"), .name("wan_1"), .name("wan-1"), .name("wan.1"), .prefix("wan"), .name("ü"),
        ]
        let chains = Ruleset.desired(configuration).chains.map(\.name).filter { $0.hasPrefix("translate_") }
        #expect(
            chains == [
                "translate_wan/401", "translate_wan/2f401", "translate_wan_1", "translate_wan-1",
                "translate_wan.1", "translate_/c3/bc", "translate_wan/2a",
            ])
    }

    @Test("What is named is there, and what is there is named")
    func references() {
        for sample in Self.samples {
            let (seed, ruleset) = (sample.seed, sample.ruleset)
            let table = Snapshot(textOf: ruleset)
            var named: Set<Reference> = []
            for chain in table.chains.values { named.formUnion(chain.rules.flatMap(Reference.all)) }
            for set in ruleset.sets {
                if case .jumps(let jumps) = set.elements {
                    named.formUnion(jumps.values.map(Reference.chain))
                }
                #expect(!set.elements.isEmpty || set.source != nil, "seed \(seed): \(set.name) is empty")
            }
            // What masqd remembers is a counter that counts nothing.
            let counting = table.objects.filter {
                !$0.name.hasSuffix("_was_off") && !$0.name.hasPrefix("open")
            }
            let plain = ruleset.chains.filter { $0.base == nil }.map(\.name)
            let there = Set(
                counting.map { Reference.object($0.key) } + table.sets.keys.map(Reference.set)
                    + table.flowtables.keys.map(Reference.flowtable)
                    + plain.map(Reference.chain))
            #expect(named == there, "seed \(seed)")
        }
    }

    @Test("A chain comes after those that it jumps to")
    func order() {
        for sample in Self.samples {
            let (seed, ruleset) = (sample.seed, sample.ruleset)
            var seen: Set<String> = []
            for chain in ruleset.chains {
                for case .jump(let target) in chain.rules.map(\.action) {
                    #expect(seen.contains(target), "seed \(seed): \(chain.name) before \(target)")
                }
                seen.insert(chain.name)
            }
        }
    }

    @Test("A comment fits, can stand in quotes, and begins with the file and a line of the configuration")
    func comments() {
        for sample in Self.samples {
            let (seed, configuration, ruleset) = (sample.seed, sample.configuration, sample.ruleset)
            let blocks = configuration.outbound.map(\.line) + configuration.uplinks.map(\.line)
            let lines = blocks + [configuration.forward.unsolicitedLine ?? 0]
            let place =
                switch configuration.origin {
                case .commandLine: ["command line"]
                case .file(let path) where path.hasPrefix("/etc"): lines.map { "masqd.toml:\($0)" }
                case .file(let path) where path.hasPrefix("/a"): lines.map { "_b___.toml:\($0)" }
                case .file: lines.map { String(repeating: "x", count: 48) + ":\($0)" }
                }
            for comment in ruleset.chains.flatMap(\.rules).map(\.comment) {
                #expect(comment.utf8.count <= Rule.maximumCommentLength, "seed \(seed)")
                #expect(
                    comment.utf8.allSatisfy { 32..<127 ~= $0 && $0 != 34 && $0 != 92 },
                    "seed \(seed): \(comment)")
                #expect(place.contains { comment.hasPrefix($0 + ": ") }, "seed \(seed): \(comment)")
            }
        }
    }

    @Test(
        "The base chains are two, with the policy of the configuration; one more where anything is translated, or mapped inward, and more for others and uplinks"
    )
    func baseChains() {
        for sample in Self.samples {
            let (configuration, ruleset) = (sample.configuration, sample.ruleset)
            let bases = Dictionary(
                uniqueKeysWithValues: ruleset.chains.compactMap { chain in
                    chain.base.map { (chain.name, $0) }
                })
            let policy: UInt32 = configuration.forward.policy == .drop ? 0 : 1
            var expected = [
                "forward": BaseChain(type: "filter", hook: 2, priority: 0, policy: policy),
                "postrouting": BaseChain(type: "nat", hook: 4, priority: 105, policy: 1),
            ]
            if configuration.outbound.contains(where: \.translation.hidesSource) {
                expected["output"] = BaseChain(type: "filter", hook: 3, priority: 0, policy: 1)
            }
            let isMappedInward = configuration.outbound.contains { block in
                guard case .snat(let snat) = block.translation, snat.inbound else { return false }
                return block.families.contains { snat.target($0)?.isOneToOne == true }
            }
            if isMappedInward {
                expected["prerouting"] = BaseChain(type: "nat", hook: 0, priority: -95, policy: 1)
            }
            let remembersOpening = ruleset.counters.contains { $0.hasPrefix("opens_for_") }
            if configuration.forward.foreignDrop == .open, remembersOpening {
                expected["permit"] = BaseChain(type: "filter", hook: 2, priority: -140, policy: 1)
                expected["permit_end"] = BaseChain(type: "filter", hook: 2, priority: 1000, policy: 1)
            }
            if !configuration.uplinks.isEmpty {
                expected["mark_arriving"] = BaseChain(type: "filter", hook: 0, priority: -145, policy: 1)
                expected["mark_own"] = BaseChain(type: "route", hook: 3, priority: -145, policy: 1)
                expected["mark_leaving"] = BaseChain(type: "filter", hook: 4, priority: -145, policy: 1)
            }
            #expect(bases == expected)
        }
    }
}
