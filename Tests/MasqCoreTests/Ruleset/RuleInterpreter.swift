// SPDX-License-Identifier: GPL-3.0-or-later

@testable import MasqCore

/// A packet, as far as the rules look at it.
struct SimulatedPacket {
    var input: InterfaceName?
    var output: InterfaceName?
    /// The index of `output`, where a rule asks for it.
    var outputIndex: Int32?
    /// `input` is in a VRF, whose name the packet has in its place.
    var isInVRF = false
    var source: IPAddress
    var destination: IPAddress
    var transport = Rule.TransportProtocol.tcp
    var isEchoRequest = false
    var destinationPort: UInt16 = 0
    /// What connection tracking says; nothing of an INVALID or untracked packet's connection.
    var connection: Connection?
    var state: Rule.ConnectionState = []
    /// The packet is a SYN, or a SYN and ACK, if it is TCP.
    var synchronizes = false
    var isEncrypted = false
    var wasEncrypted = false
    var isSourceLocalToOutput = false
    var isDestinationLocal = false
    var isSourceBehindOtherInterface = false
    var mark: UInt32 = 0

    struct Connection {
        var isSourceTranslated = false
        var isDestinationTranslated = false
        var isConfirmed = false
        var isReply = false
        var isAssured = false
        var mark: UInt32 = 0
    }

    /// The first packet of a connection.
    static func first(from source: IPAddress, to destination: IPAddress) -> SimulatedPacket {
        SimulatedPacket(source: source, destination: destination, connection: Connection())
    }
}

/// What became of a packet in a base chain.
struct SimulatedOutcome: Equatable {
    enum Verdict: Equatable {
        case accept
        case drop
        case masquerade(NATOptions)
        /// The bytes of the new destination, as the map has them.
        case forward([UInt8])
        case sourceNAT(NATTarget, NATOptions)
        case destinationNAT(NATTarget)
    }

    var verdict: Verdict
    /// The counter of the rule that decided.
    var counter: String?
    /// How many rules the packet passed, the deciding one included.
    var ruleCount: Int
    var raised: [String] = []
    /// The helpers and timeouts that the connection was given.
    var tracked: [String] = []
    /// What the largest segment size was lowered to.
    var clamped: Rule.SegmentSize?
    /// The text before what the log tells of it.
    var logged: [String] = []
    /// The packet's mark at the end.
    var mark: UInt32 = 0
    /// The connection's mark at the end.
    var connectionMark: UInt32 = 0
}

extension Ruleset {
    /// Sends a packet through a base chain, as the kernel would.
    func outcome(of packet: SimulatedPacket, in chain: String) -> SimulatedOutcome? {
        guard let base = chains.first(where: { $0.name == chain })?.base else { return nil }
        var outcome = SimulatedOutcome(
            verdict: base.policy == 0 ? .drop : .accept, counter: nil, ruleCount: 0, mark: packet.mark,
            connectionMark: packet.connection?.mark ?? 0)
        _ = run(packet, chain, &outcome)
        return outcome
    }

    /// Returns whether the packet is decided on.
    private func run(
        _ packet: SimulatedPacket, _ name: String, _ outcome: inout SimulatedOutcome
    ) -> Bool {
        for rule in chains.first(where: { $0.name == name })?.rules ?? [] {
            outcome.ruleCount += 1
            guard rule.matches.allSatisfy({ matches(packet, $0) }) else { continue }
            switch rule.action {
            case .accept: outcome.verdict = .accept
            case .drop: outcome.verdict = .drop
            case .mark(let bits):
                outcome.mark |= bits
                outcome.verdict = .accept
            case .unmark(let bits):
                outcome.mark &= ~bits
                continue
            case .masquerade(let options): outcome.verdict = .masquerade(options)
            case .sourceNAT(let target, let options): outcome.verdict = .sourceNAT(target, options)
            case .destinationNAT(let target): outcome.verdict = .destinationNAT(target)
            // No test of these has any links, and so no prefix.
            case .sourceNATByInterface: continue
            case .raise(let alarm):
                outcome.raised.append(alarm)
                continue
            case .offload: continue
            case .help(let object), .expire(let object):
                // Behind a connection's first packet the kernel ignores it.
                if packet.connection?.isConfirmed == false { outcome.tracked.append(object) }
                continue
            case .clampSegmentSize(let size):
                outcome.clamped = size
                continue
            case .markConnection(let mask, let value):
                outcome.connectionMark = outcome.connectionMark & ~mask | value
                continue
            case .markPacket(let mask, let value):
                outcome.mark = outcome.mark & ~mask | value
                continue
            case .log(_, let prefix):
                outcome.logged.append(prefix)
                continue
            case .jump(let chain):
                guard run(packet, chain, &outcome) else { continue }
                // A chain that drops has no counter: the rule that leads there counts.
                outcome.counter = outcome.counter ?? rule.counter
                return true
            case .dispatch(let direction, let map):
                if let chain = jumps(map)[interface(packet, direction) ?? ""], run(packet, chain, &outcome) {
                    return true
                }
                continue
            case .record: outcome.verdict = .accept
            case .count: continue
            case .dispatchDestination(_, let map):
                guard case .addressJumps(_, let jumps) = elements(map) else { continue }
                if let chain = jumps[packet.destination], run(packet, chain, &outcome) { return true }
                continue
            case .translateDestination(let family, let key, let map):
                guard packet.source.family == family,
                    let server = data(in: map, for: key.values(of: packet))
                else { continue }
                outcome.verdict = .forward(server)
            }
            outcome.counter = rule.counter
            return true
        }
        return false
    }

