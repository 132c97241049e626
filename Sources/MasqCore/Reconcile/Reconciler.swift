// SPDX-License-Identifier: GPL-3.0-or-later

/// The only place that decides: takes in events and says what to do about them.
///
/// It has no clock, no socket and no file, so a test of behaviour is a list of events and the actions expected.
public struct Reconciler: Sendable {
    /// The longest wait between two attempts, in milliseconds.
    public static let maximumBackoff = 60_000
    /// The first wait, in milliseconds.
    public static let minimumBackoff = 100

    /// How long after a change of the rules connections are looked at, in milliseconds.
    static let repairDelayMilliseconds = 50

    /// How long links and routes must have been quiet before connections are looked at, in milliseconds.
    static let settlingMilliseconds = 5

    var configuration: Configuration?
    /// What should be in the kernel for it; one value, since the networks in it may be many.
    var desired: Ruleset?
    var links = Links()
    var defaultRoutes = DefaultRoutes()
    var ownSources = OwnSources()
    var switches = ForwardingSwitches()
    /// What the kernel refused, and is left out until the next configuration.
    var lacking: Set<KernelFeature> = []
    /// What the kernel took last; absent before the first commit that succeeded.
    var applied: (ruleset: Ruleset, configuration: Configuration)?
    var reported = UplinkStatus()
    var uplinks = UplinkMemory()
    var reportedUnnamed = UnnamedUplinks()
    var lastFailure: String?
    var refusal: String?
    var backoff = minimumBackoff
    var defence = Defence()
    var alarm = LeakAlarm()
    var reading = ReadingWatch()
    var walk = ConnectionWalk()
    var foreign = ForeignWatch()
    var routing = UplinkRouting()
    /// Why connections that look wrong were left alone, as far as it was told.
    var reportedDoubts: Set<Doubt> = []
    /// What connections may have that are masqd's.
    var given = GivenAddresses()
    /// Somebody waits for READY: the service manager at start, or whoever asked for a reload.
    var owesReady = true
    var hasEnded = false
    /// The status that the service manager was told last.
    var announced: String?
    /// So many objects were found changed, and left so.
    var differing = 0

    /// A state machine that has seen nothing yet.
    public init() {}

    /// Takes in one event and says what to do about it.
    public mutating func handle(_ event: Event) -> [Action] {
        guard !hasEnded else { return [] }
        return announcing(answer(to: event))
    }

    private mutating func answer(to event: Event) -> [Action] {
        switch event {
        case .configurationLoaded(let new):
            return load(new)
        case .configurationRefused(let reason):
            return refuse(reason)
        case .memoryFound(let found):
            switches.memory.formUnion(found.subtracting(found.ofOpening).subtracting(.ownSourcesWereOff))
            ownSources.found(found)
            foreign.found(found)
            desire()
            return []
        case .linksDumped(let new):
            return dumped(new) + readRouting()
        case .defaultRoutesRead(let new):
            return routed(to: new)
        case .sourcesWereRestricted(let link):
            return ownSources.wasSet(link) ? recommit() : []
        case .forwardingRead(let new):
            return switches.observe(new, inForce: applied?.configuration)
        case .forwardingFailed(let family):
            switches.gotStuck(family)
            return []
        case .unreadable(let reason):
            return reading.failed(reason)
        case .readable:
            return reading.succeeded()
        case .touched:
            return look() + repairSoon() + readRouting()
        case .tableTouched(let touch):
            return touched(touch)
        case .committed(let changes, let microseconds):
            return committed(changes, microseconds: microseconds)
        case .notificationsLost:
            return look() + doubtAlarm() + repairSoon() + readRouting()
        case .leakSeen:
            alarm.rang()
            return repairConnections()
        case .alarmFailed(let reason):
            return alarm.failed(reason)
        case .connectionsRepaired(let deleted, let failure, let isFollowed):
            // Who was lost while it was under way is in the one that follows.
            if failure == nil, !isFollowed { routing.lost = [] }
            return deleted.lines.map { .log(.notice, $0) } + leftAlone(deleted.undecided)
                + alarm.answered(deleted: deleted.mistranslated)
                + walk.ended(failure: failure)
        case .inspected(let changes):
            return inspected(changes)
        case .foreignTouched:
            return foreign.othersCommitted()
        case .foreignTimerFired:
            return foreign.timerFired(configuration, links)
        case .foreignAudited(let report, let microseconds):
            return audited(report, microseconds: microseconds)
        case .foreignUnread(let reason):
            return foreign.unread(reason)
        case .foreignDisturbed(let microseconds):
            return foreign.disturbed(microseconds: microseconds)
        case .foreignEdited(let outcome):
            return foreign.edited(outcome, configuration, links)
        case .foreignClosed(let marks):
            foreign.closed(marks)
            return recommit()
        case .routingDumped(let state, let new):
            // The links moved on meanwhile: both again, so that what is said comes in order.
            guard new == links || applied == nil else { return dumped(new) + readRouting() }
            let news = new == links ? [] : dumped(new)
            return news + routed(by: routing.found(state, applied?.configuration, links))
        case .routingTouched:
            return readRouting()
        case .routingUnread(let reason):
            return routed(by: routing.unread(reason))
        case .routingChanged(let refusals):
            return routed(by: routing.changed(refusals, applied?.configuration, links))
        case .routingTimerFired:
            return routing.timerFired(applied?.configuration)
        case .probeAnswered(let interface):
            return routing.probeAnswered(interface)
        case .probeFailed(let interface, let reason):
            return routing.probeFailed(interface, reason, applied?.configuration)
        case .probeTimerFired:
            return routing.probeTimerFired(applied?.configuration, links)
        case .commitFailed(let failure):
            return failed(failure)
        case .retryTimerFired:
            defence.waitEnded()
            // What failed is tried again; else the file may have changed since, and nothing is to be repaired any more.
            return lastFailure == nil ? look() : commit()
        case .calmTimerFired:
            return defence.windowEnded()
        case .repairTimerFired:
            walk.settled()
            return examineConnections()
        case .alarmTimerFired:
            return hasAlarm ? alarm.silenceEnded() : []
        case .stopRequested:
            return stop()
        case .handOverRequested:
            return [
                .log(.notice, "handing over: table inet \(Ruleset.tableName) stays in force"),
                .exit(.success),
            ]
        }
    }

