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

    private(set) var configuration: Configuration?
    /// What should be in the kernel for it; one value, since the networks in it may be many.
    private var desired: Ruleset?
    private var links = Links()
    private var switches = ForwardingSwitches()
    /// What the kernel refused, and is left out until the next configuration.
    private var lacking: Set<KernelFeature> = []
    /// What the kernel took last; absent before the first commit that succeeded.
    private var applied: (ruleset: Ruleset, configuration: Configuration)?
    private var reported = UplinkStatus()
    private var lastFailure: String?
    private var refusal: String?
    private var backoff = minimumBackoff
    private var defence = Defence()
    private var alarm = LeakAlarm()
    private var foreign = ForeignWatch()
    private var routing = UplinkRouting()
    /// Somebody waits for READY: the service manager at start, or whoever asked for a reload.
    private var owesReady = true
    private var hasEnded = false
    /// The status that the service manager was told last.
    private var announced: String?
    /// So many objects were found changed, and left so.
    private var differing = 0

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
            switches.memory.formUnion(found.subtracting(found.ofOpening))
            foreign.found(found)
            desire()
            return []
        case .linksDumped(let new):
            return dumped(new) + readRouting()
        case .forwardingRead(let new):
            return switches.observe(new, inForce: applied?.configuration)
        case .forwardingFailed(let family):
            switches.gotStuck(family)
            return []
        case .touched:
            return look() + repairSoon() + readRouting()
        case .tableTouched(let touch):
            return touched(touch)
        case .committed(let changes, let microseconds):
            return committed(changes, microseconds: microseconds)
        case .leakSeen:
            alarm.isRinging = true
            return repairConnections()
        case .connectionsRepaired(let deleted, let example, let lost):
            return repaired(deleted, example) + routing.deleted(lost)
        case .inspected(let changes):
            return inspected(changes)
        case .foreignTouched:
            return foreign.touched()
        case .foreignTimerFired:
            return foreign.timerFired(configuration, links)
        case .foreignAudited(let report, let microseconds):
            return audited(report, microseconds: microseconds)
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
        case .routingChanged(let failure):
            return routed(by: routing.changed(failure: failure))
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
            defence.isWaiting = false
            // What failed is tried again; else the file may have changed since, and nothing is to be repaired any more.
            return lastFailure == nil ? look() : commit()
        case .calmTimerFired:
            return defence.windowEnded()
        case .repairTimerFired:
            return repairConnections()
        case .alarmTimerFired:
            alarm.isRinging = false
            return [.rearmLeakAlarm]
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
    private var memory: KernelMemory { switches.memory.union(foreign.memory) }

    /// What tells right connections from wrong ones at this moment.
    public var flowJudge: FlowJudge? { configuration.map { FlowJudge($0, links, lost: routing.lost) } }

    /// Which configuration is in force, why no other is, and how the uplinks are: one line.
    public var status: String {
        guard let configuration else { return "starting" }
        let inForce = applied?.configuration ?? configuration
        var parts: [String] = []
        if applied == nil {
            parts.append("not in force: \(lastFailure ?? "the kernel was not asked yet")")
        } else if let lastFailure {
            parts = ["in force: the previous rules", lastFailure]
        } else if differing > 0 {
            parts.append("not as in \(inForce.origin): \(differing) objects differ, left as they are")
        } else {
            parts.append("in force: \(inForce.origin)")
        }
        parts.append(UplinkStatus(inForce, links).summary)
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

// Each of these is one event's answer.
extension Reconciler {
    private mutating func load(_ new: Configuration) -> [Action] {
        if let family = switches.missing(for: new) {
            let reason = "\(family.forwardingSwitch) is 0, and [gateway] ip_forward = \"require\""
            guard configuration != nil else { return [.log(.error, reason), .exit(.unavailable)] }
            return [.log(.error, "\(reason): keeping the previous configuration")] + refuse(reason)
        }
        var new = new
        routing.load(&new)
        configuration = new
        refusal = nil
        owesReady = true
        backoff = Self.minimumBackoff
        switches.load(new)
        foreign.load(new)
        // What it lacked before may be there by now.
        lacking = []
        return recommit()
    }

    private mutating func audited(_ report: ForeignReport, microseconds: Int) -> [Action] {
        guard let configuration else { return [] }
        let (actions, needsCommit) = foreign.audited(report, configuration, microseconds: microseconds)
        if needsCommit { return actions + recommit() }
        return actions
    }

    /// The ruleset is another one now.
    private mutating func recommit() -> [Action] {
        desire()
        return commit()
    }

    private mutating func desire() {
        desired = configuration.map { .desired($0, memory: memory, without: lacking) }
        desired?.follow(links)
    }

    /// READY would claim that rules are in force: where none are yet, it is still to come.
    private mutating func refuse(_ reason: String) -> [Action] {
        refusal = reason
        return applied == nil ? [] : [.notifyReady(status: status)]
    }

    private func commit() -> [Action] {
        desired.map { [.commit($0)] } ?? []
    }

    /// Compare and mend as far as the configuration wants it, even where nothing should have changed.
    private mutating func look() -> [Action] {
        guard let configuration, let ruleset = desired, !defence.isWaiting else { return news() }
        // What was never in force is not somebody else's change.
        if applied?.ruleset != ruleset { return [.commit(ruleset)] }
        switch configuration.reconcile.mode {
        case .repair: return [.commit(ruleset)]
        case .report: return news() + [.inspect(ruleset)]
        case .off: return news()
        }
    }

    private mutating func touched(_ touch: ForeignTouch) -> [Action] {
        guard configuration?.reconcile.mode != .off else { return [] }
        defence.touch = touch
        if configuration?.reconcile.mode == .repair, let delay = defence.delayMilliseconds {
            guard !defence.isWaiting else { return [] }
            defence.isWaiting = true
            return [.startRetryTimer(milliseconds: delay)]
        }
        return look()
    }

    private mutating func inspected(_ changes: Int) -> [Action] {
        defer { defence.touch = nil }
        differing = changes
        return defence.reported(changes)
    }

    private mutating func dumped(_ new: Links) -> [Action] {
        guard let configuration else {
            links = new
            return []
        }
        let before = UplinkStatus(configuration, links)
        links = new
        desired?.follow(links)
        let isNews = UplinkStatus(configuration, links) != before
        let audit = foreign.moved(configuration, links)
        return look() + (isNews ? repairSoon() : []) + audit
    }

    /// Addresses and routes come in a row when a link comes up, and each look at the connections costs the kernel 10 ms.
    private func repairSoon() -> [Action] {
        repairConnections().isEmpty ? [] : [.startRepairTimer(milliseconds: Self.settlingMilliseconds)]
    }

    /// Only when the rules are there: before, a connection would be born wrong again.
    private func repairConnections() -> [Action] {
        applied != nil && configuration?.conntrack.repair == true ? [.repairConnections] : []
    }

    private mutating func repaired(_ deleted: Int, _ example: Flow?) -> [Action] {
        var actions: [Action] = []
        if deleted > 0, let example {
            let which =
                example.translatedSource == example.source
                ? "\(example) was untranslated" : "\(example) kept the address \(example.translatedSource)"
            let count = deleted == 1 ? "1 connection" : "\(deleted) connections"
            actions.append(.log(.notice, "\(count) deleted, to be translated anew: \(which)"))
        }
        return actions + alarm.answered(deleted: deleted)
    }

    private mutating func committed(_ changes: Int, microseconds: Int) -> [Action] {
        guard let configuration, let ruleset = desired else { return [] }
        var actions: [Action] = []
        if changes > 0, applied?.ruleset == ruleset {
            actions += defence.repaired(changes, microseconds: microseconds)
        } else if lastFailure != nil {
            actions.append(.log(.notice, "the rules are in force\(applied == nil ? "" : " again")"))
        }
        defence.touch = nil
        let isRepair = changes > 0
        differing = 0
        let hasOtherUplinks = applied.map { !$0.configuration.hasUplinks(of: configuration) } ?? true
        applied = (ruleset, configuration)
        lastFailure = nil
        backoff = Self.minimumBackoff
        actions += switches.switchOn(configuration)

        actions += news()
        if owesReady {
            let extent = changes == 0 ? ": nothing had to change" : ""
            actions.append(.log(.info, "\(configuration.origin) is in force\(extent)"))
            // Who waits for READY may rely on the uplinks' routes too.
            actions += routing.isNeeded(for: configuration) ? readRouting() : ready()
        } else if hasOtherUplinks {
            actions += readRouting()
        }
        actions += foreign.committed(configuration, links)
        // At start too: what began before the rules were there is untranslated for ever.
        // Not at once: the kernel takes 10 ms to list even an empty table, and another reload may be waiting.
        let delay = Action.startRepairTimer(milliseconds: Self.repairDelayMilliseconds)
        return isRepair && configuration.conntrack.repair ? actions + [delay] : actions
    }

    /// Tells who waits that all is in force.
    private mutating func ready() -> [Action] {
        guard owesReady, let inForce = applied?.configuration, lastFailure == nil else { return [] }
        owesReady = false
        return [.notifyReady(status: status)] + foreign.audit(inForce, links)
    }

    /// A look at policy routing, where it is needed.
    private func readRouting() -> [Action] {
        guard let inForce = applied?.configuration, routing.isNeeded(for: inForce) else { return [] }
        return [routing.read(for: inForce)]
    }

    /// What comes of policy routing, and READY where it was the last to wait for.
    private mutating func routed(by actions: [Action]) -> [Action] {
        let isUnderWay = actions.contains { if case .changeRouting = $0 { true } else { false } }
        return isUnderWay ? actions : actions + ready()
    }

    /// What changed for the user since he was last told.
    private mutating func news() -> [Action] {
        guard let configuration else { return [] }
        let uplinks = UplinkStatus(configuration, links)
        let news = uplinks.changes(since: reported)
        reported = uplinks
        return news.map { .log(.notice, $0) }
    }

    private mutating func failed(_ failure: CommitFailure) -> [Action] {
        if let missing = failure.missing, configuration?.canDoWithout(missing) == true,
            lacking.insert(missing).inserted
        {
            desire()
            return [.log(.warning, "\(failure.reason): going on without it")] + commit()
        }
        var actions: [Action] = []
        if failure.reason != lastFailure {
            let consequence = applied == nil ? "no rules are in force" : "the previous rules stay in force"
            actions.append(.log(.error, "\(failure.reason): \(consequence)"))
        }
        lastFailure = failure.reason
        if applied == nil, owesReady {
            // At start somebody is watching, and what the kernel lacks now it will lack later.
            switch failure.kind {
            case .notPermitted: return actions + [.exit(.notPermitted)]
            case .unsupported: return actions + [.exit(.unavailable)]
            case .other: break
            }
        } else if owesReady {
            owesReady = false
            actions.append(.notifyReady(status: status))
        }
        actions.append(.startRetryTimer(milliseconds: backoff))
        backoff = min(backoff * 2, Self.maximumBackoff)
        return actions
    }

    private mutating func stop() -> [Action] {
        // First the switches: between the two steps nothing can leave untranslated.
        let close = memory.marks == 0 ? [] : [Action.closeForeign(marks: memory.marks)]
        return switches.switchBack() + close + routing.removal() + [
            .removeTable, .log(.notice, "table inet \(Ruleset.tableName) is removed"), .exit(.success),
        ]
    }
}
