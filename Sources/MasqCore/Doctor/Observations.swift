// SPDX-License-Identifier: GPL-3.0-or-later

/// Something that the doctor wanted to look at.
public enum Observed<Value: Sendable>: Sendable {
    /// It is so.
    case seen(Value)
    /// It could not be looked at; the reason is for people.
    case unseen(why: String)

    /// The value, where it was seen.
    public var value: Value? {
        if case .seen(let value) = self { value } else { nil }
    }
}

/// How a gateway is, as far as it could be looked at: what an ``Examination`` judges.
public struct Observations: Sendable {
    /// The forwarding switches; a family that the kernel does not have is left out.
    public var forwarding = Observed<[AddressFamily: Bool]>.notYet
    /// The links and their addresses.
    public var links = Observed<Links>.notYet
    /// The settings of each link, by name.
    public var linkSettings: [InterfaceName: LinkSettings] = [:]
    /// Every unicast route.
    public var routes = Observed<[Route]>.notYet
    /// Where the kernel sends what the inside sends into the Internet.
    public var ways = Observed<[Way]>.notYet
    /// What is masqd's in policy routing, where `[[uplink]]` asks for it.
    public var routing = Observed<RoutingState>.notYet
    /// The own table against the configuration.
    public var table = Observed<TableComparison>.notYet
    /// Who serves this network namespace; nothing where nobody does.
    public var holder = Observed<LockHolder?>.notYet
    /// The services of the machine's own.
    public var listeners = Observed<Set<Listener>>.notYet
    /// What others' rules do to masqueraded traffic.
    public var foreign = Observed<ForeignReport>.notYet
    /// The chains that clamp the MSS of TCP connections, as `nft list chain` takes them.
    public var segmentClamps = Observed<[String]>.notYet
    /// How full the connection table is.
    public var conntrack = Observed<ConntrackLoad?>.notYet
    /// The ruleset that is loaded at boot; nothing where there is none.
    public var savedRuleset = Observed<SavedRuleset?>.notYet

    /// Nothing was looked at yet.
    public init() {}
}

extension Observed {
    /// Nobody has looked.
    public static var notYet: Observed { .unseen(why: "nobody looked") }
}

/// What the kernel is told about one link, in `net.ipv4.conf` and `net.ipv6.conf`.
public struct LinkSettings: Equatable, Sendable {
    /// `rp_filter` in force, the higher of the link's own and of `all`: 0 off, 1 strict, 2 loose.
    public var reversePathFilter: Int?
    /// IPv4's `forwarding`: whether what comes in by it may be forwarded.
    public var isForwarding: Bool?
    /// IPv6's `accept_ra`: 0 never, 1 unless forwarding, 2 always.
    public var acceptsAdvertisements: Int?

    /// Makes settings.
    public init(reversePathFilter: Int? = nil, isForwarding: Bool? = nil, acceptsAdvertisements: Int? = nil) {
        self.reversePathFilter = reversePathFilter
        self.isForwarding = isForwarding
        self.acceptsAdvertisements = acceptsAdvertisements
    }
}

/// Who has the right to be the one masqd of a network namespace.
public struct LockHolder: Equatable, Sendable {
    /// The process; absent where the kernel does not tell, as across pid namespaces or to other users.
    public var process: Int32?
    /// The systemd unit that it runs in.
    public var unit: String?

    /// Makes a holder.
    public init(process: Int32?, unit: String? = nil) {
        self.process = process
        self.unit = unit
    }
}
