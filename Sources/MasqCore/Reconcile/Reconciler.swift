// SPDX-License-Identifier: GPL-3.0-or-later

/// The only place that decides: takes in events and says what to do about them.
///
/// It has no clock, no socket and no file, so a test of behaviour is a list of events and the actions expected.
public struct Reconciler: Sendable {
    /// The longest wait between two attempts, in milliseconds.
    public static let maximumBackoff = 60_000
    /// The first wait, in milliseconds.
    public static let minimumBackoff = 100

    private(set) var configuration: Configuration?
    private var links = Links()
    private var forwarding: [AddressFamily: Bool] = [:]
    private var memory: KernelMemory = []
    /// What the kernel has as far as is known; absent before the first commit and after a failed one.
    private var applied: Ruleset?
    private var reported = UplinkStatus()
    private var lastFailure: String?
    private var refusal: String?
    private var backoff = minimumBackoff
    private var defence = Defence()
    private var alarm = LeakAlarm()
    private var foreign = ForeignWatch()
    /// Somebody waits for READY: the service manager at start, or whoever asked for a reload.
    private var owesReady = true
    private var isStopping = false

    /// A state machine that has seen nothing yet.
    public init() {}

    /// Takes in one event and says what to do about it.
    public mutating func handle(_ event: Event) -> [Action] {
        guard !isStopping else { return [] }
        switch event {
        case .configurationLoaded(let new):
            return load(new)
        case .configurationRefused(let reason):
            refusal = reason
            return [.notifyReady(status: status)]
        case .memoryFound(let found):
            memory.formUnion(found)
            return []
        case .linksDumped(let new):
            return dumped(new)
        case .forwardingRead(let new):
            let warnings = observe(new)
            return warnings + switchOn()
        case .touched:
            return look() + repairConnections()
        case .tableTouched(let touch):
            return touched(touch)
        case .committed(let changes, let microseconds):
            return committed(changes, microseconds: microseconds)
        case .leakSeen:
            alarm.isRinging = true
            return repairConnections()
        case .connectionsRepaired(let deleted, let example):
            return repaired(deleted, example)
        case .inspected(let changes):
            return inspected(changes)
        case .foreignTouched:
            return foreign.touched(configuration)
        case .foreignTimerFired:
            return foreign.timerFired(configuration, links)
        case .foreignAudited(let findings, let microseconds):
            let news = foreign.audited(findings, microseconds: microseconds)
            return news.isEmpty || owesReady ? news : news + [.notifyStatus(status)]
        case .commitFailed(let failure):
            return failed(failure)
        case .retryTimerFired:
            defence.isWaiting = false
            return commit()
        case .calmTimerFired:
            return defence.windowEnded()
        case .alarmTimerFired:
            alarm.isRinging = false
            return [.rearmLeakAlarm]
        case .stopRequested:
            return stop()
        case .handOverRequested:
            isStopping = true
            return [
                .log(.notice, "handing over: table inet \(Ruleset.tableName) stays in force"),
                .exit(.success),
            ]
        }
    }

    /// What tells right connections from wrong ones at this moment.
    public var flowJudge: FlowJudge? { configuration.map { FlowJudge($0, links) } }

    /// Which configuration is in force, why no other is, and how the uplinks are: one line.
    public var status: String {
        guard let configuration else { return "starting" }
        var parts = ["in force: \(configuration.origin)"]
        if applied == nil { parts = ["not in force: \(lastFailure ?? "the kernel was not asked yet")"] }
        parts.append(UplinkStatus(configuration, links).summary)
        for family in isOffAgainstWish {
            parts.append("\(family.forwardingSwitch) is 0: nothing is forwarded")
        }
        if let summary = foreign.summary { parts.append(summary) }
        if let refusal { parts.append("the reload was refused: \(refusal)") }
        return parts.joined(separator: "; ")
    }
}

// Each of these is one event's answer.
extension Reconciler {
    private mutating func load(_ new: Configuration) -> [Action] {
        if new.gateway.ipForward == .require,
            let family = new.families.first(where: { forwarding[$0] == false })
        {
            let reason = "\(family.forwardingSwitch) is 0, and [gateway] ip_forward = \"require\""
            guard configuration != nil else { return [.log(.error, reason), .exit(.unavailable)] }
            refusal = reason
            return [
                .log(.error, "\(reason): keeping the previous configuration"), .notifyReady(status: status),
            ]
        }
        configuration = new
        refusal = nil
        owesReady = true
        backoff = Self.minimumBackoff
        if new.gateway.ipForward == .manage {
            for family in new.families where forwarding[family] == false {
                memory.insert(.forwardingWasOff(family))
            }
        } else {
            // Whoever takes the switches over decides about them from now on.
            memory = []
        }
        return commit()
    }

