// SPDX-License-Identifier: GPL-3.0-or-later

/// One block of the file about what leaves by uplinks: these sources, by these interfaces, with this translation.
public struct OutboundBlock: Equatable, Sendable {
    /// The line of its header, from 1; 0 on the command line.
    public var line: Int
    /// `out_interface`: never empty, no pattern twice.
    public var outInterfaces: [InterfacePattern]
    /// `source`: never empty.
    public var source: [IPNetwork]
    /// `exclude`: destinations that keep their source.
    public var exclude: [IPNetwork] = []
    /// What becomes of the sources' addresses, and so the block's kind.
    public var translation: Translation

    /// Makes a block; one that masquerades with the defaults of what is optional, where nothing else is said.
    public init(
        line: Int, outInterfaces: [InterfacePattern], source: [IPNetwork],
        translation: Translation = .masquerade(NATOptions())
    ) {
        self.line = line
        self.outInterfaces = outInterfaces
        self.source = source
        self.translation = translation
    }

    /// What the far side sees in place of a source's address.
    public enum Translation: Equatable, Sendable {
        /// `[[masquerade]]`: the address of the interface that the packet leaves by.
        case masquerade(NATOptions)
        /// `[[routed]]`: the source's own.
        case routed(Routing)
        /// `[[snat]]`: what the file says.
        case snat(SourceNAT)

        /// Whether the far side must never see a source's own address.
        public var hidesSource: Bool {
            if case .routed = self { false } else { true }
        }
    }

    /// The kinds of blocks: the raw value is the table's name in the file, and begins the names in the kernel.
    public enum Kind: String, CaseIterable, Sendable {
        case masquerade, routed, snat
    }

    /// What the block is called in the file.
    public var kind: Kind {
        switch translation {
        case .masquerade: .masquerade
        case .routed: .routed
        case .snat: .snat
        }
    }

    /// The one source of a family whose sources are mapped 1:1.
    func mappedSource(_ family: AddressFamily) -> IPNetwork? { source.first { $0.family == family } }

    /// The families of its sources, IPv4 first.
    public var families: [AddressFamily] {
        AddressFamily.allCases.filter { family in source.contains { $0.family == family } }
    }
}

/// What may come from an uplink to a network that is not translated.
public struct Routing: Equatable, Sendable {
    /// `unsolicited`: new connections; absent: as `[forward] unsolicited` says.
    public var unsolicited: Configuration.Policy?
    /// `echo_request`: pings over IPv6, although other new connections are dropped (RFC 4890, section 4.3.1).
    public var echoRequest = Configuration.Policy.accept

    /// Makes it with its defaults.
    public init() {}
}

/// What `[[snat]]` says.
public struct SourceNAT: Equatable, Sendable {
    /// `to`: one for each family of the sources.
    public var targets: [Target]
    /// Of no use where a network is mapped to another.
    public var options: NATOptions
    /// `inbound`: connections from an uplink to a mapped address go to the host that it stands for.
    public var inbound = false
    /// `prefix_from`: the link whose network stands for the uplink's own; absent: the uplink.
    public var prefixFrom: InterfaceName?

    /// Makes it of its parts.
    public init(to targets: [Target], options: NATOptions = NATOptions()) {
        self.targets = targets
        self.options = options
    }

    /// One word of `to`.
    public enum Target: Hashable, Sendable {
        /// Addresses that the file names.
        case fixed(NATTarget)
        /// `"uplink-prefix"`: the uplink's own IPv6 network of the source's prefix length, whatever it is at the moment.
        case uplinkPrefix

        /// The family of the sources that it is for.
        public var family: AddressFamily {
            switch self {
            case .fixed(let target): target.family
            case .uplinkPrefix: .ipv6
            }
        }

        /// Whether each source has an address of its own.
        public var isOneToOne: Bool {
            switch self {
            case .fixed(.network), .uplinkPrefix: true
            case .fixed(.pool): false
            }
        }
    }

    /// What the sources of one family are translated to.
    public func target(_ family: AddressFamily) -> Target? { targets.first { $0.family == family } }
}

/// How the kernel chooses an address and a port for a connection that it translates the source of.
public struct NATOptions: Equatable, Sendable {
    /// `ports`: the source ports to choose from, 1 to 65535; absent: the kernel's own choice.
    public var ports: ClosedRange<UInt16>?
    /// `random`: how the source port is chosen.
    public var random: PortSelection
    /// `persistent`: the same address for all of a client's connections.
    public var persistent: Bool

    /// Makes the options; without arguments they are the defaults.
    public init(
        ports: ClosedRange<UInt16>? = nil, random: PortSelection = .none, persistent: Bool = false
    ) {
        self.ports = ports
        self.random = random
        self.persistent = persistent
    }

    /// How the kernel chooses a source port.
    public enum PortSelection: String, CaseIterable, Sendable {
        /// The client's own port where it is free.
        case none
        /// Hashed by source and destination (`NF_NAT_RANGE_PROTO_RANDOM`).
        case random
        /// Random for each connection (`NF_NAT_RANGE_PROTO_RANDOM_FULLY`).
        case fullyRandom = "fully-random"
    }
}
