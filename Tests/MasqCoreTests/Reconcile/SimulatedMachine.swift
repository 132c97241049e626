// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore

/// A machine that does at once what the reconciler decides, as the daemon and a kernel would.
struct SimulatedMachine {
    private var reconciler = Reconciler()
    /// The families whose sources the last successful commit masquerades.
    private var servedFamilies: Set<AddressFamily> = []
    private var lowered: (ruleset: Ruleset, snapshot: Snapshot)?
    var table = TableModel()
    var forwarding: [AddressFamily: Bool] = [.ipv4: false, .ipv6: false]
    var links = Links()
    /// masqd's rules and routes, and others' routes; an own route goes with its link.
    var routing = RoutingState()
    /// What changes of policy routing fail with, while it is set.
    var routingFailure: String?
    /// Which changes that is.
    var isRefused: @Sendable (RoutingChange) -> Bool = { _ in true }
    /// /proc/sys is read-only, as in a container.
    var isForwardingStuck = false
    /// What every commit fails with, while it is set.
    var failure: CommitFailure?

    /// The number of changes of every commit that succeeded.
    private(set) var commits: [Int] = []
    /// How often the connections were walked through.
    private(set) var walks = 0
    /// The milliseconds of a retry timer that is running.
    private(set) var timer: Int?
    /// The milliseconds of the timers of policy routing and of probes that are running.
    private(set) var routingTimer: Int?
    private(set) var probeTimer: Int?
    /// How the process ended, if it did.
    private(set) var exitStatus: Action.ExitStatus?
    /// The service manager waits for READY: since the start, or since RELOADING.
    private(set) var awaitsReady = true
    /// The status that the service manager heard last.
    private(set) var announced: String?
    /// What no sequence of events may lead to.
    private(set) var violations: [String] = []

    /// What the service manager should know.
    var status: String { reconciler.status }

    /// Starts the daemon as `Daemon.begin` does.
    mutating func start(_ configuration: Configuration) -> [Action] {
        reconciler = Reconciler()
        (timer, exitStatus, awaitsReady) = (nil, nil, true)
        (routingTimer, probeTimer) = (nil, nil)
        return send(.memoryFound(table.table.memory)) + send(.forwardingRead(forwarding))
            + send(.routingDumped(routing, links)) + send(.configurationLoaded(configuration))
    }

    /// SIGHUP, with a good file.
    mutating func reload(_ configuration: Configuration) -> [Action] {
        beginReload()
        return send(.forwardingRead(forwarding)) + send(.configurationLoaded(configuration))
    }

    /// SIGHUP, with a bad file.
    mutating func reload(refusedBecause reason: String) -> [Action] {
        beginReload()
        return send(.configurationRefused(reason: reason))
    }

    private mutating func beginReload() {
        if exitStatus == nil { awaitsReady = true }
    }

    /// The links are these now, and rtnetlink says so.
    mutating func change(_ links: Link...) -> [Action] {
        self.links = Links(links)
        // The kernel takes the routes of a link that is gone or switched off.
        routing.routes = routing.routes.filter { route in links.contains { $0.index == route.link && $0.isUp }
        }
        return send(.linksDumped(self.links))
    }

    /// The timer of policy routing has run out.
    mutating func fireRoutingTimer() -> [Action] {
        routingTimer = nil
        return send(.routingTimerFired)
    }

    /// A round of probes is over, in which these interfaces had an answer.
    mutating func endRound(answeredBy interfaces: InterfaceName...) -> [Action] {
        probeTimer = nil
        for interface in interfaces { _ = send(.probeAnswered(interface: interface)) }
        return send(.probeTimerFired)
    }

    /// The retry timer's time is over.
    mutating func fireTimer() -> [Action] {
        timer = nil
        return send(.retryTimerFired)
    }

    /// Does what the reconciler answers, and hands back what others notice of it.
    mutating func send(_ event: Event) -> [Action] {
        var noticed: [Action] = []
        for action in reconciler.handle(event) {
            if exitStatus != nil { violations.append("\(action) after the end") }
            switch action {
            case .commit(let ruleset): noticed += send(commit(ruleset))
            case .inspect(let ruleset): noticed += send(.inspected(changes: differences(from: ruleset).count))
            case .repairConnections:
                walks += 1
                noticed += send(.connectionsRepaired(DeletedFlows()))
            case .startCalmTimer, .startAlarmTimer, .rearmLeakAlarm, .startReadingTimer,
                .restrictSources:
                break
            case .auditForeign, .editForeign, .closeForeign, .startForeignTimer: break
            case .readRouting: noticed += send(.routingDumped(routing, links))
            case .changeRouting(let changes):
                let refused = changes.filter { routingFailure != nil && isRefused($0) }
                changes.filter { !refused.contains($0) }.forEach { routing.make($0) }
                noticed.append(action)
                noticed += send(
                    .routingChanged(
                        refusals: refused.map { RoutingRefusal($0, reason: routingFailure ?? "") }))
            case .removeRouting:
                routing.removal.forEach { routing.make($0) }
                noticed.append(action)
            case .startRoutingTimer(let milliseconds): routingTimer = milliseconds
            case .startProbeTimer(let milliseconds): probeTimer = milliseconds
            case .sendProbes: noticed.append(action)
            case .startRepairTimer: noticed += send(.repairTimerFired)
            case .removeTable, .setForwarding, .startRetryTimer, .log, .accuse, .notifyReady, .notifyStatus,
                .exit:
                noticed.append(action)
                perform(action)
            }
        }
        let isSwitched = noticed.contains { if case .setForwarding = $0 { true } else { false } }
        guard isSwitched else { return noticed }
        // The write fails, or rtnetlink tells of it.
        return noticed + send(isForwardingStuck ? .forwardingFailed(.ipv4) : .forwardingRead(forwarding))
    }

