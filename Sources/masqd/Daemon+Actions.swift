// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore
import MasqKernel

// What the reconciler decided is done here, and what comes of it is told to it.
extension Daemon {
    mutating func handle(_ event: Event) {
        var stuck: [AddressFamily] = []
        for action in reconciler.handle(event) {
            if case .setForwarding(let family, let isOn) = action {
                if !setForwarding(family, isOn) { stuck.append(family) }
            } else {
                perform(action)
            }
        }
        // Behind READY, whose status does not know of it yet.
        for family in stuck { handle(.forwardingFailed(family)) }
    }

    private mutating func perform(_ action: Action) {
        switch action {
        case .commit(let ruleset):
            commit(ruleset)
        case .repairConnections: askForWalk()
        case .rearmLeakAlarm:
            do {
                try table.rearmLeakAlarm()
            } catch {
                handle(.alarmFailed(reason: "\(error)"))
            }
        case .inspect(let ruleset):
            do {
                handle(.inspected(changes: try table.comparison(with: ruleset).changes.count))
            } catch {
                log(.error, "\(error): can't tell whether the rules are as they should be")
            }
        case .removeTable:
            do {
                try table.remove()
            } catch {
                log(.error, "\(error): the rules stay in force")
                finish(.system)
            }
        case .setForwarding: break  // above
        case .restrictSources(let link, let name, let isOn): restrictSources(of: link, name, isOn)
        case .auditForeign(let audit): foreignLook.begin(audit)
        case .editForeign(let edits, let generation):
            handle(.foreignEdited(foreignEditor.perform(edits, generation: generation)))
        case .closeForeign(let marks):
            do {
                try foreignEditor.removeAll(accepting: marks)
                leftovers.remove(.foreignRules)
                handle(.foreignClosed(marks: marks))
            } catch {
                log(.error, "\(error): rules of masqd's stay in others' chains")
                leftovers.insert(.foreignRules)
            }
        case .readRouting(let tables):
            routingTables = tables
            agenda.ask(for: .routing)
        case .changeRouting(let changes):
            do {
                handle(.routingChanged(refusals: try policyRouting.apply(changes)))
            } catch {
                handle(.routingChanged(refusals: changes.map { RoutingRefusal($0, reason: "\(error)") }))
            }
        case .removeRouting:
            do {
                let refusals = try policyRouting.removeAll()
                for refusal in refusals { log(.error, "\(refusal.reason): it stays") }
                if refusals.isEmpty { leftovers.remove(.routing) } else { leftovers.insert(.routing) }
            } catch {
                log(.error, "\(error): masqd's rules and routes for [[uplink]] stay")
                leftovers.insert(.routing)
            }
        case .sendProbes(let probes):
            for (interface, error) in probeConnections.begin(probes) {
                handle(.probeFailed(interface: interface, reason: "\(error)"))
            }
        case .startRoutingTimer(let milliseconds): routingTimer.start(milliseconds: milliseconds)
        case .startProbeTimer(let milliseconds): probeTimer.start(milliseconds: milliseconds)
        case .startForeignTimer(let milliseconds): foreignTimer.start(milliseconds: milliseconds)
        case .startReadingTimer(let milliseconds): readingTimer.start(milliseconds: milliseconds)
        case .startRetryTimer(let milliseconds): retryTimer.start(milliseconds: milliseconds)
        case .startCalmTimer(let milliseconds): calmTimer.start(milliseconds: milliseconds)
        case .startAlarmTimer(let milliseconds): alarmTimer.start(milliseconds: milliseconds)
        case .startRepairTimer(let milliseconds): repairTimer.start(milliseconds: milliseconds)
        case .log(let severity, let message): log(severity, message)
        case .accuse(let severity, let culprit, let deed):
            log(severity, "\(ProcessName.describe(process: culprit.process, name: culprit.name)) \(deed)")
        // Of an earlier reload, while another one waits: whoever asked for that one would take it for his answer.
        case .notifyReady(let status) where agenda.isAsked(for: .reload): manager.status(status)
        case .notifyReady(let status):
            manager.ready(status: status)
            answerAgainLater()
        case .notifyStatus(let status): manager.status(status)
        case .exit(let status): finish(status == .success && !leftovers.isEmpty ? .system : status)
        }
    }

    /// Where the manager has had no room for what it waits for: without a watchdog nothing might be said for hours.
    func answerAgainLater() {
        guard manager.owesAnswer, manager.watchdogIntervalMilliseconds == nil else { return }
        watchdogTimer.start(milliseconds: 1000)
    }

    private mutating func commit(_ ruleset: Ruleset) {
        let outcome: Event
        do {
            let start = ContinuousClock.now
            let changes = try table.apply(ruleset)
            outcome = .committed(changes: changes.count, microseconds: Self.microseconds(since: start))
        } catch {
            outcome = .commitFailed(error.commitFailure)
        }
        let wasDisturbed = table.wasDisturbed
        handle(outcome)
        reportDialect()
        guard wasDisturbed else { return }
        // Whoever it was, it may have been about the own table, or about his own. What failed is tried again anyway.
        if case .committed = outcome {
            handle(.tableTouched(ForeignTouch(deletesTable: false, culprit: Culprit())))
        }
        handle(.foreignTouched)
    }

    private static func microseconds(since start: ContinuousClock.Instant) -> Int {
        let elapsed = start.duration(to: .now).components
        return Int(elapsed.seconds) * 1_000_000 + Int(elapsed.attoseconds / 1_000_000_000_000)
    }

    /// Sets `use_oif_addrs_only` of a link that may be gone by now.
    private mutating func restrictSources(of link: Int32, _ name: InterfaceName, _ isOn: Bool) {
        do {
            if isOn, try Sysctl.usesOwnSourcesOnly(name) { return handle(.sourcesWereRestricted(link: link)) }
            try Sysctl.setUsesOwnSourcesOnly(name, isOn)
        } catch {
            guard error.code != ENOENT else { return }
            let consequence = "when \(name) loses its IPv6 address, packets may leave with another link's"
            log(.warning, "\(error): \(consequence)")
        }
    }

    /// Sets a switch, or says why it can't be.
    private func setForwarding(_ family: AddressFamily, _ isOn: Bool) -> Bool {
        do {
            try Forwarding.set(family, isOn)
            if !isOn { log(.info, "\(family.forwardingSwitch) is 0 again, as it was") }
            return true
        } catch {
            log(.error, "\(error): \(isOn ? "nothing is forwarded until it is 1" : "it stays as it is")")
            return false
        }
    }

    mutating func lookAtOthers() {
        switch foreignLook.step() {
        case .audited(let report, let microseconds):
            handle(.foreignAudited(report, microseconds: microseconds))
        case .disturbed(let microseconds): handle(.foreignDisturbed(microseconds: microseconds))
        case .failed(let error, _): handle(.foreignUnread(reason: "\(error)"))
        case nil: break
        }
    }

    private mutating func reportDialect() {
        guard table.answersDifferently, !hasReportedDialect else { return }
        hasReportedDialect = true
        log(.info, "this kernel writes some rules in a way of its own; that is the reference from now on")
    }
}
