// SPDX-License-Identifier: GPL-3.0-or-later

/// Keeps the kernel's policy routing as the uplinks need it, and knows which of them are lost.
struct UplinkRouting: Sendable {
    /// So many repairs of what others changed are immediate, then the next one waits for the window's end.
    static let immediateRepairs = 5
    /// The shortest window, in milliseconds.
    static let windowMilliseconds = 1000

    /// What the kernel has, after masqd's own changes; absent before the first look.
    var state: RoutingState?
    /// What the kernel took last.
    var applied: RoutingPlan?
    /// What is being changed.
    var pending: (plan: RoutingPlan, changes: [RoutingChange], repaired: Int?)?
    var probes = UplinkProbes()
    /// The last thing told of each uplink, by its interface.
    var told: [InterfaceName: UplinkCondition] = [:]
    /// The interfaces of uplinks that were usable, and not lost since.
    var alive: Set<InterfaceName> = []
    /// The interface that new connections were said to leave by last.
    var preferred: InterfaceName?
    var strict: Set<InterfaceName> = []
    /// Why the last attempt failed, and how many did in a row.
    var failure: String?
    var failures = 0
    /// What the kernel did not take of the last plan.
    var refused: Set<RoutingChange> = []
    var lastReport: Int?
    var backoff = Reconciler.minimumBackoff
    var repairs = 0
    var isWindowOpen = false
    /// The numbers of uplinks whose connections are to be deleted by the next walk.
    var lost: Set<Int> = []

    /// Whether there is anything to do: uplinks, or rules and routes of an earlier process or configuration.
    func isNeeded(for configuration: Configuration) -> Bool {
        !configuration.uplinks.isEmpty || state.map { !$0.rules.isEmpty || !$0.routes.isEmpty } ?? false
    }

    /// Whether an uplink's table has the route of new connections, so that the main table's default route does not matter;
    /// also before the first look, when nothing is known yet.
    func decidesForNew(_ configuration: Configuration) -> Bool {
        configuration.failsOver
            && (told.isEmpty || told.values.contains { $0 == .usable || $0 == .unanswered })
    }

    /// The request for a look at the kernel.
    func read(for configuration: Configuration) -> Action {
        .readRouting(tables: configuration.uplinks.map(\.routingTable))
    }

    /// Another configuration: its uplinks get the numbers that are in use.
    mutating func load(_ configuration: inout Configuration) {
        configuration.keepNumbers(of: state?.rules ?? [])
        applied = nil
        (failure, failures) = (nil, 0)
        refused = []
        backoff = Reconciler.minimumBackoff
        let numbers = Set(configuration.uplinks.map(\.number))
        lost.formIntersection(numbers)
        probes.load(configuration)
    }

    /// What the kernel has: compares it with what should be there.
    mutating func found(_ new: RoutingState, _ configuration: Configuration?, _ links: Links) -> [Action] {
        state = new
        if refused.isEmpty { (failure, failures, backoff) = (nil, 0, Reconciler.minimumBackoff) }
        guard let configuration else { return [] }
        return reconcile(configuration, links)
    }

    /// The links, or the answers to probes, are others now.
    mutating func reconcile(_ configuration: Configuration, _ links: Links) -> [Action] {
        guard let state, isNeeded(for: configuration) else { return [] }
        let plan = plan(configuration, links, state)
        let changes = state.changes(toRules: plan.rules, routes: plan.routes)
        guard !changes.isEmpty else {
            applied = plan
            (failure, failures) = (nil, 0)
            refused = []
            lastReport = nil
            return consequences(configuration, links)
        }
        // What the kernel takes away with a link is no change of anybody's: the plan is another one then, too.
        let isForeign = plan.isSame(as: applied)
        if isForeign {
            switch configuration.reconcile.mode {
            case .repair: break
            case .report:
                defer { lastReport = changes.count }
                let report = lastReport == changes.count ? [] : [report(changes.count)]
                return consequences(configuration, links) + report
            case .off: return consequences(configuration, links)
            }
            if repairs >= Self.immediateRepairs {
                return consequences(configuration, links) + (isWindowOpen ? [] : openWindow())
            }
        }
        pending = (plan, changes, isForeign ? changes.count : nil)
        return [.changeRouting(changes)]
    }

    private func plan(_ configuration: Configuration, _ links: Links, _ state: RoutingState) -> RoutingPlan {
        let routes = refused.compactMap { if case .setRoute(let route) = $0 { route } else { nil } }
        return RoutingPlan(
            configuration, links, state, unanswered: probes.unanswered, refused: Set(routes))
    }