    /// What the own table has to remember.
    var memory: KernelMemory { switches.memory.union(foreign.memory).union(ownSources.memory) }

    /// What tells right connections from wrong ones at this moment.
    public var flowJudge: FlowJudge? {
        configuration.map {
            FlowJudge(
                $0, links, lost: routing.lost, given: foreign.mayTranslate ? given : nil,
                hasLeaked: alarm.isRinging)
        }
    }

    /// Which configuration is in force, why no other is, and how the uplinks are: one line.
    public var status: String {
        guard let configuration else { return "starting" }
        let inForce = applied?.configuration ?? configuration
        var parts: [String] = []
        if applied == nil {
            parts.append("not in force: \(lastFailure ?? "the kernel was not asked yet")")
        } else if let lastFailure {
            parts = ["in force: the previous rules", lastFailure]
        } else if defence.isWaiting {
            parts.append(
                "not as in \(inForce.origin): others change table inet \(Ruleset.tableName) again and again, and repairs wait"
            )
        } else if differing > 0 {
            parts.append("not as in \(inForce.origin): \(differing) objects differ, left as they are")
        } else {
            parts.append("in force: \(inForce.origin)")
        }
        parts.append(uplinks.status(inForce, links).summary)
        if let summary = unnamedUplinks(inForce).summary { parts.append(summary) }
        if let summary = routing.summary { parts.append(summary) }
        for family in switches.offAgainstWish(inForce) {
            parts.append("\(family.forwardingSwitch) is 0: nothing is forwarded")
        }
        if let summary = foreign.summary { parts.append(summary) }
        if !lacking.isEmpty {
            let list = lacking.sorted().map { "\($0)" }.joined(separator: ", ")
            parts.append("the kernel lacks \(list)")
        }
        if let refusal { parts.append("the reload was refused: \(refusal)") }
        return parts.joined(separator: "; ")
    }

    /// Where the default routes lead, as far as no block says anything about it.
    func unnamedUplinks(_ configuration: Configuration) -> UnnamedUplinks {
        UnnamedUplinks(
            configuration, links, defaultRoutes, isDecisive: !routing.decidesForNew(configuration))
    }

    /// Adds the status to actions where it is not what the service manager was told last.
    private mutating func announcing(_ actions: [Action]) -> [Action] {
        // Before all else: nothing that comes of the actions before it is answered any more.
        if case .exit? = actions.last {
            hasEnded = true
            return actions
        }
        for action in actions {
            switch action {
            // Its outcome will tell.
            case .commit, .inspect, .editForeign, .closeForeign, .readRouting, .changeRouting: return actions
            case .notifyReady(let status): announced = status
            default: break
            }
        }
        guard applied != nil || lastFailure != nil, status != announced else { return actions }
        announced = status
        return actions + [.notifyStatus(status)]
    }
}
