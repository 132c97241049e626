// SPDX-License-Identifier: GPL-3.0-or-later

/// A `[[port_forward]]` as it is read: whatever of it was right, with the places that later checks report.
struct PortForwardDraft {
    /// Where its header is.
    let place: Place
    var inInterfaces: [InterfacePattern]?
    var transports: [Rule.TransportProtocol] = [.tcp]
    var ports: ClosedRange<UInt16>?
    var portsPlace: Place
    var target: Target?
    var targetPlace: Place
    var source: NetworkList?
    var reflection = true
    /// Whether a key is wrong, so that the block is not whole.
    var isBroken = false

    init(at place: Place) {
        self.place = place
        portsPlace = place
        targetPlace = place
    }

    /// What `to` says: an address, and the ports where they are others than the client's.
    struct Target: Equatable {
        let address: IPAddress
        let ports: ClosedRange<UInt16>?
    }
}

/// The words that `protocol` takes.
private enum ForwardedProtocol: String, CaseIterable {
    case tcp, udp, both

    var transports: [Rule.TransportProtocol] {
        switch self {
        case .tcp: [.tcp]
        case .udp: [.udp]
        case .both: [.tcp, .udp]
        }
    }
}

extension ConfigurationReader {
    /// The most elements that all forwards together may make, one for each interface, port, protocol and source; where
    /// sources overlap, dividing them may double their number.
    private static let maximumForwardedPorts = 1_000_000

    /// Reads one `[[port_forward]]`.
    mutating func portForward(_ table: TomlValue) -> PortForwardDraft {
        var draft = PortForwardDraft(at: place(table.position))
        var missing = ["port", "to"]
        for entry in table.entries {
            missing.removeAll { $0 == entry.key }
            switch entry.key {
            case "in_interface":
                draft.inInterfaces = strings(entry).flatMap {
                    interfaces($0, emptyHint: "\"in_interface\" is empty, ")
                }
                draft.isBroken = draft.isBroken || draft.inInterfaces == nil
            case "protocol":
                let word: ForwardedProtocol? = choice(entry)
                draft.transports = word?.transports ?? draft.transports
            case "port":
                let expected = "a port, 443, or a string with a range, \"8000-8010\""
                draft.ports = entry.value.kind == .integer ? port(entry) : ports(entry, expected: expected)
                draft.portsPlace = place(entry.value.position)
            case "to":
                draft.target = target(entry)
                draft.targetPlace = place(entry.value.position)
            case "source":
                draft.source = strings(entry).flatMap { networks($0, emptyHint: "\"source\" is empty, ") }
                draft.isBroken = draft.isBroken || draft.source == nil
            case "reflection": draft.reflection = boolean(entry) ?? true
            default:
                let meant = reportUnknown(entry, in: .portForward)
                missing.removeAll { $0 == meant }
            }
        }
        for key in missing {
            diagnostics.add(
                .error, at: draft.place, "[[port_forward]] without \(key.quoted), which it needs")
        }
        reportUnfitTarget(of: draft)
        return draft
    }

    /// A number of a port.
    private mutating func port(_ entry: TomlEntry) -> ClosedRange<UInt16>? {
        if let number = entry.value.integer, let port = UInt16(exactly: number), port > 0 {
            return port...port
        }
        diagnostics.add(
            .error, at: place(entry.value.position), "\(entry.key.quoted): ports must be 1 to 65535")
        return nil
    }

    /// An address, with a port or ports behind it: `192.168.5.10`, `192.168.5.10:443`, `[2001:db8::10]:8000-8010`.
    private mutating func target(_ entry: TomlEntry) -> PortForwardDraft.Target? {
        let expected =
            "an address, \"192.168.5.10\", or with ports \"192.168.5.10:443\", \"[2001:db8::10]:443\""
        guard let text = entry.value.string else {
            reportWrongType(entry.value, of: entry.key, expected: "a string with " + expected)
            return nil
        }
        guard let parts = Self.split(target: text), let address = IPAddress(parts.address) else {
            diagnostics.add(
                .error, at: place(entry.value.position),
                "\(entry.key.quoted): \(text.quoted): expected \(expected)")
            return nil
        }
        guard address.isUnicast else {
            diagnostics.add(
                .error, at: place(entry.value.position),
                "\(entry.key.quoted): \(text.quoted): no server behind the gateway has this address")
            return nil
        }
        guard let portText = parts.ports else { return .init(address: address, ports: nil) }
        return ports(portText, of: entry).map { .init(address: address, ports: $0) }
    }

