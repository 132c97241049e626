// SPDX-License-Identifier: GPL-3.0-or-later

/// When the leak guard may ring again: each ring is answered by a walk through all connections, so not at any rate.
struct LeakAlarm: Sendable {
    /// The shortest silence after a ring, in milliseconds: while there is something to mend.
    static let minimumSilence = 1000
    /// The longest silence, in milliseconds: when rings only come from what can't be mended.
    static let maximumSilence = 60_000

    /// It rang, and is silent until it is armed again.
    var isRinging = false
    private var silence = minimumSilence

    /// The walk is over: after a silence the alarm is armed again.
    mutating func answered(deleted: Int) -> [Action] {
        guard isRinging else { return [] }
        silence = deleted > 0 ? Self.minimumSilence : min(silence * 2, Self.maximumSilence)
        return [.startAlarmTimer(milliseconds: silence)]
    }
}
