// SPDX-License-Identifier: GPL-3.0-or-later

// Each of these is one event's answer.
extension Reconciler {
    mutating func load(_ new: Configuration) -> [Action] {
        if let family = switches.missing(for: new) {
            let reason = "\(family.forwardingSwitch) is 0, and [gateway] ip_forward = \"require\""
            guard configuration != nil else { return [.log(.error, reason), .exit(.unavailable)] }
            return [.log(.error, "\(reason): keeping the previous configuration")] + refuse(reason)
        }
        var new = new
        routing.load(&new)
        // What another configuration looks at, or no more, is no news of the links.
        if let configuration, UplinkStatus(configuration, links) == reported {
            reported = UplinkStatus(new, links).among(reported)
        }
        configuration = new
        given.note(new, links)
        refusal = nil
        reportedDoubts = []
        owesReady = true
        backoff = Self.minimumBackoff
        switches.load(new)
        foreign.load(new)
        // What it lacked before may be there by now.
        lacking = []
        return recommit()
    }

    /// Connections that look wrong were left alone: told once for each cause, until the next configuration.
    mutating func leftAlone(_ flows: UndecidedFlows) -> [Action] {
        // Causes are few; what names them is not.
        guard let doubt = flows.example?.doubt, let line = flows.line, reportedDoubts.count < 64,
            reportedDoubts.insert(doubt).inserted
        else { return [] }
        return [.log(.notice, line)]
    }

    mutating func audited(_ report: ForeignReport, microseconds: Int) -> [Action] {
        guard let configuration else { return [] }
        let (actions, needsCommit) = foreign.audited(report, configuration, microseconds: microseconds)
        if needsCommit { return actions + recommit() }
        // A first walk that came before the first look has spared what it could not tell from others' translations.
        return actions + (foreign.takeFirstAnswer() ? repairSoon() : [])
    }

    /// The ruleset is another one now.
    mutating func recommit() -> [Action] {
        desire()
        return commit()
    }

    mutating func desire() {
        if let configuration { _ = ownSources.remember(configuration, links) }
        desired = configuration.map { .desired($0, memory: memory, without: lacking) }
        desired?.follow(links, defaultRoutes)
    }

    /// READY would claim that rules are in force: where none are yet, it is still to come.
    mutating func refuse(_ reason: String) -> [Action] {
        refusal = reason
        return applied == nil ? [] : [.notifyReady(status: status)]
    }

    func commit() -> [Action] {
        desired.map { [.commit($0)] } ?? []
    }

    /// Compare and mend as far as the configuration wants it, even where nothing should have changed.
    mutating func look() -> [Action] {
        guard let configuration, let ruleset = desired, !defence.isWaiting else { return news() }
        // What was never in force is not somebody else's change.
        if applied?.ruleset != ruleset { return [.commit(ruleset)] }
        switch configuration.reconcile.mode {
        case .repair: return [.commit(ruleset)]
        case .report: return news() + [.inspect(ruleset)]
        case .off: return news()
        }
    }

    mutating func touched(_ touch: ForeignTouch) -> [Action] {
        guard configuration?.reconcile.mode != .off else { return [] }
        defence.touch = touch
        if configuration?.reconcile.mode == .repair, let delay = defence.delayMilliseconds {
            return defence.wait(milliseconds: delay)
        }
        return look()
    }

    mutating func inspected(_ changes: Int) -> [Action] {
        defer { defence.touch = nil }
        differing = changes
        return defence.reported(changes)
    }

    mutating func dumped(_ new: Links) -> [Action] {
        guard let configuration else {
            links = new
            return []
        }
        let before = uplinks.look(configuration, links)
        links = new
        if ownSources.remember(configuration, links) {
            desire()
        } else {
            desired?.follow(links, defaultRoutes)
        }
        given.note(configuration, links)
        let isNews = uplinks.look(configuration, links) != before
        let audit = foreign.moved(configuration, links)
        // Before the look, whose commit may be the end.
        let restrictions = applied == nil ? [] : ownSources.follow(configuration, links)
        return restrictions + look() + (isNews ? repairSoon() : []) + audit
    }

    /// The default routes are others, or the same.
    mutating func routed(to new: DefaultRoutes) -> [Action] {
        guard new != defaultRoutes else { return [] }
        defaultRoutes = new
        guard configuration != nil else { return [] }
        desired?.follow(links, defaultRoutes)
        return look()
    }

    /// Addresses and routes come in a row when a link comes up, and each look at the connections costs the kernel 10 ms.
    ///
    /// Whoever is never quiet is not waited for: after so many events the timer runs out.
    mutating func repairSoon() -> [Action] {
        guard !repairConnections().isEmpty, walk.settles() else { return [] }
        return [.startRepairTimer(milliseconds: Self.settlingMilliseconds)]
    }

