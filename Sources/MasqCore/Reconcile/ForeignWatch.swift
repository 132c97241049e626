// SPDX-License-Identifier: GPL-3.0-or-later

/// What is known of others' tables, when to look at them again, and what is open in them.
struct ForeignWatch: Sendable {
    /// How long nobody must have committed anything before masqd looks, in milliseconds.
    ///
    /// firewalld's reload is five commits, with a table between them that drops everything.
    static let delayMilliseconds = 250
    /// After so many delays masqd looks although somebody never stops.
    static let maximumDelays = 8
    /// A look that takes long is rare: the next one waits for so many times as long.
    static let rest = 20
    /// After so many looks in a row that were of no use somebody is told.
    static let maximumDisturbances = 5
    /// A first look that took longer than this came behind the first walk through connections, in milliseconds.
    private static let quickMilliseconds = Reconciler.repairDelayMilliseconds / 2
    /// After so many times in a row that masqd's rule was gone, each time it comes back later.
    static let immediateOpenings = 20

    /// How others' chains are open, or were left by an earlier process: what the own table has to remember.
    private(set) var memory: KernelMemory = []

    /// How long the last look took.
    private var costMilliseconds = 0
    private var findings: [ForeignFinding] = []
    /// Whether others may give masqueraded traffic addresses of theirs, as far as is known.
    private(set) var mayTranslate = true
    private var delays = 0
    private var wasTouchedAgain = false
    /// A look is under way.
    private var isLooking = false
    /// So many looks in a row were of no use, since others committed something meanwhile.
    private var disturbances = 0
    /// The rest behind such a look is over, and the next one begins behind a commit: then there is the most time before another.
    private var isAligning = false
    /// It has been waited for one.
    private var isAligned = false
    /// How long the first look took, until that is told: nothing before it, or behind.
    private var firstAnswer = FirstAnswer.awaited
    /// The traffic that the findings are about.
    private var audited: ForeignAudit?
    /// Base chains that the kernel does not let masqd change.
    private var refused: Set<String> = []
    /// The edits that are under way.
    private var edits: [ForeignEdit] = []
    /// The own table has to be committed before others' chains are looked at again.
    private var awaitsCommit = false
    /// The look under way is one after masqd's own edits, and says nothing about what others do.
    private var isVerifying = false
    /// Why the last look failed, and how many did in a row.
    private var failure: String?
    private var failures = 0
    /// How many times in a row others took away what masqd put there.
    private var openings = 0

    /// Takes over what an earlier process left.
    mutating func found(_ memory: KernelMemory) { self.memory.formUnion(memory.ofOpening) }

    /// Takes over another configuration, before its rules are made.
    mutating func load(_ configuration: Configuration) {
        refused = []
        openings = 0
        if configuration.forward.foreignDrop != .open { memory = .opened(with: memory.marks) }
    }

    /// Looks now: at start, and at reload.
    mutating func audit(_ configuration: Configuration, _ links: Links) -> [Action] {
        let forward = configuration.forward
        let stale = memory.marks & ~(forward.foreignDrop == .open ? forward.mark : 0)
        return (stale == 0 ? [] : [.closeForeign(marks: stale)]) + look(configuration, links)
    }

    private mutating func look(_ configuration: Configuration, _ links: Links) -> [Action] {
        (isAligned, isAligning) = (false, false)
        guard configuration.forward.foreignDrop != .off else {
            audited = nil
            findings = []
            mayTranslate = true
            isLooking = false
            return []
        }
        isLooking = true
        let audit = ForeignAudit(configuration, links, refused: refused)
        audited = audit
        return [.auditForeign(audit)]
    }

    /// Somebody changed something, and what is not known before the next look.
    mutating func othersCommitted() -> [Action] {
        mayTranslate = true
        return touched()
    }

    /// Looks once whoever changes something is done with it.
    mutating func touched() -> [Action] {
        guard audited != nil else { return [] }
        if isAligning {
            isAligning = false
            return [.startForeignTimer(milliseconds: Self.delayMilliseconds)]
        }
        wasTouchedAgain = delays > 0
        return wasTouchedAgain ? [] : delay()
    }

    mutating func timerFired(_ configuration: Configuration?, _ links: Links) -> [Action] {
        guard let configuration, audited != nil else {
            // Or the next touch would wait for a timer that does not run.
            delays = 0
            return []
        }
        let waited = delays * pauseMilliseconds
        // One look at a time: what this one makes of the change, it will say.
        if isLooking { return delay() }
        if disturbances > 0, !isAligned {
            (isAligned, isAligning) = (true, true)
            return [.startForeignTimer(milliseconds: Self.maximumDelays * Self.delayMilliseconds)]
        }
        if wasTouchedAgain, disturbances == 0, waited < Self.maximumDelays * Self.delayMilliseconds {
            return delay()
        }
        delays = 0
        isVerifying = false
        return look(configuration, links)
    }

    private mutating func delay() -> [Action] {
        wasTouchedAgain = false
        delays += 1
        return [.startForeignTimer(milliseconds: pauseMilliseconds)]
    }

