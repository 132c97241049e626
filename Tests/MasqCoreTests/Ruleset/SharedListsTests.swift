// SPDX-License-Identifier: GPL-3.0-or-later

import TestSupport
import Testing

@testable import MasqCore

/// Chains that uplinks have in common: what they save, and that packets don't notice.
@Suite struct SharedListsTests {
    @Test("Packets meet the same fate where uplinks have chains in common as where each has its own")
    func meaning() {
        for seed in UInt64(0)..<60 {
            var random = SplitMix64(seed: seed)
            var configuration = Configuration.random(blocks: 1...40, using: &random)
            configuration.portForwards = .random(using: &random)
            configuration.accounting.blocks = true
            func ruleset(_ longest: Int) -> Ruleset {
                RulesetBuilder(
                    configuration, memory: .opening(for: .all, with: configuration.forward.mark), lacking: [],
                    longestSeparateLists: longest
                ).build().inliningSingleElements()
            }
            let (separate, shared) = (ruleset(.max), ruleset(0))
            for _ in 0..<60 {
                let packet = SimulatedPacket.random(using: &random)
                for chain in separate.chains where chain.base != nil {
                    var one = separate.outcome(of: packet, in: chain.name)
                    var other = shared.outcome(of: packet, in: chain.name)
                    // What a packet passes on its way is what may differ.
                    one?.ruleCount = 0
                    other?.ruleCount = 0
                    #expect(one == other, "seed \(seed), \(chain.name): \(packet)")
                }
            }
        }
    }

    @Test("Lists are put together again of the pieces that they are divided into, and no piece is empty")
    func pieces() {
        for seed in UInt64(0)..<200 {
            var random = SplitMix64(seed: seed)
            let lists = (0..<Int.random(in: 1...20, using: &random)).map { _ in
                (0..<Int.random(in: 1...600, using: &random)).filter { _ in
                    Int.random(in: 0..<4, using: &random) > 0
                }
            }
            let shared = SharedLists(lists)
            func blocks(_ piece: Int) -> [Int] {
                shared.pieces[piece].flatMap { part in
                    switch part {
                    case .blocks(let blocks): blocks
                    case .piece(let inner): inner < piece ? blocks(inner) : []
                    }
                }
            }
            #expect(shared.roots.map(blocks) == lists, "seed \(seed)")
        }
    }

    @Test(
        "Blocks that have a glob in common make rules in proportion to their number, not to its square",
        arguments: [
            Shape.ownNameAndGlob, .nameAndGlobByTurns, .nestedGlobs, .allNames,
        ])
    func size(shape: Shape) {
        var counts: [Int] = []
        for number in [200, 400] {
            let ruleset = Ruleset.desired(Configuration(origin: .commandLine, outbound: shape.blocks(number)))
            counts.append(ruleset.chains.reduce(0) { $0 + $1.rules.count })
            #expect(ruleset.depth <= 12)
        }
        #expect(
            Uplink.sharedLength(Uplink.all(of: shape.blocks(400).map(\.outInterfaces)))
                < Uplink.longestSharedLists)
        #expect(counts[0] < 20000 && counts[1] < 3 * counts[0], "\(counts)")
    }

    @Test(
        "Blocks that name too many interfaces with nothing in common are refused, at the last of them, with both numbers"
    )
    func refused() throws {
        var random = SplitMix64(seed: 5)
        func file(_ number: Int) -> String {
            (0..<number).map { block in
                let names = (0..<number).filter { _ in Bool.random(using: &random) }.map { "\"ppp\($0)\"" }
                return """
                    [[masquerade]]
                    out_interface = [\((["\"own\(block)\""] + names).joined(separator: ", "))]
                    source = "10.\(block / 256).\(block % 256).0/24"

                    """
            }.joined()
        }
        #expect(Configuration.read(file(100).utf8.span, from: "a.toml").configuration != nil)
        let refused = Configuration.read(file(200).utf8.span, from: "a.toml").diagnostics.map(\.description)
        #expect(refused.count == 1)
        let message = #/^a.toml:598:1: error: .* \d+ entries are needed, 16384 are the most: .*$/#
        #expect(refused.first?.wholeMatch(of: message) != nil, "\(refused)")
    }

    @Test("Each glob counts for more than a name, since its rules are in line")
    func globs() {
        func file(_ number: Int, _ suffix: String) -> String {
            let names = (0..<number).map { "\"p\($0)\(suffix)\"" }.joined(separator: ", ")
            return "[[masquerade]]\nout_interface = [\(names)]\nsource = \"10.0.0.0/8\"\n"
        }
        func isAccepted(_ text: String) -> Bool {
            Configuration.read(text.utf8.span, from: "a.toml").configuration != nil
        }
        // The texts are too long to be printed.
        let (few, names, many) = (
            isAccepted(file(4000, "x*")), isAccepted(file(6000, "x")), isAccepted(file(6000, "x*"))
        )
        #expect(few && names && !many)
    }

    enum Shape {
        case ownNameAndGlob, nameAndGlobByTurns, nestedGlobs, allNames

        func blocks(_ number: Int) -> [OutboundBlock] {
            let names = (0..<number).map { InterfacePattern.name(InterfaceName("ppp\($0)")) }
            return (0..<number).map { index in
                let patterns: [InterfacePattern] =
                    switch self {
                    case .ownNameAndGlob: [names[index], .prefix("ppp")]
                    case .nameAndGlobByTurns: [index % 2 == 0 ? names[index] : .prefix("ppp")]
                    case .nestedGlobs: [names[index], .prefix(["p", "ppp", "ppp1", "ppp10"][index % 4])]
                    case .allNames: names
                    }
                let network = IPNetwork(
                    containing: IPAddress(family: .ipv4, value: UInt128(10 << 24 + index << 8)),
                    prefixLength: 24)
                return OutboundBlock(line: index + 1, outInterfaces: patterns, source: [network])
            }
        }
    }
}