    /// Looks for wrong translations, which come of whatever happens.
    func repairConnections() -> [Action] {
        configuration?.conntrack.repair == true ? examineConnections() : []
    }

    /// Only when the rules are there: before, a connection would be born wrong again.
    func examineConnections() -> [Action] {
        let isWanted = configuration?.examinesConnections == true || !routing.lost.isEmpty
        return applied != nil && isWanted ? [.repairConnections] : []
    }

    /// Whether the rules in force have the leak guard's alarm.
    var hasAlarm: Bool { applied.map { !$0.ruleset.alarms.isEmpty } ?? false }

    func doubtAlarm() -> [Action] { hasAlarm ? alarm.doubted() : [] }

    mutating func committed(_ changes: Int, microseconds: Int) -> [Action] {
        guard let configuration, let ruleset = desired else { return [] }
        var actions: [Action] = []
        if changes > 0, applied?.ruleset == ruleset {
            actions += defence.repaired(changes, microseconds: microseconds)
        } else if lastFailure != nil {
            actions.append(.log(.notice, "the rules are in force\(applied == nil ? "" : " again")"))
        }
        defence.settled()
        let isRepair = changes > 0
        differing = 0
        let isFirst = applied == nil
        let hasOtherUplinks = applied.map { !$0.configuration.hasUplinks(of: configuration) } ?? true
        applied = (ruleset, configuration)
        lastFailure = nil
        backoff = Self.minimumBackoff
        actions += switches.switchOn(configuration)
        actions += ownSources.follow(configuration, links)
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
        // While it committed masqd did not listen; and an earlier process may have heard a ring, and not answered it.
        if hasAlarm { actions += isRepair || isFirst ? alarm.renewed() : alarm.doubted() }
        // At start too: what began before the rules were there is untranslated for ever.
        // Not at once: the kernel takes 10 ms to list even an empty table, and another reload may be waiting.
        let delay = Action.startRepairTimer(milliseconds: Self.repairDelayMilliseconds)
        return (isRepair || isFirst) && configuration.examinesConnections ? actions + [delay] : actions
    }

    /// Tells who waits that all is in force.
    mutating func ready() -> [Action] {
        guard owesReady, let inForce = applied?.configuration, lastFailure == nil else { return [] }
        owesReady = false
        return [.notifyReady(status: status)] + foreign.audit(inForce, links)
    }

    /// A look at policy routing, where it is needed.
    func readRouting() -> [Action] {
        guard let inForce = applied?.configuration, routing.isNeeded(for: inForce) else { return [] }
        return [routing.read(for: inForce)]
    }

    /// What comes of policy routing, and READY where it was the last to wait for.
    mutating func routed(by actions: [Action]) -> [Action] {
        let isUnderWay = actions.contains { if case .changeRouting = $0 { true } else { false } }
        return isUnderWay ? actions : actions + news() + ready()
    }

    /// What changed for the user since he was last told.
    mutating func news() -> [Action] {
        guard let configuration else { return [] }
        let status = uplinks.look(configuration, links)
        let news = status.changes(since: reported)
        reported = status
        let unnamed = unnamedUplinks(configuration)
        defer { reportedUnnamed = unnamed }
        return news.map { .log(.notice, $0) }
            + unnamed.changes(since: reportedUnnamed, links, defaultRoutes).map { .log($0.severity, $0.line) }
    }

    mutating func failed(_ failure: CommitFailure) -> [Action] {
        if let configuration, lacking.learn(from: failure, for: configuration) {
            desire()
            return [.log(.warning, "\(failure.reason): going on without it")] + commit()
        }
        if failure.kind == .outdated, backoff == Self.minimumBackoff, !owesReady {
            // The event is on its way, and most often mends it: worth a word only where it does not, or somebody waits.
            backoff *= 2
            return [.startRetryTimer(milliseconds: Self.minimumBackoff)]
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
            case .outdated, .other: break
            }
        } else if owesReady {
            owesReady = false
            actions.append(.notifyReady(status: status))
        }
        actions.append(.startRetryTimer(milliseconds: backoff))
        backoff = min(backoff * 2, Self.maximumBackoff)
        return actions
    }

    mutating func stop() -> [Action] {
        // First the switches: between the two steps nothing can leave untranslated.
        let close = memory.marks == 0 ? [] : [Action.closeForeign(marks: memory.marks)]
        return switches.switchBack() + ownSources.release(links) + close + routing.removal(configuration) + [
            .removeTable, .log(.notice, "table inet \(Ruleset.tableName) is removed"), .exit(.success),
        ]
    }
}

extension Configuration {
    /// Whether other rules make connections wrong that are there. A lost uplink's are looked for when it is lost.
    fileprivate var examinesConnections: Bool { conntrack.repair || !clients.isOpen || !destinations.isOpen }
}
