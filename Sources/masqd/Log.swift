// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore

/// Standard error, a line at a time; with a priority before each where the journal reads it.
struct Log {
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
        write((isJournal ? "<\(severity.rawValue)>" : "masqd: ") + message + "\n")
    }

    func callAsFunction(_ diagnostic: Diagnostic) {
        switch diagnostic.severity {
        case .error: self(.error, "\(diagnostic)")
        case .warning: self(.warning, "\(diagnostic)")
        }
    }

    /// One system call a line, so that lines of two processes do not mix; a reader that is gone is no reason to stop.
    private func write(_ line: String) {
        var line = line
        line.withUTF8 { _ = Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
