// SPDX-License-Identifier: GPL-3.0-or-later

/// When a walk through the connections that failed is made again.
struct ConnectionWalk: Sendable {
    private var failure: String?
    private var backoff = Reconciler.minimumBackoff

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
