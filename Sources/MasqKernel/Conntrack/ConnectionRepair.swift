// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore

/// Deletes the connections that a judge finds wrong, a few milliseconds at a time.
public struct ConnectionRepair: ~Copyable {
    private var scan: ConntrackScan
    private var examination: FlowExamination
    private var judge: FlowJudge?
    /// Somebody asked again while a walk was under way: what it has passed may be wrong now.
    private var isAskedAgain = false
    /// Why a connection of the walk under way could not be judged.
    private var failure: NetlinkError?

    /// How long the loop stands still at the most, in milliseconds.
    private static let pieceMilliseconds = 2

    /// Opens its sockets in the calling thread's network namespace.
    ///
    /// - Throws: ``NetlinkError``.
    public init() throws(NetlinkError) {
        try self.init(ConntrackScan(), FlowExamination())
    }

    private init(_ scan: consuming ConntrackScan, _ examination: consuming FlowExamination) {
        self.scan = scan
        self.examination = examination
    }

    /// The descriptor that becomes readable when ``step()`` has something to do.
    public var descriptor: CInt { scan.descriptor }

    /// Begins to walk through all connections; one walk that is under way is followed by another.
    ///
    /// - Throws: ``NetlinkError``.
    public mutating func begin(_ judge: FlowJudge) throws(NetlinkError) {
        self.judge = judge
        examination.forget()
        if scan.isRunning {
            isAskedAgain = true
        } else {
            examination.begin()
            try scan.begin()
        }
    }

    /// What a walk came to.
    public struct Outcome: Sendable {
        /// What was found.
        public var result: ConntrackScan.Result
        /// Why it ended early, or why some connections could not be judged.
        public var failure: NetlinkError?
        /// Whether another one has begun, since somebody asked for it while this one was under way.
        public var isFollowed = false
    }

    /// Goes on for a few milliseconds.
    ///
    /// - Returns: what was found, when a walk is over, also by a failure.
    public mutating func step() -> Outcome? {
        guard scan.isRunning, let judge else { return nil }
        do throws(NetlinkError) {
            let isOver = try scan.step(milliseconds: Self.pieceMilliseconds) { flow in
                do throws(NetlinkError) {
                    return try examination.fault(of: flow, judge)
                } catch {
                    failure = failure ?? error
                    return nil
                }
            }
            guard isOver else { return nil }
        } catch {
            failure = error
        }
        var outcome = Outcome(result: scan.result, failure: failure)
        outcome.result.deleted.undecided = examination.undecided
        failure = nil
        guard isAskedAgain else {
            self.judge = nil
            examination.forget()
            return outcome
        }
        isAskedAgain = false
        do {
            examination.begin()
            try scan.begin()
            outcome.isFollowed = true
        } catch {
            outcome.failure = outcome.failure ?? error
        }
        return outcome
    }
}