    private func matches(_ packet: SimulatedPacket, _ match: Rule.Match) -> Bool {
        switch match {
        case .interface(let direction, let pattern):
            return interface(packet, direction).map(pattern.matches) ?? false
        case .interfaceIn(let direction, let set):
            guard case .interfaces(let names) = elements(set) else { return false }
            return interface(packet, direction).map(names.contains) ?? false
        case .outputIndexIn(let set):
            return packet.outputIndex.map { data(in: set, for: [.interfaceIndex($0)]) != nil } ?? false
        case .outputIndexNotIn(let set): return !matches(packet, .outputIndexIn(set: set))
        case .network(let side, let network):
            let address = side == .source ? packet.source : packet.destination
            return address.family == network.family
                && (network.range.first...network.range.last).contains(address.value)
        case .address(let family, let side, let set):
            guard case .addresses(let ranges) = elements(set) else { return false }
            let address = side == .source ? packet.source : packet.destination
            return address.family == family
                && ranges.ranges.contains { $0.first <= address.value && address.value <= $0.last }
        case .addressNot(let family, let side, let set):
            return (side == .source ? packet.source : packet.destination).family == family
                && !matches(packet, .address(family, side, set: set))
        // The tests' limits are never reached, and nobody is uncounted.
        case .exceeds, .uncounted: return false
        case .within: return true
        case .interfacePairIn(let set):
            guard let input = packet.input, let output = packet.output else { return false }
            return data(in: set, for: [.interface(input), .interface(output)]) != nil
        case .serviceIn(let family, let side, let set):
            let address = side == .source ? packet.source : packet.destination
            let key: [FieldValue] = [
                .address(address), .transport(packet.transport), .port(packet.destinationPort),
            ]
            return address.family == family && data(in: set, for: key) != nil
        case .family(let family): return packet.source.family == family
        case .transport(let transport): return packet.transport == transport
        case .echoRequestOverIPv6:
            return packet.source.family == .ipv6 && packet.transport == .icmpv6 && packet.isEchoRequest
        case .destinationPort(let transport, let port):
            return packet.transport == transport && packet.destinationPort == port
        case .otherDestinationPort(let transport, let port):
            return packet.transport == transport && packet.destinationPort != port
        case .sourceTranslated: return packet.connection?.isSourceTranslated == true
        case .sourceTranslatedAssured:
            return packet.connection?.isSourceTranslated == true && packet.connection?.isAssured == true
        case .destinationTranslated: return packet.connection?.isDestinationTranslated == true
        case .unconfirmed: return packet.connection?.isConfirmed == false
        case .confirmed: return packet.connection?.isConfirmed == true
        case .replyDirection: return packet.connection?.isReply == true
        case .originalDirection: return packet.connection?.isReply == false
        case .connectionMark(let mask, let value): return packet.connection.map { $0.mark & mask } == value
        case .state(let states): return !packet.state.isDisjoint(with: states)
        case .synchronizes: return packet.transport == .tcp && packet.synchronizes
        case .leavesThroughIPsec: return packet.isEncrypted
        case .cameThroughIPsec: return packet.wasEncrypted
        case .cameInClear: return !packet.wasEncrypted
        case .sourceForeignToOutInterface: return !packet.isSourceLocalToOutput
        case .destinationNotLocal: return !packet.isDestinationLocal
        case .sourceBehindOtherInterface: return packet.isSourceBehindOtherInterface
        }
    }

    private func interface(_ packet: SimulatedPacket, _ direction: Rule.Direction) -> InterfaceName? {
        switch direction {
        case .input: packet.isInVRF ? "vrf0" : packet.input
        case .inputInVRF: packet.isInVRF ? packet.input : nil
        case .output: packet.output
        }
    }

    private func elements(_ set: String) -> Elements? { sets.first { $0.name == set }?.elements }

    /// What a map holds for a key, nothing in a set; absent where the key is not in it.
    private func data(in name: String, for key: [FieldValue]?) -> [UInt8]? {
        guard case .entries(let entries) = elements(name), let key else { return nil }
        var wanted = PackedElements.List()
        wanted.append(key)
        var data: [UInt8]?
        PackedElements(ElementType(key: entries.type.key), wanted).forEach { wanted in
            entries.forEach { entry in
                let isIn =
                    entries.type.isInterval
                    ? zip(zip(entry.key, entry.lastKey), wanted.key).allSatisfy { $0.0 <= $1 && $1 <= $0.1 }
                    : entry.key.elementsEqual(wanted.key)
                if isIn { data = data ?? Array(entry.data) }
            }
        }
        return data
    }

    private func jumps(_ map: String) -> [InterfaceName: String] {
        if case .jumps(let jumps) = elements(map) { jumps } else { [:] }
    }
}

extension Rule.ForwardKey {
    /// The key for a packet; absent where the rule does not look at it.
    fileprivate func values(of packet: SimulatedPacket) -> [FieldValue]? {
        switch self {
        case .port: [.transport(packet.transport), .port(packet.destinationPort)]
        case .sourceAndPort(packet.transport): [.address(packet.source), .port(packet.destinationPort)]
        case .sourceAndPort: nil
        }
    }
}
