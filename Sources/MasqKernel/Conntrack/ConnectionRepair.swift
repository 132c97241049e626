// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore

/// Deletes the connections that a judge finds wrong, a few milliseconds at a time.
public struct ConnectionRepair: ~Copyable {
    private var scan: ConntrackScan
    private var examination: FlowExamination
    private var judge: FlowJudge?
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

    /// Whether a walk is under way.
    public var isRunning: Bool { judge != nil }

    /// Whether ``step()`` has something to do, though the descriptor is not readable: what flows are judged by is read.
    public private(set) var isPreparing = false

    /// Begins to walk through all connections, if there are any.
    ///
    /// - Returns: whether a walk is under way.
    /// - Throws: ``NetlinkError``.
    public mutating func begin(_ judge: FlowJudge) throws(NetlinkError) -> Bool {
        // The kernel walks through 262 144 empty buckets for 10 ms and more.
        guard try !scan.isTableEmpty() else { return false }
        go(on: judge)
        examination.begin()
        isPreparing = true
        return true
    }

    /// Judges what is left of the walk anew: links, routes or the configuration are others now.
    public mutating func go(on judge: FlowJudge) {
        self.judge = judge
        examination.forget()
    }

    /// What a walk came to.
    public struct Outcome: Sendable {
        /// What was found.
        public var result: ConntrackScan.Result
        /// Why it ended early, or why some connections could not be judged.
        public var failure: NetlinkError?
    }

    /// Goes on for a few milliseconds.
    ///
    /// - Returns: what was found, when a walk is over, also by a failure.
    public mutating func step() -> Outcome? {
        guard let judge else { return nil }
        do throws(NetlinkError) {
            if isPreparing {
                guard try examination.prepare(milliseconds: Self.pieceMilliseconds) else { return nil }
                isPreparing = false
                try scan.begin()
                return nil
            }
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
        isPreparing = false
        self.judge = nil
        examination.forget()
        return outcome
    }
}
