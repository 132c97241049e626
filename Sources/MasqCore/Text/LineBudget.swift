// SPDX-License-Identifier: GPL-3.0-or-later

/// How many lines of one importance may be logged: some at once, and then so many in a time.
///
/// Much of what is logged is news from outside: links and addresses that come and go as somebody else likes,
/// and on some of them as often as a neighbour of the uplink likes.
public struct LineBudget: Sendable {
    /// So many lines at once.
    public static let burst = 500
    /// How long it takes until one more is free.
    public static let milliseconds = 500

    private var available = Self.burst
    /// The time up to which free lines have been counted, in milliseconds.
    private var counted: Int?

    /// A full one.
    public init() {}

    /// Takes one line, if there is one.
    ///
    /// - Parameter now: a time that never goes back, in milliseconds.
    public mutating func take(now: Int) -> Bool {
        let last = counted ?? now
        let more = max(0, now - last) / Self.milliseconds
        available = min(Self.burst, available + more)
        counted = last + more * Self.milliseconds
        guard available > 0 else { return false }
        available -= 1
        return true
    }
}