    private mutating func differences(from ruleset: Ruleset) -> [Change] {
        if lowered?.ruleset != ruleset { lowered = (ruleset, Snapshot(textOf: ruleset)) }
        return Difference.changes(from: table.table, to: lowered?.snapshot ?? Snapshot())
    }

    private mutating func commit(_ ruleset: Ruleset) -> Event {
        if let failure { return .commitFailed(failure) }
        let changes = differences(from: ruleset)
        do {
            try table.commit(changes)
        } catch {
            violations.append("the kernel refused the batch: \(error)")
        }
        commits.append(changes.count)
        servedFamilies = Set(
            ruleset.chains.flatMap(\.rules).flatMap(\.matches).compactMap { match in
                switch match {
                case .network(.source, let network): network.family
                case .address(let family, .source, _): family
                default: nil
                }
            })
        return .committed(changes: changes.count)
    }

    private mutating func perform(_ action: Action) {
        switch action {
        case .commit, .inspect, .repairConnections, .startCalmTimer, .startAlarmTimer, .rearmLeakAlarm, .log,
            .accuse,
            .auditForeign, .editForeign, .closeForeign, .startForeignTimer, .startRepairTimer, .readRouting,
            .changeRouting, .removeRouting, .sendProbes,
            .startRoutingTimer, .startProbeTimer, .startReadingTimer, .restrictSources:
            break
        case .removeTable: table = TableModel()
        case .setForwarding(let family, let isOn):
            if isOn, !servedFamilies.contains(family) { violations.append("forwarding without rules") }
            if !isForwardingStuck { forwarding[family] = isOn }
        case .startRetryTimer(let milliseconds): timer = milliseconds
        case .notifyStatus(let status): announced = status
        case .notifyReady(let status):
            announced = status
            if !awaitsReady { violations.append("READY that nobody waits for") }
            awaitsReady = false
        case .exit(let status): exitStatus = status
        }
    }
}

extension RoutingState {
    /// What a change does in the kernel.
    fileprivate mutating func make(_ change: RoutingChange) {
        switch change {
        case .addRule(let rule): rules.insert(rule)
        case .deleteRule(let rule): rules.remove(rule)
        case .setRoute(let route):
            routes = routes.filter {
                ($0.table, $0.destination, $0.metric) != (route.table, route.destination, route.metric)
            }
            routes.insert(route)
        case .deleteRoute(let route): routes.remove(route)
        }
    }
}

extension DeletedFlows {
    /// So many, of which some one is the example.
    init(_ count: Int, _ fault: FlowFault, _ flow: Flow? = nil) {
        self.init()
        let nobody = IPAddress(family: .ipv4, value: 0)
        let flow = flow ?? Flow(source: nobody, destination: nobody, translatedSource: nobody)
        for _ in 0..<count { add(flow, fault) }
    }
}

extension Configuration {
    /// The how-to: 192.168.0.0/16 behind ppp0.
    static var howTo: Configuration { masquerading("ppp0", "192.168.0.0/16") }

    /// One block of an interface, or a glob, and its sources.
    static func masquerading(
        _ outInterface: String, _ sources: String..., ipForward: ForwardingMode = .manage
    ) -> Configuration {
        let block = OutboundBlock(
            line: 4, outInterfaces: [outInterface].compactMap { try? InterfacePattern($0) },
            source: sources.compactMap { try? IPNetwork($0) })
        var configuration = Configuration(origin: .file("/etc/masqd.toml"), outbound: [block])
        configuration.gateway.ipForward = ipForward
        return configuration
    }
}

extension Link {
    /// A link by name, index, state and addresses.
    static func link(_ name: InterfaceName, _ index: Int32, up isUp: Bool, _ addresses: String...) -> Link {
        Link(index: index, name: name, isUp: isUp, addresses: addresses.compactMap { IPAddress($0) })
    }
}
