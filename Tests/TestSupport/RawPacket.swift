// SPDX-License-Identifier: GPL-3.0-or-later

/// IPv4 packets that no socket of the sender's kernel would send: a foreign source, or out of any connection.
public enum RawPacket {
    /// Sends one UDP datagram with a source of one's choice.
    public static func sendUDP(
        from source: Endpoint, to destination: Endpoint, in namespace: NetworkNamespace
    ) throws {
        let payload = Array("spoofed\n".utf8)
        let length = 8 + payload.count
        let ports = source.port.bytes + destination.port.bytes
        let segment = ports + UInt16(length).bytes + [0, 0] + payload
        try send(segment, protocolNumber: 17, checksumAt: 6, from: source, to: destination, in: namespace)
    }

    /// Sends one TCP segment with the ACK flag alone, as from the middle of a connection.
    public static func sendAcknowledgement(
        from source: Endpoint, to destination: Endpoint, in namespace: NetworkNamespace
    ) throws {
        let ports = source.port.bytes + destination.port.bytes
        // sequence and acknowledgement numbers, 5 words, ACK, window, checksum, urgent pointer
        let segment = ports + [0, 0, 0x10, 1, 0, 0, 0x20, 1, 0x50, 0x10, 0x20, 0, 0, 0, 0, 0]
        try send(segment, protocolNumber: 6, checksumAt: 16, from: source, to: destination, in: namespace)
    }

    private static func send(
        _ segment: [UInt8], protocolNumber: UInt8, checksumAt offset: Int, from source: Endpoint,
        to destination: Endpoint, in namespace: NetworkNamespace
    ) throws {
        let addresses = source.octets + destination.octets
        guard addresses.count == 8 else { throw Failure("raw packets are IPv4: \(source), \(destination)") }
        // RFC 793's pseudo header; a wrong checksum would make conntrack call every packet INVALID.
        var checksum = InternetChecksum(addresses + [0, protocolNumber] + UInt16(segment.count).bytes)
        checksum.add(segment)
        var segment = segment
        segment.setChecksum(checksum.value, at: offset)
        // The kernel fills in the identification and the header's checksum.
        let length = UInt16(20 + segment.count).bytes
        let header: [UInt8] = [0x45, 0] + length + [0, 0, 0, 0, 64, protocolNumber, 0, 0] + addresses
        let socket = try namespace.run { try Socket(.rawIPv4) }
        try socket.send(header + segment, to: destination)
    }
}

extension Endpoint {
    fileprivate var octets: [UInt8] { address.split(separator: ".").compactMap { UInt8($0) } }
}

extension UInt16 {
    fileprivate var bytes: [UInt8] { [UInt8(self >> 8), UInt8(self & 0xff)] }
}