    /// Separates an address from the ports behind its last colon; IPv6's own colons need brackets then.
    private static func split(target text: String) -> (address: String, ports: String?)? {
        if text.utf8.first == UInt8(ascii: "[") {
            guard let end = text.utf8.firstIndex(of: UInt8(ascii: "]")) else { return nil }
            let address = String(text[text.utf8.index(after: text.startIndex)..<end])
            guard address.utf8.contains(UInt8(ascii: ":")) else { return nil }
            let rest = text[text.utf8.index(after: end)...]
            if rest.isEmpty { return (address, nil) }
            return rest.utf8.first == UInt8(ascii: ":") ? (address, String(rest.dropFirst())) : nil
        }
        guard let colon = text.utf8.firstIndex(of: UInt8(ascii: ":")) else { return (text, nil) }
        if text.utf8.lastIndex(of: UInt8(ascii: ":")) != colon { return (text, nil) }
        return (String(text[..<colon]), String(text[text.utf8.index(after: colon)...]))
    }

    /// What does not fit together within one block.
    private mutating func reportUnfitTarget(of draft: PortForwardDraft) {
        guard let target = draft.target else { return }
        if let ports = draft.ports, let targetPorts = target.ports, ports.count != targetPorts.count {
            let (from, to) = (Self.text(ports), Self.text(targetPorts))
            diagnostics.add(
                .error, at: draft.targetPlace,
                "\"to\": \(ports.count) ports (\(from)) can't go to \(targetPorts.count) (\(to)): "
                    + "name as many, or none to keep them")
        }
        if let source = draft.source,
            let index = source.networks.firstIndex(where: { $0.family != target.address.family })
        {
            diagnostics.add(
                .error, at: source.strings.place(of: index),
                "\"\(source.networks[index])\" never reaches \(target.address), which is of the other family")
        }
    }

    private static func text(_ ports: ClosedRange<UInt16>) -> String {
        ports.count == 1 ? "\(ports.lowerBound)" : "\(ports.lowerBound)-\(ports.upperBound)"
    }

    /// The forwards that are whole, in the file's order, once it is known what leaves by which uplink.
    mutating func portForwards(
        _ drafts: [PortForwardDraft], behind outbound: [OutboundBlock]
    ) -> [PortForward] {
        var seen: Set<InterfacePattern> = []
        let uplinks = outbound.flatMap(\.outInterfaces).filter { seen.insert($0).inserted }
        let networks = AddressFamily.allCases.map { family in
            AddressRanges(family: family, networks: outbound.flatMap(\.source))
        }
        var forwards: [PortForward] = []
        var elements = 0
        for draft in drafts {
            guard let ports = draft.ports, let target = draft.target, !draft.isBroken else { continue }
            let inInterfaces = draft.inInterfaces ?? uplinks
            if inInterfaces.isEmpty {
                diagnostics.add(
                    .error, at: draft.place,
                    "[[port_forward]] without \"in_interface\": there is no uplink that it could mean")
            }
            elements +=
                max(1, inInterfaces.count) * ports.count * draft.transports.count
                * max(1, draft.source?.merged.count ?? 0)
            if elements > Self.maximumForwardedPorts {
                diagnostics.add(
                    .error, at: draft.portsPlace,
                    "\"port\": more than \(Self.maximumForwardedPorts) ports are forwarded up to here, as each "
                        + "interface, protocol and source counts")
                break
            }
            if !outbound.isEmpty, !networks.contains(where: { $0.contains(target.address) }) {
                diagnostics.add(
                    .warning, at: draft.targetPlace,
                    "\"to\": \(target.address) is in no network of this file: its answers may not come back this way"
                )
            }
            var forward = PortForward(
                line: draft.place.position?.line ?? 0, inInterfaces: inInterfaces,
                transports: draft.transports, ports: ports, address: target.address,
                firstPort: target.ports?.lowerBound ?? ports.lowerBound)
            forward.source = draft.source?.merged ?? []
            forward.reflection = draft.reflection
            forwards.append(forward)
        }
        reportShadowed(forwards, drafts.filter { $0.ports != nil && $0.target != nil && !$0.isBroken })
        return forwards
    }
}
