// SPDX-License-Identifier: GPL-3.0-or-later

/// Keeps the kernel's policy routing as the uplinks need it, and knows which of them are lost.
struct UplinkRouting: Sendable {
    /// So many repairs of what others changed are immediate, then the next one waits for the window's end.
    static let immediateRepairs = 5
    /// The shortest window, in milliseconds.
    static let windowMilliseconds = 1000

    /// What the kernel has, after masqd's own changes; absent before the first look.
    private var state: RoutingState?
    /// What the kernel took last.
    private var applied: RoutingPlan?
    /// What is being changed.
    private var pending: (plan: RoutingPlan, changes: [RoutingChange], repaired: Int?)?
    private var probes = UplinkProbes()
    /// The last thing told of each uplink, by its interface.
    private var told: [String: UplinkCondition] = [:]
    /// The interfaces of uplinks that were usable, and not lost since.
    private var alive: Set<String> = []
    /// The interface that new connections were said to leave by last.
    private var preferred: String?
    private var strict: Set<String> = []
    /// Why the last attempt failed, and how many did in a row.
    private var failure: String?
    private var failures = 0
    private var lastReport: Int?
    private var backoff = Reconciler.minimumBackoff
    private var repairs = 0
    private var isWindowOpen = false
    /// The numbers of uplinks whose connections are to be deleted by the next walk.
    private(set) var lost: Set<Int> = []

    /// Whether there is anything to do: uplinks, or rules and routes of an earlier process or configuration.
    func isNeeded(for configuration: Configuration) -> Bool {
        !configuration.uplinks.isEmpty || state.map { !$0.rules.isEmpty || !$0.routes.isEmpty } ?? false
    }

    /// The request for a look at the kernel.
    func read(for configuration: Configuration) -> Action {
        .readRouting(tables: configuration.uplinks.map(\.routingTable))
    }

    /// Another configuration: its uplinks get the numbers that are in use.
    mutating func load(_ configuration: inout Configuration) {
        configuration.keepNumbers(of: state?.rules ?? [])
        applied = nil
        failure = nil
        backoff = Reconciler.minimumBackoff
        let numbers = Set(configuration.uplinks.map(\.number))
        lost.formIntersection(numbers)
        probes.load(configuration)
    }

    /// What the kernel has: compares it with what should be there.
    mutating func found(_ new: RoutingState, _ configuration: Configuration?, _ links: Links) -> [Action] {
        state = new
        guard let configuration else { return [] }
        return reconcile(configuration, links)
    }

    /// The links, or the answers to probes, are others now.
    mutating func reconcile(_ configuration: Configuration, _ links: Links) -> [Action] {
        guard let state, isNeeded(for: configuration) else { return [] }
        let plan = RoutingPlan(configuration, links, state, unanswered: probes.unanswered)
        let changes = state.changes(toRules: plan.rules, routes: plan.routes)
        let (lines, losesAny) = news(of: plan, configuration)
        let news = lines + warnings(configuration, links, state)
        // Behind the changes: what is deleted before may begin anew by the lost uplink.
        let walk: [Action] = losesAny ? [.repairConnections] : []
        let rest = walk + probes.look(at: plan.conditions, configuration)
        guard !changes.isEmpty else {
            applied = plan
            (failure, failures) = (nil, 0)
            lastReport = nil
            return news + rest
        }
        // What the kernel takes away with a link is no change of anybody's: the plan is another one then, too.
        let isForeign = plan.isSame(as: applied)
        if isForeign {
            switch configuration.reconcile.mode {
            case .repair: break
            case .report:
                defer { lastReport = changes.count }
                return news + (lastReport == changes.count ? [] : [report(changes.count)]) + rest
            case .off: return news + rest
            }
            if repairs >= Self.immediateRepairs { return news + rest + (isWindowOpen ? [] : openWindow()) }
        }
        pending = (plan, changes, isForeign ? changes.count : nil)
        return news + [.changeRouting(changes)] + rest
    }

    /// The kernel took the changes, or the reason why it did not.
    mutating func changed(failure new: String?) -> [Action] {
        guard let done = pending else { return [] }
        pending = nil
        guard new == nil else {
            // Once is no news: a link may have gone between the look and the change.
            failures += 1
            let isNews = failures > 1 && new != failure
            if failures > 1 { failure = new }
            defer { backoff = min(backoff * 2, Reconciler.maximumBackoff) }
            let line = "\(new ?? ""): connections may leave by the wrong uplink"
            return (isNews ? [.log(.error, line)] : []) + [.startRoutingTimer(milliseconds: backoff)]
        }
        state?.apply(done.changes)
        applied = done.plan
        (failure, failures) = (nil, 0)
        backoff = Reconciler.minimumBackoff
        guard let count = done.repaired else { return [] }
        repairs += 1
        let line = "somebody changed masqd's rules or routes for [[uplink]]: \(count) restored"
        return [.log(.warning, line)] + (isWindowOpen ? [] : openWindow())
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

    /// Takes away all that is masqd's.
    func removal() -> [Action] {
        guard let state else { return [] }
        let changes = state.changes(toRules: [], routes: [])
        return changes.isEmpty ? [] : [.changeRouting(changes)]
    }

    /// The walk that deleted the lost uplinks' connections is over.
    mutating func deleted(_ count: Int) -> [Action] {
        defer { lost = [] }
        guard !lost.isEmpty, count > 0 else { return [] }
        let noun = count == 1 ? "connection" : "connections"
        return [.log(.notice, "\(count) \(noun) of lost uplinks deleted")]
    }
}

// Probes: their timer, and their answers.
extension UplinkRouting {
    mutating func probeTimerFired(_ configuration: Configuration?, _ links: Links) -> [Action] {
        guard let configuration else { return [] }
        let outcome = probes.roundEnded(configuration)
        return (outcome.isNews ? reconcile(configuration, links) : []) + outcome.actions
    }