    private var pauseMilliseconds: Int {
        let peace = max(Self.delayMilliseconds, Self.rest * costMilliseconds)
        let fight = Self.delayMilliseconds << min(max(0, openings - Self.immediateOpenings), 16)
        return max(peace, min(fight, Reconciler.maximumBackoff))
    }

    /// Links came, went or got another address: looks again if that makes the traffic look different.
    mutating func moved(_ configuration: Configuration, _ links: Links) -> [Action] {
        guard let audited, ForeignAudit(configuration, links, refused: refused) != audited else { return [] }
        return touched()
    }

    /// Opens what is to be opened; then says what is new and what is gone, nothing twice.
    ///
    /// - Returns: what to do, and whether the own table needs other rules for it first.
    mutating func audited(
        _ report: ForeignReport, _ configuration: Configuration, microseconds: Int
    ) -> (actions: [Action], needsCommit: Bool) {
        guard audited != nil else { return ([], false) }
        isLooking = false
        costMilliseconds = microseconds / 1000
        mayTranslate = report.mayTranslate
        (failure, failures, disturbances) = (nil, 0, 0)
        if firstAnswer == .awaited {
            firstAnswer = costMilliseconds > Self.quickMilliseconds && !mayTranslate ? .late : .given
        }
        if configuration.forward.foreignDrop == .open {
            let mark = report.permission.isEmpty ? 0 : configuration.forward.mark
            let wanted = KernelMemory.opening(for: report.permission, with: memory.marks | mark)
            if wanted != memory {
                memory = wanted
                awaitsCommit = true
                return ([], true)
            }
            if !report.edits.isEmpty {
                edits = report.edits
                return ([.editForeign(report.edits, generation: report.generation)], false)
            }
            if !isVerifying { openings = 0 }
        }
        return (news(report.findings) + restAgain(), false)
    }

    /// Somebody changed something while masqd looked, when it was not known how long the rest behind that has to be.
    private func restAgain() -> [Action] {
        let pause = pauseMilliseconds
        return delays > 0 && pause > Self.delayMilliseconds ? [.startForeignTimer(milliseconds: pause)] : []
    }

    private enum FirstAnswer { case awaited, late, given }

    /// Whether the first look just said that nobody else translates, after connections were looked at.
    mutating func takeFirstAnswer() -> Bool {
        defer { if firstAnswer == .late { firstAnswer = .given } }
        return firstAnswer == .late
    }

    /// Others committed something while masqd looked: looks again after a rest, and where that happens each time, says so.
    mutating func disturbed(microseconds: Int) -> [Action] {
        isLooking = false
        mayTranslate = true
        guard audited != nil else { return [] }
        costMilliseconds = max(costMilliseconds, microseconds / 1000)
        disturbances += 1
        guard disturbances < Self.maximumDisturbances else {
            return unread("somebody changes the rules of others all the time")
        }
        wasTouchedAgain = false
        delays = max(delays, 1)
        return [.startForeignTimer(milliseconds: pauseMilliseconds)]
    }

    /// Others' tables could not be read: looks again, later and later, and behind the longest wait when others commit.
    mutating func unread(_ reason: String) -> [Action] {
        isLooking = false
        mayTranslate = true
        let isNews = reason != failure
        failure = reason
        failures += 1
        let line = "\(reason): can't tell whether others drop masqueraded traffic"
        let delay = max(Self.delayMilliseconds << min(failures, 16), Self.rest * costMilliseconds)
        return (isNews ? [.log(.warning, line)] : [])
            + (delay <= Reconciler.maximumBackoff ? [.startForeignTimer(milliseconds: delay)] : [])
    }

    /// The own table's rules are in force, and so the look that waited for them can be made.
    mutating func committed(_ configuration: Configuration, _ links: Links) -> [Action] {
        guard awaitsCommit else { return [] }
        awaitsCommit = false
        return look(configuration, links)
    }

    /// The edits took effect, or did not: looks again in either case.
    mutating func edited(
        _ outcome: ForeignEditOutcome, _ configuration: Configuration?, _ links: Links
    ) -> [Action] {
        guard let configuration, audited != nil else { return [] }
        defer { edits = [] }
        switch outcome {
        case .outdated: return touched()
        case .refused(let reason, let baseChain):
            refused.insert(baseChain)
            return [.log(.error, "\(reason): \(baseChain) can't be opened")] + look(configuration, links)
        case .done:
            var actions: [Action] = []
            var isInserted = false
            for edit in edits {
                guard case .insert = edit.change else { continue }
                isInserted = true
                actions.append(.log(.notice, "\(edit.reason): opened for what masqd permits"))
            }
            if isInserted {
                openings += 1
                if openings == Self.immediateOpenings {
                    let line =
                        "others took masqd's rule out of their chains \(openings) times in a row: from now on it comes back later each time"
                    actions.append(.log(.warning, line))
                }
            }
            isVerifying = true
            return actions + look(configuration, links)
        }
    }

    /// The rules for these marks are gone from all chains of others'.
    mutating func closed(_ marks: UInt32) {
        memory = .opening(for: memory.permission, with: memory.marks & ~marks)
    }

    private mutating func news(_ new: [ForeignFinding]) -> [Action] {
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
