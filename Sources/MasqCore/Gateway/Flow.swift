// SPDX-License-Identifier: GPL-3.0-or-later

/// One connection as conntrack has it: where it comes from, where it goes, and whose address it goes with.
public struct Flow: Hashable, Sendable {
    /// The originator's own address.
    public var source: IPAddress
    /// Where the connection really goes: behind a translation of the destination.
    public var destination: IPAddress
    /// The address that the far side sees, and answers to; the source itself where it is not translated.
    public var translatedSource: IPAddress
    /// The transport protocol's number (`IPPROTO_*`).
    public var transport: UInt8
    /// The originator's port, 0 where the protocol has none.
    public var sourcePort: UInt16
    /// The far side's port, 0 where the protocol has none.
    public var destinationPort: UInt16
    /// The connection's mark.
    public var mark: UInt32 = 0
    /// Whether it is in a conntrack zone of somebody's, in one direction or both: another network than the machine's own.
    public var isInZone = false
    /// Whether the far side has answered (`IPS_SEEN_REPLY`).
    public var isAnswered = false

    /// Makes a flow.
    public init(
        source: IPAddress, destination: IPAddress, translatedSource: IPAddress, transport: UInt8 = 17,
        sourcePort: UInt16 = 0, destinationPort: UInt16 = 0
    ) {
        self.source = source
        self.destination = destination
        self.translatedSource = translatedSource
        self.transport = transport
        self.sourcePort = sourcePort
        self.destinationPort = destinationPort
    }
}

extension Flow: CustomStringConvertible {
    /// `udp 192.168.1.2:5060 to 198.51.100.80:5060`.
    public var description: String {
        let name =
            switch transport {
            case 1, 58: "icmp"
            case 6: "tcp"
            case 17: "udp"
            case 132: "sctp"
            default: "protocol \(transport)"
            }
        return "\(name) \(Self.text(source, sourcePort)) to \(Self.text(destination, destinationPort))"
    }

    private static func text(_ address: IPAddress, _ port: UInt16) -> String {
        guard port != 0 else { return "\(address)" }
        return address.family == .ipv6 ? "[\(address)]:\(port)" : "\(address):\(port)"
    }
}
