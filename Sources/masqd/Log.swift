// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore
import MasqKernel

/// Standard error, a line at a time; with a priority before each where the journal reads it.
///
/// Nobody is waited for: a log that nobody reads must not keep a gateway from its work. Lines that are not
/// taken are counted, and so are those that come faster than a person could want to read them; how many they
/// were is told as soon as a line is taken again.
struct Log {
    private let isJournal: Bool
    private let state: State

    /// What changes; masqd has one thread.
    private final class State: @unchecked Sendable {
        var stream = LineStream(STDERR_FILENO)
        var unread = 0
        var tooMany = 0
        /// Warnings and errors have one of their own: no flood of news hides them.
        var news = LineBudget()
        var warnings = LineBudget()
    }

    init() {
        state = State()
        // $JOURNAL_STREAM is the device and inode of the stream that the journal reads (systemd.exec(5)); a
        // standard error that was redirected elsewhere is another.
        var status = stat()
        guard fstat(STDERR_FILENO, &status) == 0, let stream = getenv("JOURNAL_STREAM") else {
            isJournal = false
            return
        }
        isJournal = String(cString: stream) == "\(status.st_dev):\(status.st_ino)"
    }

    func callAsFunction(_ severity: Action.Severity, _ message: String) {
        let now = Self.now
        let isFree =
            severity.isBad ? state.warnings.take(now: now) : state.news.take(now: now)
        guard isFree else {
            state.tooMany += 1
            return
        }
        tellMissing()
        if state.unread > 0 || !write(severity, message) { state.unread += 1 }
    }

    func callAsFunction(_ diagnostic: Diagnostic) {
        switch diagnostic.severity {
        case .error: self(.error, "\(diagnostic)")
        case .warning: self(.warning, "\(diagnostic)")
        }
    }

    /// Says how many lines are missing before the next, if that is read.
    private func tellMissing() {
        if state.unread > 0, write(.warning, Self.missing(state.unread, "nobody read them")) {
            state.unread = 0
        }
        if state.unread == 0, state.tooMany > 0,
            write(.warning, Self.missing(state.tooMany, "there were too many in a short time"))
        {
            state.tooMany = 0
        }
    }

    private static func missing(_ count: Int, _ why: String) -> String {
        "\(count == 1 ? "1 line" : "\(count) lines") of the log are missing here: \(why)"
    }

    /// Whatever a message quotes from outside, it is one line, and begins with what masqd puts there: at the
    /// beginning of a line the journal would take `<0>` for a priority (sd-daemon(3)).
    private func write(_ severity: Action.Severity, _ message: String) -> Bool {
        state.stream.write((isJournal ? "<\(severity.rawValue)>" : "masqd: ") + message.printableLine)
    }

    private static var now: Int {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC_COARSE, &time)
        return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    }
}

extension Action.Severity {
    fileprivate var isBad: Bool {
        switch self {
        case .error, .warning: true
        case .notice, .info: false
        }
    }
}