    /// What is told and done behind changes: what is deleted before may begin anew by the lost uplink, and what is said
    /// before may not be true.
    private mutating func consequences(_ configuration: Configuration, _ links: Links) -> [Action] {
        guard let state else { return [] }
        let plan = plan(configuration, links, state)
        let (lines, losesAny) = news(of: plan, configuration)
        let walk: [Action] = losesAny ? [.repairConnections] : []
        return lines + warnings(configuration, links, state) + walk
            + probes.look(at: plan.conditions, configuration)
    }

    /// The kernel took the changes but for some.
    mutating func changed(
        _ refusals: [RoutingRefusal], _ configuration: Configuration?, _ links: Links
    ) -> [Action] {
        guard let done = pending, let configuration else { return [] }
        pending = nil
        refused = Set(refusals.map(\.change))
        state?.apply(done.changes.filter { !refused.contains($0) })
        guard let first = refusals.first else {
            applied = done.plan
            (failure, failures) = (nil, 0)
            backoff = Reconciler.minimumBackoff
            let news = consequences(configuration, links)
            guard let count = done.repaired else { return news }
            repairs += 1
            let line = "somebody changed masqd's rules or routes for [[uplink]]: \(count) restored"
            return [.log(.warning, line)] + news + (isWindowOpen ? [] : openWindow())
        }
        // What is not there is nobody's deed.
        applied = nil
        failures += 1
        // Once is no news: a link may have gone between the look and the change.
        var lines: [Action] = []
        if failures > 1 {
            if first.reason != failure { lines = [.log(.error, "\(first.reason): \(loss(configuration))")] }
            failure = first.reason
        }
        return lines + consequences(configuration, links) + retry()
    }

    /// The kernel did not tell what it has.
    mutating func unread(_ reason: String) -> [Action] {
        defer { failure = reason }
        let line = Action.log(.error, "\(reason): connections may leave by the wrong uplink")
        return (reason == failure ? [] : [line]) + retry()
    }

    private mutating func retry() -> [Action] {
        defer { backoff = min(backoff * 2, Reconciler.maximumBackoff) }
        return [.startRoutingTimer(milliseconds: backoff)]
    }

    /// The window of repairs is over, or an attempt that failed is to be made again.
    mutating func timerFired(_ configuration: Configuration?) -> [Action] {
        isWindowOpen = false
        // Whoever still fights waits from the first change on.
        repairs = repairs >= Self.immediateRepairs ? Self.immediateRepairs - 1 : 0
        return configuration.map { isNeeded(for: $0) ? [read(for: $0)] : [] } ?? []
    }

    private mutating func openWindow() -> [Action] {
        isWindowOpen = true
        return [.startRoutingTimer(milliseconds: Self.windowMilliseconds)]
    }

    private func report(_ count: Int) -> Action {
        .log(
            .warning,
            """
            somebody changed masqd's rules or routes for [[uplink]]: left as it is, as [reconcile] mode asks \
            (that differ: \(count))
            """)
    }

    /// Takes away all that is masqd's, where anything is or may be.
    func removal(_ configuration: Configuration?) -> [Action] {
        let mayBe = configuration.map { isNeeded(for: $0) } ?? false
        return mayBe ? [.removeRouting] : []
    }
}

// Probes: their timer, and their answers.
extension UplinkRouting {
    mutating func probeTimerFired(_ configuration: Configuration?, _ links: Links) -> [Action] {
        guard let configuration else { return [] }
        let outcome = probes.roundEnded(configuration)
        return (outcome.isNews ? reconcile(configuration, links) : []) + outcome.actions
    }

    mutating func probeAnswered(_ interface: InterfaceName) -> [Action] {
        probes.answered(interface)
        return []
    }
}

extension UplinkRouting {
    mutating func probeFailed(
        _ interface: InterfaceName, _ reason: String, _ configuration: Configuration?
    ) -> [Action] {
        guard probes.failed(interface, reason),
            let uplink = configuration?.uplinks.first(where: { $0.interface == interface })
        else { return [] }
        let targets = uplink.probe.map { "\($0.address)" }.joined(separator: " ")
        return [
            .log(
                .error,
                """
                \(reason): \(interface) is judged by its link alone; by default masqd's unit lets it \
                speak no IP: systemctl edit masqd, and under [Service] RestrictAddressFamilies=AF_INET AF_INET6 and \
                IPAddressAllow=\(targets)
                """)
        ]
    }
}

extension RoutingPlan {
    /// Whether the other one wants the same rules and routes.
    fileprivate func isSame(as other: RoutingPlan?) -> Bool {
        guard let other else { return false }
        return rules == other.rules && routes == other.routes
    }
}