    private func commit() -> [Action] {
        guard let configuration else { return [] }
        return [.commit(.desired(configuration, memory: memory))]
    }

    /// Compare and mend as far as the configuration wants it, even where nothing should have changed.
    private mutating func look() -> [Action] {
        guard let configuration, !defence.isWaiting else { return news() }
        // What was never in force is not somebody else's change.
        if applied == nil { return commit() }
        switch configuration.reconcile.mode {
        case .repair: return commit()
        case .report: return news() + [.inspect(.desired(configuration, memory: memory))]
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
        return changes == 0 ? [] : defence.reported(changes)
    }

    private mutating func dumped(_ new: Links) -> [Action] {
        guard let configuration else {
            links = new
            return []
        }
        let before = UplinkStatus(configuration, links)
        links = new
        let isNews = UplinkStatus(configuration, links) != before
        let audit = foreign.moved(configuration, links)
        return look() + (isNews ? repairConnections() : []) + audit
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
        guard let configuration else { return [] }
        var actions: [Action] = []
        let ruleset = Ruleset.desired(configuration, memory: memory)
        if changes > 0, applied == ruleset {
            actions += defence.repaired(changes, microseconds: microseconds)
        } else if lastFailure != nil {
            actions.append(.log(.notice, "the rules are in force again"))
        }
        defence.touch = nil
        let isRepair = changes > 0
        applied = ruleset
        lastFailure = nil
        backoff = Self.minimumBackoff
        actions += switchOn()

        let news = news()
        actions += news
        if owesReady {
            owesReady = false
            actions.append(.notifyReady(status: status))
            actions += foreign.audit(configuration, links)
        } else if !news.isEmpty {
            actions.append(.notifyStatus(status))
        }
        // At start too: what began before the rules were there is untranslated for ever.
        return isRepair ? actions + repairConnections() : actions
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
        isStopping = true
        var actions: [Action] = []
        // First the switches: between the two steps nothing can leave untranslated.
        for family in AddressFamily.allCases
        where memory.contains(.forwardingWasOff(family)) && forwarding[family] == true {
            actions.append(.setForwarding(family, false))
            actions.append(.log(.info, "\(family.forwardingSwitch) is 0 again, as it was"))
        }
        return actions + [
            .removeTable, .log(.notice, "table inet \(Ruleset.tableName) is removed"), .exit(.success),
        ]
    }
}

// The forwarding switches.
extension Reconciler {
    /// Families that are configured and can't forward although they should.
    private var isOffAgainstWish: [AddressFamily] {
        guard let configuration, configuration.gateway.ipForward != .ignore else { return [] }
        return configuration.families.filter { forwarding[$0] == false }
    }

    private mutating func observe(_ new: [AddressFamily: Bool]) -> [Action] {
        let before = forwarding
        forwarding = new
        guard applied != nil, let configuration else { return [] }
        return isOffAgainstWish.filter { before[$0] == true }.map { family in
            let consequence =
                configuration.gateway.ipForward == .manage
                ? "setting it to 1 again" : "nothing is forwarded until it is 1 again"
            return .log(.warning, "somebody set \(family.forwardingSwitch) to 0: \(consequence)")
        }
    }

    /// Only when the rules are there: before, forwarding would let private addresses out.
    private mutating func switchOn() -> [Action] {
        guard applied != nil, configuration?.gateway.ipForward == .manage else { return [] }
        return isOffAgainstWish.map { family in
            forwarding[family] = true
            return .setForwarding(family, true)
        }
    }
}

extension Configuration {
    /// The families that anything is masqueraded in.
    var families: [AddressFamily] {
        AddressFamily.allCases.filter { family in
            masquerades.contains { $0.source.contains { $0.family == family } }
        }
    }
}

extension AddressFamily {
    /// The sysctl that switches forwarding on.
    var forwardingSwitch: String {
        self == .ipv4 ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding"
    }
}

extension Configuration.Origin: CustomStringConvertible {
    /// The path, or "the command line".
    public var description: String {
        switch self {
        case .file(let path): path
        case .commandLine: "the command line"
        }
    }
}