    mutating func probeAnswered(_ interface: String) -> [Action] {
        probes.answered(interface)
        return []
    }
}

extension UplinkRouting {
    mutating func probeFailed(
        _ interface: String, _ reason: String, _ configuration: Configuration?
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

// What people are told.
extension UplinkRouting {
    /// A few words for a status line: by which uplink new connections leave, and which ones do not answer.
    var summary: String? {
        var parts = told.filter { $0.value == .unanswered }.keys.sorted().map {
            "\($0) has no answer to its probes"
        }
        if let preferred { parts.append("new connections leave by \(preferred)") }
        return parts.isEmpty ? nil : parts.joined(separator: "; ")
    }

    /// The lines about what changed, and whether connections are to be deleted for it.
    private mutating func news(
        of plan: RoutingPlan, _ configuration: Configuration
    ) -> (lines: [Action], losesAny: Bool) {
        let ranked = Array(zip(configuration.uplinks, plan.conditions))
        let best = ranked.first { $0.1 == .usable } ?? ranked.first { $0.1 == .unanswered }
        let newPreferred = configuration.failsOver ? best?.0.interface : nil
        let isFirstLook = told.isEmpty
        var actions: [Action] = []
        var mustDelete = false
        for (uplink, condition) in ranked where told[uplink.interface] != condition {
            let name = uplink.interface
            if condition == .usable {
                let isNew = told[name] != .withoutRoute && alive.insert(name).inserted
                lost.remove(uplink.number)
                let order = newPreferred.map { $0 == name ? "" : ", behind \($0)" } ?? ""
                if isNew, !isFirstLook { actions.append(.log(.notice, "uplink \(name) is usable\(order)")) }
            } else if condition == .withoutRoute {
                // Perhaps for a moment only: what belongs to it lives on.
                if alive.contains(name) {
                    actions.append(.log(.notice, "uplink \(name) has no default route"))
                }
            } else if alive.remove(name) != nil {
                let isDropped = uplink.onLoss == .drop
                if isDropped { lost.insert(uplink.number) }
                mustDelete = mustDelete || isDropped
                let why = condition.reason(uplink, configuration.policyRouting)
                let fate = isDropped ? "deleted" : "kept"
                actions.append(.log(.warning, "uplink \(name) is lost, \(why): its connections are \(fate)"))
            }
        }
        told = Dictionary(uniqueKeysWithValues: ranked.map { ($0.0.interface, $0.1) })
        alive.formIntersection(told.keys)
        if newPreferred != preferred, let newPreferred {
            actions.append(.log(.notice, "new connections leave by \(newPreferred)"))
        }
        preferred = newPreferred
        return (actions, mustDelete)
    }

    /// Says what to type where an interface drops what arrives by it, since the way back leads elsewhere.
    private mutating func warnings(
        _ configuration: Configuration, _ links: Links, _ state: RoutingState
    ) -> [Action] {
        var now: Set<String> = []
        for uplink in configuration.uplinks {
            guard let link = links.named(uplink.interface) else { continue }
            // The stricter of the two counts (ip-sysctl in the kernel's documentation), and 2 is loose.
            let filter = max(state.reversePathFilters[-1] ?? 0, state.reversePathFilters[link.index] ?? 0)
            if filter == 1 { now.insert(uplink.interface) }
        }
        defer { strict = now }
        return now.subtracting(strict).sorted().map { name in
            .log(
                .warning,
                """
                rp_filter of \(name) is strict: what comes in by it is dropped while another uplink is preferred; \
                to permit it: sysctl -w net/ipv4/conf/\(name)/rp_filter=2
                """)
        }
    }
}

extension RoutingPlan {
    /// Whether the other one wants the same rules and routes.
    fileprivate func isSame(as other: RoutingPlan?) -> Bool {
        guard let other else { return false }
        return rules == other.rules && routes == other.routes
    }
}

extension UplinkCondition {
    fileprivate func reason(_ uplink: UplinkBlock, _ routing: Configuration.PolicyRouting) -> String {
        switch self {
        case .absent: "it is gone"
        case .down: "it is down"
        case .withoutCarrier: "it has no carrier"
        case .withoutAddress: "it has no address"
        case .withoutRoute: "it has no default route"
        case .unanswered:
            "no answer from \(uplink.probe.map(\.description).joined(separator: ", ")) to \(routing.probeFailures) probes"
        case .usable: "it is usable"
        }
    }
}
