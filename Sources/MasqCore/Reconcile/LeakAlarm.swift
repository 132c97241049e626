// SPDX-License-Identifier: GPL-3.0-or-later

/// When the leak guard may ring again: each ring is answered by a walk through all connections, so not at any rate.
///
/// A ring can be lost: it comes once, while masqd commits and does not listen, when no buffer holds it, or before this
/// process was there. So the alarm is armed anew wherever one may have been, and is never deaf for good.
struct LeakAlarm: Sendable {
    /// The shortest silence after a ring, in milliseconds: while there is something to mend.
    static let minimumSilence = 1000
    /// The longest silence, in milliseconds: when rings only come from what can't be mended.
    static let maximumSilence = 60_000

    private var state = State.armed
    private var silence = minimumSilence
    /// So many attempts to arm it have failed in a row.
    private var failures = 0

    private enum State {
        case armed
        /// It rang, and the walk that answers it is not over.
        case ringing
        /// A timer runs, and then it is armed again.
        case silent
    }

    /// Whether it rang, and the walk that answers it is not over.
    var isRinging: Bool { state == .ringing }

    /// It rang.
    mutating func rang() {
        state = .ringing
        failures = 0
    }

    /// The walk is over: after a silence the alarm is armed again.
    mutating func answered(deleted: Int) -> [Action] {
        guard state == .ringing else { return [] }
        return fallSilent(deleted > 0 ? Self.minimumSilence : min(silence * 2, Self.maximumSilence))
    }

    /// The silence is over.
    mutating func silenceEnded() -> [Action] {
        state = .armed
        return [.rearmLeakAlarm]
    }

    /// The rules are others than before: what rang then says nothing of what leaks now.
    mutating func renewed() -> [Action] {
        silence = Self.minimumSilence
        if state == .silent { state = .armed }
        return doubted()
    }

    /// A ring may have been lost.
    func doubted() -> [Action] { state == .armed ? [.rearmLeakAlarm] : [] }

    /// The kernel did not arm it.
    mutating func failed(_ reason: String) -> [Action] {
        failures += 1
        // Once is no news: somebody may just have deleted the table, and masqd restores it and arms the alarm then.
        let line = Action.log(.warning, "\(reason): leaks are dropped, but not mended")
        return (failures == 2 ? [line] : []) + fallSilent(min(silence * 2, Self.maximumSilence))
    }

    private mutating func fallSilent(_ milliseconds: Int) -> [Action] {
        state = .silent
        silence = milliseconds
        return [.startAlarmTimer(milliseconds: milliseconds)]
    }
}
