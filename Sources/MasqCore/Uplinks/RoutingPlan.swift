// SPDX-License-Identifier: GPL-3.0-or-later

/// What policy routing should be for the uplinks of a configuration, as they are: a pure function.
///
/// Each uplink has a table with its default route, and rules lead to it: what its marked connections send, what is bound to
/// its interface, and with failover everything new, uplink after uplink. A table whose uplink is gone is empty, and
/// the kernel goes on with the next rule, also while masqd does not run.
struct RoutingPlan: Equatable, Sendable {
    var rules: Set<RoutingRule> = []
    var routes: Set<Route> = []
    /// How each uplink is, in the file's order.
    var conditions: [UplinkCondition] = []

    /// The rules' places behind `rule_priority`. Within each group an uplink has a place of its own, from 1.
    fileprivate enum Group {
        static let marked: UInt32 = 0
        /// Behind it: what is to wait for its uplink must not leave by another one.
        static let waiting: UInt32 = 20
        static let bound: UInt32 = 40
        /// What the main table knows a special way for, networks inside above all, goes that way.
        static let inside: UInt32 = 60
        static let new: UInt32 = 60
        /// Uplinks that do not answer are tried last, and not left out: a probe may be wrong.
        static let last: UInt32 = 80
    }

    /// The metric of masqd's routes: IPv6's default, so that it reads back as written.
    private static let metric: UInt32 = 1024

    /// - Parameters:
    ///   - unanswered: the numbers of uplinks that no probe gets an answer through.
    ///   - refused: routes that the kernel did not take last: they stay in the plan, and are no way until it takes them.
    init(
        _ configuration: Configuration, _ links: Links, _ state: RoutingState, unanswered: Set<Int>,
        refused: Set<Route> = []
    ) {
        for uplink in configuration.uplinks {
            let link = links.named(uplink.interface)
            let ways = state.families.filter { family in
                addRoutes(of: uplink, family, link, state)
            }
            // One family without the way that it should have is no uplink to count on.
            let isRefused = refused.contains { $0.table == uplink.routingTable && $0.isDefault }
            var condition = UplinkCondition(link: link, hasWay: !ways.isEmpty && !isRefused)
            if condition == .usable, unanswered.contains(uplink.number) { condition = .unanswered }
            conditions.append(condition)
        }
        for family in state.families { addRules(configuration, family, unanswered) }
    }

    private mutating func addRules(
        _ configuration: Configuration, _ family: AddressFamily, _ unanswered: Set<Int>
    ) {
        let routing = configuration.policyRouting
        let uplinks = configuration.uplinks
        func add(
            _ group: UInt32, _ place: Int, mark: RoutingRule.Mark? = nil, outInterface: InterfaceName? = nil,
            _ action: RoutingRule.Action
        ) {
            rules.insert(
                RoutingRule(
                    family: family, priority: routing.rulePriority + group + UInt32(place), mark: mark,
                    outInterface: outInterface, action))
        }
        for uplink in uplinks {
            let table = RoutingRule.Action.lookUp(table: uplink.routingTable, withoutDefault: false)
            let mark = RoutingRule.Mark(
                value: routing.marks.mark(uplink.number), mask: routing.marks.numberMask)
            add(Group.marked, uplink.number, mark: mark, table)
            if uplink.onLoss == .keep { add(Group.waiting, uplink.number, mark: mark, .unreachable) }
            add(Group.bound, uplink.number, outInterface: uplink.interface, table)
        }
        guard configuration.failsOver else { return }
        add(Group.inside, 0, .lookUp(table: Route.mainTable, withoutDefault: true))
        for (rank, uplink) in uplinks.enumerated() {
            add(
                unanswered.contains(uplink.number) ? Group.last : Group.new, rank + 1,
                .lookUp(table: uplink.routingTable, withoutDefault: false))
        }
    }

