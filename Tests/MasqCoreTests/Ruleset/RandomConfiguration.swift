// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import TestSupport

extension Configuration {
    /// A configuration of few names and few networks, so that blocks often meet, overlap and repeat.
    static func random(
        blocks: ClosedRange<Int> = 1...4, using generator: inout SplitMix64
    ) -> Configuration {
        let path = ["/etc/masqd.toml", "/a/\"b\\\u{1B}ü.toml", "/" + String(repeating: "x", count: 300)]
            .randomElement(using: &generator)
        var configuration = Configuration(
            origin: Bool.random(using: &generator) ? .file(path ?? "") : .commandLine, outbound: [])
        configuration.gateway.ipForward =
            ForwardingMode.allCases.randomElement(using: &generator) ?? .manage
        configuration.conntrack.repair = Bool.random(using: &generator)
        configuration.forward.flowOffload = FlowOffload.allCases.randomElement(using: &generator) ?? .off
        configuration.conntrack.helpers = TrackedProtocol.Kind.allCases.filter { _ in
            Int.random(in: 0..<4, using: &generator) == 0
        }.map { TrackedProtocol($0) }
        let preset = ConnectionTimeout.Preset.allCases.randomElement(using: &generator) ?? .kernel
        configuration.conntrack.timeouts = preset.seconds
        configuration.mss.clamp = [.pathMTU, .fixed(1452), .off].randomElement(using: &generator) ?? .off
        configuration.forward.policy = Policy.allCases.randomElement(using: &generator) ?? .accept
        configuration.forward.unsolicited = Policy.allCases.randomElement(using: &generator) ?? .drop
        if Bool.random(using: &generator) { configuration.forward.unsolicitedLine = 1_234_567 }
        configuration.forward.foreignDrop = ForeignDrop.allCases.randomElement(using: &generator) ?? .report
        configuration.forward.mark = 1 << UInt32.random(in: 0..<32, using: &generator)
        configuration.log.drops = DropLog.Drops.allCases.randomElement(using: &generator) ?? .off
        let names = interfaceNames.shuffled(using: &generator).prefix(Int(generator.next() % 4))
        configuration.uplinks = names.enumerated().map { index, name in
            var uplink = UplinkBlock(line: 1000 + index, interface: name, number: index + 1)
            uplink.onLoss = Bool.random(using: &generator) ? .drop : .keep
            return uplink
        }
        configuration.policyRouting.failover = Bool.random(using: &generator)
        for number in 1...Int.random(in: blocks, using: &generator) {
            configuration.outbound.append(.random(line: 10 * number, using: &generator))
        }
        return configuration
    }

    /// Interface names among which some are keywords of nft's, or no identifiers of it.
    static let interfaceNames: [InterfaceName] = [
        "ppp0", "ppp1", "pppoe0", "wan@1", "wan_1", "masquerade", "eth0.100", "-ü",
    ]
    static let globs: [InterfaceName] = ["ppp", "pppo", "p", "wan", "wan@"]
    static let networks = [
        "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.3.0/24", "10.1.2.3/32", "192.168.0.0/16",
        "0.0.0.0/0",
        "255.255.255.255/32", "fd00::/8", "fd00:1::/32", "fd00:1::1/128", "2001:db8::/32", "::/0",
    ].compactMap { try? IPNetwork($0) }
}

extension OutboundBlock {
    fileprivate static func random(line: Int, using generator: inout SplitMix64) -> OutboundBlock {
        let patterns =
            Configuration.interfaceNames.map(InterfacePattern.name)
            + Configuration.globs.map(InterfacePattern.prefix)
        var block = OutboundBlock(
            line: line, outInterfaces: some(of: patterns, 1...3, using: &generator),
            source: some(of: Configuration.networks, 1...4, using: &generator))
        block.exclude = some(of: Configuration.networks, 0...2, using: &generator)
        block.translation = .random(using: &generator)
        if !block.translation.hidesSource { block.exclude = [] }
        return block
    }

    private static func some<Element>(
        of all: [Element], _ count: ClosedRange<Int>, using generator: inout SplitMix64
    ) -> [Element] {
        Array(all.shuffled(using: &generator).prefix(Int.random(in: count, using: &generator)))
    }
}

extension OutboundBlock.Translation {
    fileprivate static func random(using generator: inout SplitMix64) -> Self {
        switch OutboundBlock.Kind.allCases.randomElement(using: &generator) ?? .masquerade {
        case .masquerade: return .masquerade(.random(using: &generator))
        case .routed:
            var routing = Routing()
            routing.unsolicited = [nil, .accept, .drop].randomElement(using: &generator) ?? nil
            routing.echoRequest = Configuration.Policy.allCases.randomElement(using: &generator) ?? .accept
            return .routed(routing)
        case .snat:
            let targets = [
                ["203.0.113.10", "203.0.113.10-203.0.113.12", "203.0.113.0/24"],
                ["2001:db8::10", "2001:db8::10-2001:db8::12", "2001:db8::/64"],
            ].compactMap {
                try? $0.randomElement(using: &generator).map { SourceNAT.Target.fixed(try NATTarget($0)) }
            }
            let isFollowing = Bool.random(using: &generator)
            var snat = SourceNAT(
                to: isFollowing ? [targets[0], .uplinkPrefix] : targets, options: .random(using: &generator))
            snat.inbound = Bool.random(using: &generator)
            return .snat(snat)
        }
    }
}

extension NATOptions {
    fileprivate static func random(using generator: inout SplitMix64) -> NATOptions {
        NATOptions(
            ports: [nil, nil, 1024...65535, 7...7].randomElement(using: &generator) ?? nil,
            random: PortSelection.allCases.randomElement(using: &generator) ?? .none,
            persistent: Bool.random(using: &generator))
    }
}

extension IPNetwork {
    /// Whether the address is in the network, bit by bit.
    func contains(_ address: IPAddress) -> Bool {
        address.family == family
            && (0..<prefixLength).allSatisfy { bit in
                let shift = UInt128(family.bitCount - 1 - bit)
                return address.value >> shift & 1 == self.address.value >> shift & 1
            }
    }
}