extension SimulatedPacket {
    fileprivate static func random(using generator: inout SplitMix64) -> SimulatedPacket {
        var packet = SimulatedPacket.anyFirst(using: &generator)
        packet.isInVRF = Int.random(in: 0..<8, using: &generator) == 0
        packet.isSourceBehindOtherInterface = Bool.random(using: &generator)
        packet.isDestinationLocal = Bool.random(using: &generator)
        packet.destinationPort = UInt16.random(in: 1...4, using: &generator)
        packet.connection?.isConfirmed = Bool.random(using: &generator)
        packet.connection?.isReply = Int.random(in: 0..<4, using: &generator) == 0
        packet.connection?.isDestinationTranslated = Int.random(in: 0..<4, using: &generator) == 0
        packet.state = [[], .new, .established, .invalid].randomElement(using: &generator) ?? []
        if packet.state == .invalid { packet.connection = nil }
        return packet
    }
}

extension [PortForward] {
    fileprivate static func random(using generator: inout SplitMix64) -> [PortForward] {
        let patterns =
            Configuration.interfaceNames.map(InterfacePattern.name)
            + Configuration.globs.map(InterfacePattern.prefix)
        return (0..<Int.random(in: 0...6, using: &generator)).compactMap { index in
            guard let server = IPAddress(index % 2 == 0 ? "10.1.2.3" : "fd00:1::2") else { return nil }
            let port = UInt16.random(in: 1...3, using: &generator)
            var forward = PortForward(
                line: 1000 + index,
                inInterfaces: [InterfacePattern](patterns.shuffled(using: &generator).prefix(index % 3 + 1)),
                transports: [.tcp, .udp], ports: port...(port + 1), address: server,
                firstPort: UInt16(8000 + 10 * index))
            forward.reflection = Bool.random(using: &generator)
            return forward
        }
    }
}

extension Ruleset {
    /// How many chains a packet can be in at once.
    fileprivate var depth: Int {
        var depths: [String: Int] = [:]
        // A chain comes after those that it jumps to.
        for chain in chains {
            let inner = chain.rules.flatMap { rule -> [String] in
                switch rule.action {
                case .jump(let chain): [chain]
                case .dispatch(_, let map):
                    sets.first { $0.name == map }.map {
                        if case .jumps(let jumps) = $0.elements { Array(jumps.values) } else { [] }
                    } ?? []
                default: []
                }
            }
            depths[chain.name] = 1 + (inner.compactMap { depths[$0] }.max() ?? 0)
        }
        return depths.values.max() ?? 0
    }
}
