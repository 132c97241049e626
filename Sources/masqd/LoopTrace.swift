// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore
import MasqKernel

/// With `MASQD_TRACE=loop`, says which work begins, and what held the loop up for more than a millisecond.
///
/// The time is that between two returns of epoll: whatever rings meanwhile waits for so long.
struct LoopTrace {
    private let isOn: Bool
    private let log: Log
    private var begin = 0
    private var beginUsed = 0
    /// What the turn under way consists of.
    private var parts: [String] = []

    /// Turns shorter than this are not worth a word, in microseconds.
    private static let shortest = 1000

    init(_ log: Log) {
        isOn = getenv("MASQD_TRACE").map { String(cString: $0) } == "loop"
        self.log = log
    }

    mutating func turnBegins(_ part: @autoclosure () -> String) {
        guard isOn else { return }
        parts = [part()]
        beginUsed = Clock.used
        begin = Clock.now
    }

    mutating func begins(_ work: Agenda.Work) {
        guard isOn else { return }
        parts.append("\(work)")
        log(.info, "trace: begins \(work)")
    }

    func notes(_ deed: String) {
        if isOn { log(.info, "trace: \(deed)") }
    }

    mutating func goesOn(_ work: Agenda.Work) {
        guard isOn else { return }
        parts.append("\(work)")
    }

    func turnEnds() {
        guard isOn else { return }
        let (time, used) = (Clock.now - begin, Clock.used - beginUsed)
        guard time > Self.shortest else { return }
        log(.info, "trace: held up for \(time) us (\(used) us of CPU) by \(parts.joined(separator: ", "))")
    }
}
