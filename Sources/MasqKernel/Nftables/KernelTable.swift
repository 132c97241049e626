// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// The table `inet masqd` in the kernel: looks at it, compares, and mends the difference.
public struct KernelTable: ~Copyable {
    private var connection: NftablesConnection
    /// What the kernel had at a generation, so that an undisturbed table need not be listed again.
    private var known: (snapshot: Snapshot, generation: UInt32)?
    private var dialect = Dialect()
    private var rescue: Rescue?
    /// A notification said that there is no table at `known.generation`.
    private var isHearsay = false

    /// How often somebody else's commit may come between a look and a change before that counts as a failure.
    private static let maximumAttempts = 20

    /// Opens the connection in the calling thread's network namespace.
    ///
    /// - Throws: ``NetlinkError``.
    public init() throws(NetlinkError) { connection = try NftablesConnection() }

    /// What an earlier process left in the table for this one.
    ///
    /// - Throws: ``NetlinkError``.
    public mutating func memory() throws(NetlinkError) -> KernelMemory {
        try retrying { (table) throws(NetlinkError) in try table.current().memory }
    }

    /// Makes the table equal to a ruleset, in one atomic batch; sends nothing where it is equal.
    ///
    /// - Returns: what had to be changed, by object.
    /// - Throws: ``NetlinkError``; then nothing changed.
    public mutating func apply(_ ruleset: Ruleset) throws(NetlinkError) -> [Change] {
        if let changes = try restore(ruleset) { return changes }
        let desired = Snapshot(lowering: ruleset)
        let changes = try retrying { (table) throws(NetlinkError) in try table.apply(desired) }
        if rescue?.restores(ruleset) != true {
            rescue = Rescue(ruleset, dialect.translating(desired), &connection)
        }
        return changes
    }

    /// Takes in what somebody else did to the table.
    ///
    /// Only that it is gone is believed, of a transaction that was heard to its end, so that restoring it need not look first; the kernel refuses the batch if it
    /// is not true any more.
    public mutating func heard(_ touch: NftablesMonitor.Touch) {
        guard let generation = touch.generationWithoutTable else { return }
        known = (Snapshot(), generation)
        isHearsay = true
    }

    /// Makes the whole table again with the batch that was written beforehand, if that is what is to be done.
    private mutating func restore(_ ruleset: Ruleset) throws(NetlinkError) -> [Change]? {
        guard isHearsay, let generation = known?.generation, rescue?.restores(ruleset) == true else {
            return nil
        }
        isHearsay = false
        known = nil
        do {
            guard let (desired, changes, next) = try rescue?.commit(over: &connection, generation: generation)
            else { return nil }
            try confirm(desired, changes, next)
            return changes
        } catch  where error.isTransient {
            return nil  // somebody was faster: look
        }
    }

    /// Lists what would make the table equal to a ruleset; changes nothing.
    ///
    /// - Throws: ``NetlinkError``.
    public mutating func comparison(with ruleset: Ruleset) throws(NetlinkError) -> TableComparison {
        let desired = dialect.translating(Snapshot(lowering: ruleset))
        let current = try retrying { (table) throws(NetlinkError) in try table.current() }
        return TableComparison(
            isThere: current.tableFlags != nil, changes: Difference.changes(from: current, to: desired))
    }

    /// The same, and asks the kernel whether it would take the changes.
    ///
    /// - Throws: ``NetlinkError``.
    public mutating func rehearsal(of ruleset: Ruleset) throws(NetlinkError) -> TableComparison {
        try retrying { (table) throws(NetlinkError) in
            var comparison = try table.comparison(with: ruleset)
            let generation = table.known?.generation ?? 0
            guard
                let first = Self.batches(comparison.changes, toTable: comparison.isThere).first(where: {
                    !$0.isEmpty
                })
            else { return comparison }
            do throws(NetlinkError) {
                try table.connection.check(first, generation: generation)
            } catch {
                if error.isTransient { throw error }
                comparison.refusal = error.commitFailure
            }
            return comparison
        }
    }

    /// Deletes the table, if it is there.
    ///
    /// - Throws: ``NetlinkError``.
    public mutating func remove() throws(NetlinkError) {
        _ = try retrying { (table) throws(NetlinkError) in try table.apply(Snapshot()) }
    }

    /// Makes the leak alarm ring again at the next leak.
    ///
    /// - Throws: ``NetlinkError``; `ENOENT` where somebody deleted the alarm.
    public mutating func rearmLeakAlarm() throws(NetlinkError) {
        try connection.reset(.alarm(Ruleset.leakAlarm))
    }

    /// The port ID by which the kernel names masqd's own commits in events.
    public var portID: UInt32 { connection.socket.portID }

    /// Whether nobody committed anything since masqd last looked.
    ///
    /// - Throws: ``NetlinkError``.
    public mutating func isUndisturbed() throws(NetlinkError) -> Bool {
        try connection.generation() == known?.generation
    }

    /// Whether the kernel writes rules in a way of its own, which masqd then takes for the reference.
    public var answersDifferently: Bool { dialect.isForeign }

    private mutating func apply(_ desired: Snapshot) throws(NetlinkError) -> [Change] {
        let current = try current()
        let generation = known?.generation ?? 0
        let changes = Difference.changes(from: current, to: dialect.translating(desired))
        guard !changes.isEmpty else { return [] }
        // What follows must not be compared with a snapshot that a failure left half true.
        known = nil
        var next = generation
        for batch in Self.batches(changes, toTable: current.tableFlags != nil) {
            next = try connection.commit(batch, generation: next)
        }
        try confirm(dialect.translating(desired), changes, next)
        return changes
    }

    /// Remembers what the kernel has now; where rules were sent, after a look at how it writes them.
    private mutating func confirm(
        _ sent: Snapshot, _ changes: [Change], _ generation: UInt32
    ) throws(NetlinkError) {
        if changes.contains(where: { if case .addRule = $0 { true } else { false } }) {
            do {
                let answered = try connection.rules()
                guard try connection.generation() == generation else { return }
                dialect.learn(sent: sent.chains, answered: answered)
            } catch  where error.isTransient {
                return  // somebody committed meanwhile: what is there will be seen at the next look
            }
        }
        known = (dialect.translating(sent), generation)
    }

    /// All in one batch, but for a dormant table with base chains to change: it is mended first, then woken.
    ///
    /// The kernel refuses both at once (`__NFT_TABLE_F_UPDATE` in net/netfilter/nf_tables_api.c).
    private static func batches(_ changes: [Change], toTable isThere: Bool) -> [[Change]] {
        guard isThere, changes.count > 1, case .addTable? = changes.first else {
            return [changes]
        }
        return [Array(changes.dropFirst()), [changes[0]]]
    }

    /// The table as it is: from memory where nobody committed anything since, else from a dump.
    private mutating func current() throws(NetlinkError) -> Snapshot {
        isHearsay = false
        let generation = try connection.generation()
        if let known, known.generation == generation {
            guard !known.snapshot.flowtables.isEmpty else { return known.snapshot }
            // A flowtable loses a link that goes without an event, and without a new generation.
            var snapshot = known.snapshot
            snapshot.flowtables = try connection.flowtables()
            return snapshot
        }
        known = try connection.snapshot()
        return known?.snapshot ?? Snapshot()
    }

    private mutating func retrying<Result>(
        _ body: (inout KernelTable) throws(NetlinkError) -> Result
    ) throws(NetlinkError) -> Result {
        for _ in 1..<Self.maximumAttempts {
            do { return try body(&self) } catch  where error.isTransient { continue }
        }
        return try body(&self)
    }
}
