// SPDX-License-Identifier: GPL-3.0-or-later

/// What masqd has in the kernel's policy routing, and what it needs to know of others' routes.
public struct RoutingState: Equatable, Sendable {
    /// The number that marks a rule or a route as masqd's (`FRA_PROTOCOL`, `rtm_protocol`): an ASCII "m".
    ///
    /// rtnetlink.h and iproute2's rt_protos know no other owner of it. Nothing without it is ever changed.
    public static let ownProtocol: UInt8 = 109

    /// The families that the kernel routes at all.
    public var families: Set<AddressFamily> = []
    /// masqd's rules.
    public var rules: Set<RoutingRule> = []
    /// masqd's routes.
    public var routes: Set<Route> = []
    /// Others' default routes, and those to what is on the link itself: of the main table, and of the uplinks' tables.
    public var foreignRoutes: Set<Route> = []
    /// How strictly each interface checks the way back of what arrives (`rp_filter`), by index; -1 is "all".
    public var reversePathFilters: [Int32: Int32] = [:]

    /// Nothing is there.
    public init() {}
}

/// One rule of policy routing (`ip rule`): which packets look a route up in which table.
public struct RoutingRule: Hashable, Sendable {
    /// The family of the packets.
    public var family: AddressFamily
    /// Rules are asked in the order of their priorities.
    public var priority: UInt32
    /// Only packets whose mark has this value in these bits.
    public var mark: Mark?
    /// Only packets of sockets that are bound to this interface.
    public var outInterface: InterfaceName?
    /// What they are told.
    public var action: Action

    /// Bits of a packet's mark (`fwmark value/mask`).
    public struct Mark: Hashable, Sendable {
        /// The value of the bits.
        public var value: UInt32
        /// Which bits count.
        public var mask: UInt32

        /// Makes a mark to compare with.
        public init(value: UInt32, mask: UInt32) {
            self.value = value
            self.mask = mask
        }
    }

    /// What a rule does.
    public enum Action: Hashable, Sendable {
        /// `lookup table`; where the route found is a default one, `suppress_prefixlength 0` goes on with the next rule.
        case lookUp(table: UInt32, withoutDefault: Bool)
        /// `unreachable`: the packet is refused.
        case unreachable
    }

    /// Makes a rule.
    public init(
        family: AddressFamily, priority: UInt32, mark: Mark? = nil, outInterface: InterfaceName? = nil,
        _ action: Action
    ) {
        self.family = family
        self.priority = priority
        self.mark = mark
        self.outInterface = outInterface
        self.action = action
    }
}

/// One change of policy routing.
public enum RoutingChange: Hashable, Sendable {
    case addRule(RoutingRule)
    case deleteRule(RoutingRule)
    /// Makes a route, or puts it in the place of the one with the same destination and metric.
    case setRoute(Route)
    case deleteRoute(Route)
}

/// A change that the kernel did not take.
public struct RoutingRefusal: Equatable, Sendable {
    /// The change.
    public var change: RoutingChange
    /// One line that names the object and the error.
    public var reason: String

    /// Makes a refusal.
    public init(_ change: RoutingChange, reason: String) {
        self.change = change
        self.reason = reason
    }
}

extension RoutingState {
    /// What takes away all that is masqd's.
    public var removal: [RoutingChange] { changes(toRules: [], routes: []) }

    /// What makes masqd's rules and routes equal to these: routes before the rules that lead to them.
    func changes(toRules rules: Set<RoutingRule>, routes: Set<Route>) -> [RoutingChange] {
        let newRoutes = routes.subtracting(self.routes)
        let replaced = Set(newRoutes.map(\.place))
        let oldRoutes = self.routes.subtracting(routes).filter { !replaced.contains($0.place) }
        return Self.sorted(newRoutes).map(RoutingChange.setRoute)
            + Self.sorted(rules.subtracting(self.rules)).map(RoutingChange.addRule)
            + Self.sorted(self.rules.subtracting(rules)).map(RoutingChange.deleteRule)
            + Self.sorted(Set(oldRoutes)).map(RoutingChange.deleteRoute)
    }

    /// The same after changes that the kernel took.
    mutating func apply(_ changes: [RoutingChange]) {
        for change in changes {
            switch change {
            case .addRule(let rule): rules.insert(rule)
            case .deleteRule(let rule): rules.remove(rule)
            case .setRoute(let route):
                routes = routes.filter { $0.place != route.place }
                routes.insert(route)
            case .deleteRoute(let route): routes.remove(route)
            }
        }
    }

    private static func sorted(_ rules: Set<RoutingRule>) -> [RoutingRule] {
        rules.sorted { ($0.family.rawValue, $0.priority) < ($1.family.rawValue, $1.priority) }
    }

    /// What is on the link comes before the gateways that it leads to.
    private static func sorted(_ routes: Set<Route>) -> [Route] {
        routes.sorted { left, right in
            if left.table != right.table { return left.table < right.table }
            if left.isDefault != right.isDefault { return right.isDefault }
            return "\(left.destination)" < "\(right.destination)"
        }
    }
}

extension Route {
    /// What no two routes of a table have in common.
    struct Place: Hashable {
        let table: UInt32
        let destination: IPNetwork
        let metric: UInt32
    }

    var place: Place { Place(table: table, destination: destination, metric: metric) }
}

extension RoutingChange: CustomStringConvertible {
    /// What the change is, as an error names it: `rule 20001 of IPv4`, `the route to 0.0.0.0/0 in table 7001`.
    public var description: String {
        switch self {
        case .addRule(let rule), .deleteRule(let rule):
            "the routing rule \(rule.priority) for \(rule.family == .ipv4 ? "IPv4" : "IPv6")"
        case .setRoute(let route), .deleteRoute(let route):
            "the route to \(route.destination) in table \(route.table)"
        }
    }
}
