// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import TestSupport
import Testing

@Suite struct RandomDifferenceTests {
    @Test("From any table to any other leads one batch that the kernel takes", arguments: 0..<4)
    func leadsThere(worker: UInt64) throws {
        for seed in worker * 250..<(worker + 1) * 250 {
            var random = SplitMix64(seed: seed)
            let current = TableModel(.random(using: &random)).disturbed(using: &random).table
            let desired =
                random.next() % 20 == 0 ? Snapshot() : Snapshot(textOf: .desired(.random(using: &random)))

            let changes = Difference.changes(from: current, to: desired)
            var model = TableModel(current)
            do {
                try model.commit(changes)
            } catch {
                Issue.record("seed \(seed): \(error) in \(changes)")
            }
            // In a variable: a failure should print the seed, not two tables.
            let isThere = model.table == desired
            #expect(isThere, "seed \(seed)")
            let isRemoved = desired.tableFlags == nil && current.tableFlags != nil
            #expect(changes.contains(.deleteTable) == isRemoved, "seed \(seed)")
            #expect(Difference.changes(from: model.table, to: desired).isEmpty, "seed \(seed)")
        }
    }

    @Test(
        "In stages the kernel takes it too, and no rule comes along with a set that it looks up",
        arguments: 0..<4)
    func stages(worker: UInt64) throws {
        var longest = 0
        for seed in worker * 100..<(worker + 1) * 100 {
            var random = SplitMix64(seed: seed)
            let current = TableModel(.random(using: &random)).disturbed(using: &random).table
            let desired = Snapshot(textOf: .desired(.random(using: &random)))
            guard current.tableFlags != nil else { continue }
            let changes = Difference.changes(from: current, to: desired)
            let stages = Difference.stages(of: changes)
            longest = max(longest, stages.count)
            var model = TableModel(current)
            for stage in stages {
                let before = model.table
                do {
                    try model.commit(stage)
                } catch {
                    Issue.record("seed \(seed): \(error) in \(stages)")
                }
                let changesRules = model.table.rules != before.rules
                let newSets = Set(model.table.sets.keys).subtracting(before.sets.keys)
                #expect(stages.count == 1 || !changesRules || newSets.isEmpty, "seed \(seed): \(newSets)")
            }
            let isThere = model.table == desired
            #expect(isThere, "seed \(seed)")
        }
        #expect(longest == 3)
    }

    @Test("A configuration that gains a network sends its element and nothing else")
    func minimal() throws {
        var configuration = Configuration(
            origin: .commandLine,
            outbound: [
                OutboundBlock(
                    line: 0, outInterfaces: [.name("ppp0")],
                    source: [try IPNetwork("192.168.0.0/16"), try IPNetwork("172.16.0.0/12")])
            ])
        let before = Snapshot(textOf: .desired(configuration))
        configuration.outbound[0].source.append(try IPNetwork("10.0.0.0/8"))
        let after = Snapshot(textOf: .desired(configuration))
        #expect(
            Difference.changes(from: before, to: after)
                == [.addElements(set: "masquerade_1_source", .addresses(.init("10.0.0.0/8")))])
    }
}

extension Snapshot {
    /// The rules of each chain that has any.
    fileprivate var rules: [String: [RuleBytes]] { chains.mapValues(\.rules).filter { !$0.value.isEmpty } }

    /// Nothing, or what some configuration asks for.
    fileprivate static func random(using generator: inout SplitMix64) -> Snapshot {
        generator.next() % 10 == 0
            ? Snapshot()
            : Snapshot(textOf: .desired(.random(using: &generator), memory: .ipv4ForwardingWasOff))
    }
}

extension TableModel {
    /// The table after somebody else edited it, in ways that the kernel takes.
    func disturbed(using generator: inout SplitMix64) -> TableModel {
        var model = self
        for _ in 0..<Int.random(in: 0...12, using: &generator) {
            // What the kernel refuses has not happened.
            try? model.commit([model.edit(using: &generator)])
        }
        return model
    }

    private func edit(using generator: inout SplitMix64) -> Change {
        func any(_ names: some Collection<String>) -> String {
            (names.sorted() + ["stranger"]).randomElement(using: &generator) ?? ""
        }
        let (chain, set) = (any(table.chains.keys), any(table.sets.keys))
        let base = BaseChain(
            type: "filter", hook: 2, priority: 0, policy: UInt32.random(in: 0...1, using: &generator))
        let shapes: [Snapshot.SetShape] = [
            .ipv4, .ipv6, .interfaces, .jumps, .init(flags: 0, keyType: 12, keyLength: 2, dataType: 0),
        ]
        switch Int.random(in: 0..<16, using: &generator) {
        case 0: return .addTable(flags: 1)
        case 1: return .addObject(.counter("stranger"))
        case 2: return .addObject(.init(any(table.objects.map(\.name)), .quota(bytes: 5, flags: 0)))
        case 3: return .deleteSet(set)
        case 4: return .addSet(set, shapes.randomElement(using: &generator) ?? .ipv4)
        case 5: return .addElements(set: set, .jumps(["eth7": chain]))
        case 6: return .addElements(set: set, .addresses(.init("172.16.0.0/12", "172.48.0.0/16")))
        case 7:
            guard let elements = table.sets[set]?.elements else { return .deleteSet(set) }
            return .deleteElements(set: set, elements)
        case 8: return .addChain(chain, Bool.random(using: &generator) ? base : nil)
        case 9: return .setPolicy(chain: chain, base)
        case 10: return .flushChain(chain)
        case 11: return .addRule(chain: chain, Array("jump \(any(table.chains.keys))".utf8))
        case 12: return .addRule(chain: chain, Array("ip saddr @\(set) counter name stranger".utf8))
        case 13: return .deleteChain(chain)
        case 14: return .deleteObject(.counter(any(table.objects.map(\.name))))
        default: return .addElements(set: set, .interfaces(["eth7", "eth8"]))
        }
    }
}
