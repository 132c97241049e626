// SPDX-License-Identifier: GPL-3.0-or-later

/// A socket of the gateway's own that waits for whoever comes.
public struct Listener: Hashable, Sendable {
    /// TCP or UDP.
    public var transport: Rule.TransportProtocol
    /// The address that it is bound to; 0.0.0.0 or :: is any.
    public var address: IPAddress
    /// The port.
    public var port: UInt16
    /// The index of the one link that it is bound to; absent: any.
    public var link: Int32?
    /// Whether it is one of IPv6 that takes IPv4 as well.
    public var takesBothFamilies: Bool

    /// Makes a listener.
    public init(
        _ transport: Rule.TransportProtocol, _ address: IPAddress, _ port: UInt16, link: Int32? = nil,
        takesBothFamilies: Bool = false
    ) {
        self.transport = transport
        self.address = address
        self.port = port
        self.link = link
        self.takesBothFamilies = takesBothFamilies
    }
}

extension Listener: CustomStringConvertible {
    /// As `ss` writes it: `0.0.0.0:22`, `[::]:22`.
    public var description: String { "\(SocketAddress(address: address, port: port))" }
}

extension Examination {
    /// More services are only counted.
    private static let maximumHiddenServices = 8

    /// A port that is forwarded leads past what the gateway itself has there.
    mutating func examinePortForwards() {
        guard let configuration, !configuration.portForwards.isEmpty, let links = observations.links.value,
            let listeners = look(observations.listeners, "services on forwarded ports")
        else { return }
        var hidden: [(forward: PortForward, listener: Listener)] = []
        for listener in listeners {
            let forward = configuration.portForwards.first { $0.hides(listener, links) }
            if let forward { hidden.append((forward, listener)) }
        }
        hidden.sort {
            ($0.forward.line, $0.listener.port, "\($0.listener)")
                < ($1.forward.line, $1.listener.port, "\($1.listener)")
        }
        for (forward, listener) in hidden.prefix(Self.maximumHiddenServices) {
            let (transport, port) = (listener.transport.text, listener.port)
            let whom = forward.source.isEmpty ? "" : ", for some sources"
            let claim = """
                \(transport) port \(port) is forwarded to \(forward.address) (\(origin.place(ofLine: forward.line))\(whom)): \
                what listens on \(listener) here is not reached from there
                """
            let option = listener.transport == .tcp ? "t" : "u"
            add(.warning, claim, look: "ss -Hlnp\(option) 'sport = :\(port)'")
        }
        if hidden.count > Self.maximumHiddenServices {
            add(.warning, "\(hidden.count - Self.maximumHiddenServices) more services are on forwarded ports")
        }
        if hidden.isEmpty { add(.ok, "no service of this machine is on a forwarded port") }
    }
}

extension Examination {
    /// Linux answers for every address of the machine on every link (the weak host model, RFC 1122, 3.3.4.2): a
    /// neighbour on the uplink's network reaches what is bound to an address inside, or to any.
    mutating func examineOwnServices() {
        guard let configuration, let links = observations.links.value,
            let listeners = observations.listeners.value
        else { return }
        // Behind a line to one other end there is nobody but the provider, who routes no private address to it.
        let shared = Uplink.all(of: configuration, links).compactMap(\.link).filter { link in
            link.isUp && link.resolvesNeighbours && !link.addresses.isEmpty
        }
        let inside = Set(
            links.byIndex.values.filter { link in
                link.name != "lo"
                    && !configuration.outbound.contains {
                        $0.outInterfaces.contains { $0.matches(link.name) }
                    }
            }.flatMap(\.addresses))
        let open = listeners.filter { listener in
            guard listener.transport == .tcp || !PortForward.ephemeralPorts.contains(listener.port) else {
                return false
            }
            if let link = listener.link { return shared.contains { $0.index == link } }
            return listener.address.value == 0 || inside.contains(listener.address)
        }
        guard let uplink = shared.map(\.name).min(), !open.isEmpty else { return }
        let names = open.map { "\($0.transport.text) \($0)" }.sorted()
        let more = names.count > 4 ? " and \(names.count - 4) more" : ""
        add(
            .hint,
            """
            a neighbour in the network of \(uplink) reaches services of this machine, by its addresses inside too, unless \
            other rules drop that: \(names.prefix(4).joined(separator: ", "))\(more); masqd filters what is forwarded only
            """,
            look: "ss -Hlnptu")
    }
}

extension PortForward {
    /// Ports that the kernel gives to sockets which name none: the default of `ip_local_port_range`.
    fileprivate static let ephemeralPorts: ClosedRange<UInt16> = 32768...60999

    /// Whether a service would get the connections that this takes away.
    fileprivate func hides(_ listener: Listener, _ links: Links) -> Bool {
        guard transports.contains(listener.transport), ports.contains(listener.port),
            listener.address.family == address.family || listener.takesBothFamilies
        else { return false }
        // A resolver that waits for its answer looks like a server; a range of ports meets it by chance.
        if listener.transport == .udp, ports.count > 1, Self.ephemeralPorts.contains(listener.port) {
            return false
        }
        let arrivals = links.byIndex.values.filter { link in inInterfaces.contains { $0.matches(link.name) } }
        if let link = listener.link { return arrivals.contains { $0.index == link } }
        // An uplink that is not there yet will have an address.
        return listener.address.value == 0 || arrivals.contains { $0.addresses.contains(listener.address) }
    }
}
