// SPDX-License-Identifier: GPL-3.0-or-later

/// Whether links and switches can be read: what fails is told once, and tried again after a wait that grows.
///
/// The kernel interrupts a listing as long as others change what is listed, and no descriptor may be left to open a file.
struct ReadingWatch: Sendable {
    private var failures: Set<String> = []
    private var backoff = Reconciler.minimumBackoff

    mutating func failed(_ reason: String) -> [Action] {
        let isNews = failures.insert(reason).inserted
        defer { backoff = min(backoff * 2, Reconciler.maximumBackoff) }
        let line = Action.log(.error, "\(reason): the rules stay as they are until that can be read again")
        return (isNews ? [line] : []) + [.startReadingTimer(milliseconds: backoff)]
    }

    mutating func succeeded() -> [Action] {
        let hasFailed = !failures.isEmpty
        self = ReadingWatch()
        return hasFailed ? [.log(.notice, "links and forwarding switches are read again")] : []
    }
}
