// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// Looks at others' tables for an audit, a few milliseconds at a time: reads them, and then walks the traffic through them.
public struct ForeignLook: ~Copyable {
    private var reader: ForeignReader
    /// Readable as long as there is something to do.
    private let bell: TimerSource
    /// The traffic that is looked at.
    private var audit: ForeignAudit?
    private var review: ForeignReview?
    /// The rules that were read: all at once they would take long to free.
    private var rules: [[ForeignRuleset.Rule]] = []
    private var ruleCount = 0
    private var cost = Duration.zero
    private var phase = Phase.idle

    private enum Phase { case idle, reading, reviewing, tidying }

    /// How long the loop stands still at the most.
    private static let piece = Duration.milliseconds(2)
    /// Between two looks at the clock: some 50 µs.
    private static let evaluations = 500
    /// Above so many rules their memory is worth giving back.
    private static let worthwhileCount = 1000

    /// Opens its sockets in the calling thread's network namespace.
    ///
    /// - Throws: ``NetlinkError`` or ``SystemError``.
    public init() throws {
        let reader = try ForeignReader()
        let bell = try TimerSource()
        self.init(reader, bell)
    }

    private init(_ reader: consuming ForeignReader, _ bell: consuming TimerSource) {
        self.reader = reader
        self.bell = bell
    }

    /// The descriptor that becomes readable when ``step()`` has something to do.
    public var descriptor: CInt { bell.descriptor }

    /// Begins; a look that is under way is given up.
    public mutating func begin(_ audit: ForeignAudit) {
        self.audit = audit
        review = nil
        cost = .zero
        reader.begin(for: ForeignScope(audit))
        phase = .reading
        bell.startNow()
    }

    /// What a look came to, and how long it took in all.
    public enum Outcome: Sendable {
        /// All was looked at.
        case audited(ForeignReport, microseconds: Int)
        /// Somebody committed something meanwhile.
        case disturbed(microseconds: Int)
        /// Others' tables could not be read.
        case failed(NetlinkError, microseconds: Int)
    }

    /// Goes on for a few milliseconds.
    ///
    /// - Returns: what came of it, when the look is over.
    public mutating func step() -> Outcome? {
        let start = ContinuousClock.now
        var outcome: Outcome?
        repeat {
            switch phase {
            case .idle: bell.stop()
            case .reading: outcome = read()
            case .reviewing: outcome = goOn()
            case .tidying: tidy()
            }
        } while phase != .idle && outcome == nil && start.duration(to: .now) < Self.piece
        cost += start.duration(to: .now)
        switch outcome {
        case .audited(let report, _): return .audited(report, microseconds: cost.microseconds)
        case .disturbed: return .disturbed(microseconds: cost.microseconds)
        case .failed(let error, _): return .failed(error, microseconds: cost.microseconds)
        case nil: return nil
        }
    }

    private mutating func read() -> Outcome? {
        guard let audit else { return nil }
        do throws(NetlinkError) {
            guard let (ruleset, rules) = try reader.step() else { return nil }
            self.rules += rules
            review = ForeignReview(audit, ruleset)
            phase = .reviewing
            return nil
        } catch {
            phase = .tidying
            return error.code == EINTR ? .disturbed(microseconds: 0) : .failed(error, microseconds: 0)
        }
    }

    private mutating func goOn() -> Outcome? {
        // Taken out and put back, since what is changed within an optional may be copied.
        guard var review else { return nil }
        self.review = nil
        guard let report = review.step(evaluations: Self.evaluations) else {
            self.review = review
            return nil
        }
        phase = .tidying
        audit = nil
        return .audited(report, microseconds: 0)
    }

    /// Frees some of what was read.
    private mutating func tidy() {
        let count = 256
        if let last = rules.indices.last {
            ruleCount += min(count, rules[last].count)
            rules[last].removeLast(min(count, rules[last].count))
            if rules[last].isEmpty { rules.removeLast() }
            return
        }
        if ruleCount > Self.worthwhileCount { returnMemory() }
        ruleCount = 0
        phase = .idle
        bell.stop()
    }
}

extension Duration {
    fileprivate var microseconds: Int {
        Int(components.seconds) * 1_000_000 + Int(components.attoseconds / 1_000_000_000_000)
    }
}
