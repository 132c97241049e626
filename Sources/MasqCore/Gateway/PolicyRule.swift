// SPDX-License-Identifier: GPL-3.0-or-later

/// One rule of policy routing (`ip rule`), anybody's, as far as it can choose the route of a forwarded packet.
public struct PolicyRule: Equatable, Sendable {
    /// Rules are asked in the order of their priorities.
    public var priority: UInt32
    /// Only packets from here.
    public var source: IPNetwork?
    /// Only packets to here.
    public var destination: IPNetwork?
    /// Only packets that come in by this interface; "lo" stands for the machine's own.
    public var inInterface: InterfaceName?
    /// Only packets of sockets that are bound to an interface, or in its VRF.
    public var hasOutInterface = false
    /// Only packets of some users' sockets: none that is forwarded.
    public var isForSockets = false
    /// Only packets whose mark has this value in these bits.
    public var mark: RoutingRule.Mark?
    /// Only packets with this type of service, 0 for any.
    public var typeOfService: UInt8 = 0
    /// Only this transport protocol (`IPPROTO_*`), 0 for any.
    public var transport: UInt8 = 0
    /// Only packets from these ports.
    public var sourcePorts: ClosedRange<UInt16>?
    /// Only packets to these ports.
    public var destinationPorts: ClosedRange<UInt16>?
    /// A condition that neither conntrack nor a question about a route knows, in `ip rule`'s words.
    public var unknownCondition: String?
    /// Whether it is for all packets that the conditions do not hold for (`FIB_RULE_INVERT`).
    public var isInverted = false
    /// Whether it looks up the table of the VRF that a packet belongs to (`FRA_L3MDEV`).
    public var isForVRF = false
    /// Whether masqd made it.
    public var isOwn = false
    /// What it does with those packets.
    public var action: Action

    /// What a rule does.
    public enum Action: Equatable, Sendable {
        /// Looks a route up; a restricted one is passed over for some routes of the table (`suppress_*`).
        case lookUp(table: UInt32, isRestricted: Bool = false)
        /// Goes on at another rule.
        case goTo
        /// Refuses the packet, or does nothing.
        case other
    }

    /// Makes a rule for all packets.
    public init(priority: UInt32, _ action: Action) {
        self.priority = priority
        self.action = action
    }
}

extension PolicyRule {
    /// Whether it looks at what is above IP.
    var looksAtTransport: Bool { transport != 0 || sourcePorts != nil || destinationPorts != nil }

    /// Whether it is for every packet: it has no condition.
    var isForAll: Bool {
        source == nil && destination == nil && inInterface == nil && !hasOutInterface && !isForSockets
            && mark == nil && typeOfService == 0 && !looksAtTransport && unknownCondition == nil
            && !isInverted && !isForVRF
    }

    /// Whether the packets of a flow have its protocol and its ports.
    func fitsTransport(_ flow: Flow) -> Bool {
        (transport == 0 || transport == flow.transport)
            && sourcePorts?.contains(flow.sourcePort) != false
            && destinationPorts?.contains(flow.destinationPort) != false
    }

    func fitsAddresses(_ flow: Flow) -> Bool {
        source?.covers(flow.source) != false && destination?.covers(flow.destination) != false
    }

    /// Whether it may be for a packet of a flow: no condition is known not to hold. One that is inverted may always be.
    func mayHold(for flow: Flow, comingInBy inputs: Set<InterfaceName>) -> Bool {
        isInverted
            || fitsAddresses(flow) && fitsTransport(flow) && !isForSockets
                && inInterface.map(inputs.contains) != false
    }

    /// Whether it may be asked about a packet of a flow, and what it says cannot be known: by a condition that conntrack
    /// does not know, while all others hold.
    ///
    /// - Parameter inputs: the names of the interfaces that the packet may come in by.
    func isOpen(for flow: Flow, comingInBy inputs: Set<InterfaceName>) -> Bool {
        guard mark != nil && !isOwn || typeOfService != 0 || unknownCondition != nil else { return false }
        // One condition that certainly does not hold answers it, also where it is inverted.
        return fitsAddresses(flow) && fitsTransport(flow) && !isForSockets
            && inInterface.map(inputs.contains) != false
    }
}

extension PolicyRule: CustomStringConvertible {
    /// `routing rule 100 (fwmark 0x77)`: by what it cannot be answered, in `ip rule`'s words.
    public var description: String {
        var words: [String] = []
        if let mark {
            words.append("fwmark \(hexadecimal(mark.value))")
            if mark.mask != .max { words[0] += "/\(hexadecimal(mark.mask))" }
        }
        if typeOfService != 0 { words.append("tos \(hexadecimal(UInt32(typeOfService)))") }
        if let unknownCondition { words.append(unknownCondition) }
        if words.isEmpty, looksAtTransport { words.append("ipproto \(transport)") }
        if words.isEmpty, isForSockets { words.append("uidrange") }
        if words.isEmpty, hasOutInterface { words.append("oif") }
        if words.isEmpty, let inInterface { words.append("iif \(inInterface)") }
        return "routing rule \(priority) (\(words.joined(separator: " ")))"
    }

    private func hexadecimal(_ value: UInt32) -> String { "0x" + String(value, radix: 16) }
}

extension IPNetwork {
    /// Whether an address is in the network.
    func covers(_ address: IPAddress) -> Bool {
        address.family == family && range.first <= address.value && address.value <= range.last
    }

    /// Whether all of another network is in this one.
    func covers(_ other: IPNetwork) -> Bool {
        other.family == family && range.first <= other.range.first && other.range.last <= range.last
    }
}
