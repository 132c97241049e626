// SPDX-License-Identifier: GPL-3.0-or-later

/// When a walk through the connections that failed is made again.
struct ConnectionWalk: Sendable {
    private var failure: String?
    private var backoff = Reconciler.minimumBackoff

    /// How many times in a row a walk may be put off because links or routes were not quiet yet.
    static let longestSettling = 20

    private var delays = 0

    /// Something happened that a walk is to follow: says whether its timer may be started anew.
    mutating func settles() -> Bool {
        delays += 1
        return delays <= Self.longestSettling
    }

    /// The timer has fired.
    mutating func settled() { delays = 0 }

    /// A walk is over, or ended early; a failure is told once.
    ///
    /// Behind the longest wait the next one comes with the next event: a kernel without ctnetlink never has one.
    mutating func ended(failure new: String?) -> [Action] {
        guard let new else {
            (failure, backoff) = (nil, Reconciler.minimumBackoff)
            return []
        }
        let isNews = new != failure
        failure = new
        let lines = isNews ? [Action.log(.error, "\(new): stale connections can't be found")] : []
        guard backoff <= Reconciler.maximumBackoff else { return lines }
        defer { backoff *= 2 }
        return lines + [.startRepairTimer(milliseconds: backoff)]
    }
}
