// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore

/// Standard error, a line at a time; with a priority before each where the journal reads it.
///
/// Whoever reads too slowly is waited for once; then lines are left out until he reads again, and counted: a log that
/// nobody reads must not keep a gateway from its work.
struct Log {
    /// How long a reader is waited for, in milliseconds, if he has read everything so far.
    private static let patienceMilliseconds: CInt = 1000

    /// How many lines were left out since the last that was read; masqd has one thread.
    private nonisolated(unsafe) static var lostLines = 0

    private let isJournal: Bool

    init() {
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
        guard waitForReader() else {
            Self.lostLines += 1
            return
        }
        if Self.lostLines > 0 {
            let count = Self.lostLines == 1 ? "1 line" : "\(Self.lostLines) lines"
            Self.lostLines = 0
            write(.warning, "\(count) of the log are missing here: nobody read them")
        }
        write(severity, message)
    }

    func callAsFunction(_ diagnostic: Diagnostic) {
        switch diagnostic.severity {
        case .error: self(.error, "\(diagnostic)")
        case .warning: self(.warning, "\(diagnostic)")
        }
    }

    /// Whether the next line is taken; a standard error that is closed or broken takes all, and loses them.
    private func waitForReader() -> Bool {
        var reader = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
        return poll(&reader, 1, Self.lostLines == 0 ? Self.patienceMilliseconds : 0) != 0
    }

    /// One system call a line, so that lines of two processes do not mix; a reader that is gone is no reason to stop.
    private func write(_ severity: Action.Severity, _ message: String) {
        var line = (isJournal ? "<\(severity.rawValue)>" : "masqd: ") + message + "\n"
        line.withUTF8 { _ = Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
