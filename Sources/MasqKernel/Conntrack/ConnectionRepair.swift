// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore

/// Deletes the connections that a judge finds wrong, a few milliseconds at a time.
public struct ConnectionRepair: ~Copyable {
    private var scan: ConntrackScan
    private var routes: RouteFinder
    private var judge: FlowJudge?
    /// Somebody asked again while a walk was under way: what it has passed may be wrong now.
    private var isAskedAgain = false

    /// How long the loop stands still at the most, in milliseconds.
    private static let pieceMilliseconds = 2

    /// Opens its sockets in the calling thread's network namespace.
    ///
    /// - Throws: ``NetlinkError``.
    public init() throws(NetlinkError) {
        let scan = try ConntrackScan()
        routes = try RouteFinder()
        self.scan = scan
    }

    /// The descriptor that becomes readable when ``step()`` has something to do.
    public var descriptor: CInt { scan.descriptor }

    /// Begins to walk through all connections; one walk that is under way is followed by another.
    ///
    /// - Throws: ``NetlinkError``.
    public mutating func begin(_ judge: FlowJudge) throws(NetlinkError) {
        self.judge = judge
        routes.forget()
        if scan.isRunning {
            isAskedAgain = true
        } else {
            try scan.begin()
        }
    }

    /// Goes on for a few milliseconds.
    ///
    /// - Returns: what was found, when a walk is over.
    /// - Throws: ``NetlinkError``; the walk is over then too.
    public mutating func step() throws(NetlinkError) -> ConntrackScan.Result? {
        guard scan.isRunning, let judge else { return nil }
        var failure: NetlinkError?
        let isOver = try scan.step(milliseconds: Self.pieceMilliseconds) { flow in
            if judge.isLost(flow) { return .uplinkLost }
            guard judge.isSuspicious(flow) else { return nil }
            do throws(NetlinkError) {
                guard let index = try routes.outputLink(of: flow) else { return nil }
                return judge.isWrong(flow, leavingBy: index) ? .mistranslated : nil
            } catch {
                failure = failure ?? error
                return nil
            }
        }
        if let failure { throw failure }
        guard isOver else { return nil }
        let result = scan.result
        if isAskedAgain {
            isAskedAgain = false
            try scan.begin()
        } else {
            self.judge = nil
            routes.forget()
        }
        return result
    }
}
