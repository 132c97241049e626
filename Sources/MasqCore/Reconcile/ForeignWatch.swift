// SPDX-License-Identifier: GPL-3.0-or-later

/// What is known of others' tables, and when to look at them again.
struct ForeignWatch: Sendable {
    /// How long nobody must have committed anything before masqd looks, in milliseconds.
    ///
    /// firewalld's reload is five commits, with a table between them that drops everything.
    static let delayMilliseconds = 250
    /// After so many delays masqd looks although somebody never stops.
    static let maximumDelays = 8

    /// A look that takes long is rare: the next one waits for so many times as long.
    static let rest = 20

    /// How long the last look took.
    private var costMilliseconds = 0
    private var findings: [ForeignFinding] = []
    private var delays = 0
    private var wasTouchedAgain = false
    /// The traffic that the findings are about.
    private var audited: ForeignAudit?

    /// Looks now: at start, and at reload.
    mutating func audit(_ configuration: Configuration, _ links: Links) -> [Action] {
        guard configuration.forward.foreignDrop == .report else {
            self = ForeignWatch()
            return []
        }
        let audit = ForeignAudit(configuration, links)
        audited = audit
        return [.auditForeign(audit)]
    }

    /// Somebody changed something: looks once he is done with it.
    mutating func touched(_ configuration: Configuration?) -> [Action] {
        guard configuration?.forward.foreignDrop == .report, audited != nil else { return [] }
        wasTouchedAgain = delays > 0
        return wasTouchedAgain ? [] : delay()
    }

    mutating func timerFired(_ configuration: Configuration?, _ links: Links) -> [Action] {
        guard let configuration, audited != nil else { return [] }
        let waited = delays * max(Self.delayMilliseconds, Self.rest * costMilliseconds)
        if wasTouchedAgain, waited < Self.maximumDelays * Self.delayMilliseconds { return delay() }
        delays = 0
        return audit(configuration, links)
    }

    private mutating func delay() -> [Action] {
        wasTouchedAgain = false
        delays += 1
        return [.startForeignTimer(milliseconds: max(Self.delayMilliseconds, Self.rest * costMilliseconds))]
    }

    /// Links came, went or got another address: looks again if that makes the traffic look different.
    mutating func moved(_ configuration: Configuration, _ links: Links) -> [Action] {
        guard let audited, ForeignAudit(configuration, links) != audited else { return [] }
        return touched(configuration)
    }

    /// Says what is new and what is gone; nothing twice.
    mutating func audited(_ new: [ForeignFinding], microseconds: Int) -> [Action] {
        guard audited != nil else { return [] }
        costMilliseconds = microseconds / 1000
        let old = findings
        findings = new
        var actions: [Action] = new.filter { !old.contains($0) }.map { .log($0.severity, "\($0)") }
        for finding in old where !new.contains(where: { $0.baseChain == finding.baseChain }) {
            let what = finding.isDrop ? "drops" : "translates"
            actions.append(
                .log(
                    .notice,
                    "\(finding.baseChain) (\(finding.owner)) \(what) masqueraded traffic no more"))
        }
        return actions
    }

    /// A few words for a status line, where traffic fails.
    var summary: String? {
        let drops = findings.filter(\.isDrop)
        guard let first = drops.first else { return nil }
        let more = drops.count == 1 ? "" : " and \(drops.count - 1) more"
        return "\(first.baseChain) (\(first.owner))\(more) drops masqueraded traffic"
    }
}

extension ForeignFinding {
    /// A drop makes the gateway useless, a translation by somebody else only its options.
    fileprivate var severity: Action.Severity {
        switch kind {
        case .dropsOutward, .dropsAnswers, .dropsBoth: .warning
        case .translates: .notice
        case .mayTranslate: .info
        }
    }
}
