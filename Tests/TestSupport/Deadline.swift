// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc

/// A moment on the monotonic clock until which a test waits.
public struct Deadline: Sendable {
    private let end: ContinuousClock.Instant

    /// The moment `limit` from now.
    public init(in limit: Duration) { end = .now + limit }

    /// Whether the moment has passed.
    public var isOver: Bool { .now >= end }

    /// What poll(2) takes: the milliseconds left, rounded up, 0 when it is over.
    public var millisecondsLeft: CInt {
        let left = end - .now
        let (seconds, attoseconds) = left.components
        return CInt(
            clamping: max(0, seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000))
    }

    /// Waits until one of the descriptors is readable; false when the time is over.
    func waitReadable(_ descriptors: CInt...) throws -> Bool {
        try wait(for: Int16(POLLIN), on: descriptors)
    }

    /// Waits until the descriptor can be written, or has failed; false when the time is over.
    func waitWritable(_ descriptor: CInt) throws -> Bool {
        try wait(for: Int16(POLLOUT), on: [descriptor])
    }

    private func wait(for events: Int16, on descriptors: [CInt]) throws -> Bool {
        var entries = descriptors.map { pollfd(fd: $0, events: events, revents: 0) }
        while true {
            let ready = poll(&entries, nfds_t(entries.count), millisecondsLeft)
            if ready > 0 { return true }
            if ready == 0 { return false }
            let code = errno
            guard code == EINTR else { throw Failure("poll", code: code) }
        }
    }
}

/// Asks again and again, a millisecond apart, until `condition` holds; throws `Failure` after `limit`.
///
/// For what the kernel tells nobody about. Where there is an event, wait for the event.
public func eventually(
    _ what: String, within limit: Duration = .seconds(10), _ condition: () throws -> Bool
) throws {
    let deadline = Deadline(in: limit)
    while try !condition() {
        guard !deadline.isOver else { throw Failure("not within \(limit): \(what)") }
        poll(nil, 0, 1)
    }
}

extension Duration {
    /// How long to wait for an answer that is not to come, or that is asked for again and again.
    public static let unanswered = Duration.milliseconds(250)
}