    /// Adds what belongs into the uplink's table, and says whether there is a way to the world.
    private mutating func addRoutes(
        of uplink: UplinkBlock, _ family: AddressFamily, _ link: Link?, _ state: RoutingState
    ) -> Bool {
        guard let link, link.isUp, link.hasCarrier,
            link.addresses.contains(where: { $0.family == family && !$0.isLinkLocal })
        else { return false }
        let foreign = state.foreignRoutes.filter { $0.destination.address.family == family }
        let isProvided = foreign.contains { $0.table == uplink.routingTable && $0.isDefault }
        var defaultRoute = Route(
            IPNetwork(containing: IPAddress(family: family, value: 0), prefixLength: 0), link: link.index,
            metric: Self.metric, table: uplink.routingTable)
        let main = foreign.filter { $0.table == Route.mainTable && $0.link == link.index }
        if isProvided {
            // Whoever put it there looks after it.
        } else if let gateway = uplink.gateways.first(where: { $0.family == family }) {
            defaultRoute.gateway = gateway
        } else if let found = main.filter(\.isDefault).min(by: { $0.metric < $1.metric }) {
            defaultRoute.gateway = found.gateway
            defaultRoute.isOnLink = found.isOnLink
        } else if link.resolvesNeighbours {
            return false
        }
        if !isProvided { routes.insert(defaultRoute) }
        for var neighbours in main where !neighbours.isDefault && !neighbours.destination.address.isLinkLocal
        {
            neighbours.table = uplink.routingTable
            neighbours.metric = Self.metric
            neighbours.isConnected = false
            routes.insert(neighbours)
        }
        return true
    }
}

extension RoutingState {
    /// The numbers of the uplinks that the rules try last: a probe has got no answer through them.
    func triedLast(_ configuration: Configuration) -> Set<Int> {
        let first = configuration.policyRouting.rulePriority + RoutingPlan.Group.last
        return Set(
            configuration.uplinks.enumerated().filter { rank, uplink in
                rules.contains {
                    $0.priority == first + UInt32(rank + 1)
                        && $0.action == .lookUp(table: uplink.routingTable, withoutDefault: false)
                }
            }.map(\.element.number))
    }
}

/// How an uplink is, as far as routing is concerned.
enum UplinkCondition: Equatable, Sendable {
    case absent, down, withoutCarrier, withoutAddress, withoutRoute
    /// All is as it should be, but no probe gets an answer.
    case unanswered
    case usable

    init(link: Link?, hasWay: Bool) {
        guard let link else {
            self = .absent
            return
        }
        if !link.isUp {
            self = .down
        } else if !link.hasCarrier {
            self = .withoutCarrier
        } else if !link.addresses.contains(where: { !$0.isLinkLocal }) {
            self = .withoutAddress
        } else {
            self = hasWay ? .usable : .withoutRoute
        }
    }
}

extension Configuration {
    /// Whether new connections go by the uplinks' order.
    var failsOver: Bool { policyRouting.failover && uplinks.count > 1 }

    /// Whether policy routing is the same with the other one.
    func hasUplinks(of other: Configuration) -> Bool {
        uplinks == other.uplinks && policyRouting == other.policyRouting
    }

    /// Gives uplinks the numbers that they have in the kernel already, which connections there carry in their marks.
    public mutating func keepNumbers(of rules: Set<RoutingRule>) {
        let marks = policyRouting.marks
        var tables: [UInt32: Int] = [:]
        for rule in rules {
            guard let mark = rule.mark, mark.mask == marks.numberMask,
                case .lookUp(let table, _) = rule.action
            else { continue }
            tables[table] = marks.number(in: mark.value)
        }
        var known: [InterfaceName: Int] = [:]
        for rule in rules {
            guard let name = rule.outInterface, case .lookUp(let table, _) = rule.action else { continue }
            known[name] = tables[table]
        }
        var free = Set(1...marks.capacity)
        for index in uplinks.indices {
            let number = known[uplinks[index].interface]
            uplinks[index].number = number.flatMap { free.remove($0) } ?? 0
        }
        for index in uplinks.indices where uplinks[index].number == 0 {
            uplinks[index].number = free.min().flatMap { free.remove($0) } ?? 0
        }
    }
}
