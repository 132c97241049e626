// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import TestSupport

private let addresses = [
    "10.0.0.1", "10.1.0.1", "10.1.2.3", "10.1.2.4", "10.1.3.1", "192.168.7.7", "203.0.113.7",
    "255.255.255.255", "fd00::1", "fd00:1::1", "fd00:1::2", "2001:db8::1", "2a00::1",
].compactMap { IPAddress($0) }
private let interfaces = Configuration.interfaceNames + ["eth0", "pppoe7", "wan@2", "pp"]

/// Calls `body` for many configurations, each with its ruleset and some packets between any addresses, by any interfaces.
func forEachPacket(_ body: (String, Configuration, Ruleset, SimulatedPacket) -> Void) {
    forEachPacket(with: { .desired($0) }, body)
}

/// The same with something else that is made of each configuration; making it anew for each packet would take a minute.
func forEachPacket<Prepared>(
    with prepare: (Configuration) -> Prepared,
    _ body: (String, Configuration, Prepared, SimulatedPacket) -> Void
) {
    for seed in UInt64(0)..<150 {
        var random = SplitMix64(seed: seed)
        let configuration = Configuration.random(using: &random)
        let prepared = prepare(configuration)
        for _ in 0..<40 {
            let packet = SimulatedPacket.anyFirst(using: &random)
            body("seed \(seed): \(packet)", configuration, prepared, packet)
        }
    }
}

extension SimulatedPacket {
    /// A connection's first packet between any addresses, by any interfaces.
    static func anyFirst(using random: inout SplitMix64) -> SimulatedPacket {
        let source = addresses.randomElement(using: &random) ?? addresses[0]
        let others = addresses.filter { $0.family == source.family }
        var packet = SimulatedPacket.first(
            from: source, to: others.randomElement(using: &random) ?? source)
        packet.input = interfaces.randomElement(using: &random)
        packet.output = interfaces.randomElement(using: &random)
        packet.transport = [.tcp, .udp, .icmp, .icmpv6, .sctp].randomElement(using: &random) ?? .tcp
        packet.isEchoRequest = Bool.random(using: &random)
        packet.wasEncrypted = Int.random(in: 0..<4, using: &random) == 0
        return packet
    }
}
