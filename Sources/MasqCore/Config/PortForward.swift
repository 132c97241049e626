// SPDX-License-Identifier: GPL-3.0-or-later

/// One `[[port_forward]]`: who connects to these ports from outside reaches a server inside.
public struct PortForward: Equatable, Sendable {
    /// The line of `[[port_forward]]`, from 1.
    public var line: Int
    /// `in_interface`: never empty, no pattern twice; every `out_interface` of the file where it is left out.
    public var inInterfaces: [InterfacePattern]
    /// `protocol`: TCP, UDP or both.
    public var transports: [Rule.TransportProtocol]
    /// `port`: 1 to 65535.
    public var ports: ClosedRange<UInt16>
    /// `to`: the server's address.
    public var address: IPAddress
    /// The server's port for the lowest of the ports; the others follow in order.
    public var firstPort: UInt16
    /// `source`: who may use it; everybody where it is empty.
    public var source: [IPNetwork] = []
    /// `reflection`: clients inside reach it under the uplink's address too.
    public var reflection = true

    /// Makes a forward with the defaults of what is optional.
    public init(
        line: Int, inInterfaces: [InterfacePattern], transports: [Rule.TransportProtocol],
        ports: ClosedRange<UInt16>, address: IPAddress, firstPort: UInt16
    ) {
        self.line = line
        self.inInterfaces = inInterfaces
        self.transports = transports
        self.ports = ports
        self.address = address
        self.firstPort = firstPort
    }
}
