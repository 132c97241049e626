// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// The table `inet masqd` in the kernel: looks at it, compares, and mends the difference.
public struct KernelTable: ~Copyable {
    private var connection: NftablesConnection
    /// Hears what others commit; absent where nobody wants to know.
    private let monitor: NftablesMonitor?
    /// A transaction that was heard in part.
    private var heardInPart: NftablesMonitor.Touch?
    /// What the kernel had at a generation, so that an undisturbed table need not be listed again.
    private var known: Known?
    private var dialect = Dialect()
    /// What was asked for last, so that it need not be lowered again.
    private var wanted: Wanted?
    /// Whether ``known`` is as ``wanted``.
    private var isAsWanted = false
    /// A notification said that there is no table at `known.generation`.
    private var isHearsay = false
    /// Whether somebody else committed while the last ``apply(_:)`` kept the monitor from listening: nothing tells what.
    public private(set) var wasDisturbed = false

    private struct Known {
        var snapshot: Snapshot
        var generation: UInt32
    }

    /// A ruleset in the kernel's terms, and the batch that makes it out of nothing, where that is worth having.
    private struct Wanted: ~Copyable {
        let ruleset: Ruleset
        let snapshot: Snapshot
        var rescue: Rescue?
        /// There is a ``rescue``, or it would be too large.
        var isRescueMade = false
        /// It was in the kernel already, so that what is missing was deleted, or not listed.
        var wasInForce = false

        /// The snapshot, if it is of this ruleset.
        func snapshot(of ruleset: Ruleset) -> Snapshot? { self.ruleset == ruleset ? snapshot : nil }
    }

    /// Opens the connection in the calling thread's network namespace.
    ///
    /// - Throws: ``NetlinkError``.
    public init() throws(NetlinkError) { try self.init(listening: false) }

    /// The same; where it is to listen, ``hear(besides:)`` tells what others commit from now on.
    ///
    /// - Throws: ``NetlinkError``.
    public init(listening: Bool) throws(NetlinkError) {
        try self.init(NftablesConnection(), listening ? NftablesMonitor() : nil)
    }

    private init(_ connection: consuming NftablesConnection, _ monitor: consuming NftablesMonitor?) {
        self.connection = connection
        self.monitor = monitor
    }

    /// What an earlier process left in the table for this one.
    ///
    /// Only the counters are listed for it: a listing of 50 000 elements takes so long that others, who commit ten times a
    /// second, disturb each attempt.
    ///
    /// - Throws: ``NetlinkError``.
    public mutating func memory() throws(NetlinkError) -> KernelMemory {
        try retrying { () throws(NetlinkError) in try connection.memory() }
    }

    /// Makes the table equal to a ruleset, in one atomic batch; sends nothing where it is equal.
    ///
    /// - Returns: what had to be changed, by object.
    /// - Throws: ``NetlinkError``; then nothing changed.
    public mutating func apply(_ ruleset: Ruleset) throws(NetlinkError) -> [Change] {
        wasDisturbed = false
        let desired = lowered(ruleset)
        if let changes = try restore(desired) { return changes }
        let changes = try retrying { () throws(NetlinkError) in
            try isSettled() ? [] : try apply(desired)
        }
        isAsWanted = true
        wanted?.wasInForce = true
        if wanted?.isRescueMade == false {
            wanted?.rescue = Rescue(desired, &connection)
            wanted?.isRescueMade = true
        }
        return changes
    }

    /// Whether the kernel has what was asked for last, and nobody committed anything since.
    private mutating func isSettled() throws(NetlinkError) -> Bool {
        // A flowtable loses a link that goes without an event, and without a new generation.
        guard isAsWanted, !isHearsay, known?.snapshot.flowtables.isEmpty == true else { return false }
        return try isUndisturbed()
    }

    /// A ruleset in the kernel's terms.
    private mutating func lowered(_ ruleset: Ruleset) -> Snapshot {
        if let snapshot = wanted?.snapshot(of: ruleset) { return snapshot }
        let snapshot = Snapshot(lowering: ruleset)
        isAsWanted = false
        wanted = Wanted(ruleset: ruleset, snapshot: snapshot)
        return snapshot
    }

    /// The descriptor that becomes readable when somebody committed; nothing where it does not listen.
    public var monitorDescriptor: CInt? {
        switch monitor {
        case .some(let monitor): monitor.descriptor
        case nil: nil
        }
    }

    /// Reads what others committed since the last time, and takes in what they did to the table.
    ///
    /// - Parameter port: the port ID of another socket that masqd commits by.
    /// - Throws: ``NetlinkError`` when the socket is of no use any more.
    public mutating func hear(besides port: UInt32) throws(NetlinkError) -> NftablesMonitor.Activity {
        guard let activity = try monitor?.drain(&heardInPart, ownPorts: portID, port) else { return .init() }
        if let touch = activity.ownTable { heard(touch) }
        return activity
    }

    /// Takes in what somebody else did to the table.
    ///
    /// Only that it is gone is believed, of a transaction that was heard to its end, so that restoring it need not look
    /// first; the kernel refuses the batch if it
    /// is not true any more.
    mutating func heard(_ touch: NftablesMonitor.Touch) {
        guard let generation = touch.generationWithoutTable else { return }
        known = Known(snapshot: Snapshot(), generation: generation)
        isAsWanted = false
        isHearsay = true
    }

    /// Makes the whole table again with the batch that was written beforehand, if that is what is to be done.
    private mutating func restore(_ desired: Snapshot) throws(NetlinkError) -> [Change]? {
        guard isHearsay, let generation = known?.generation, let changes = wanted?.rescue?.changes else {
            return nil
        }
        isHearsay = false
        known = nil
        do {
            let next = try unheard(since: generation) { (table) throws(NetlinkError) in
                try table.wanted?.rescue?.commit(over: &table.connection, generation: generation)
                    ?? generation
            }
            try confirm(desired, changes, next)
            isAsWanted = true
            return changes
        } catch  where error.isTransient {
            return nil  // somebody was faster: look
        }
    }

    /// Lists what would make the table equal to a ruleset; changes nothing.
    ///
    /// - Throws: ``NetlinkError``.
    public mutating func comparison(with ruleset: Ruleset) throws(NetlinkError) -> TableComparison {
        let desired = lowered(ruleset)
        let current = try retrying { () throws(NetlinkError) in try self.current() }
        let changes = Difference.changes(from: dialect.reading(current, for: desired), to: desired)
        return TableComparison(isThere: current.tableFlags != nil, changes: changes)
    }

    /// The same, and asks the kernel whether it would take the changes.
    ///
    /// - Throws: ``NetlinkError``.
    public mutating func rehearsal(of ruleset: Ruleset) throws(NetlinkError) -> TableComparison {
        try retrying { () throws(NetlinkError) in
            var comparison = try comparison(with: ruleset)
            let generation = known?.generation ?? 0
            guard
                let first = Self.batches(comparison.changes, toTable: comparison.isThere).first(where: {
                    !$0.isEmpty
                })
            else { return comparison }
            do throws(NetlinkError) {
                try connection.check(first, generation: generation)
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
        _ = try retrying { () throws(NetlinkError) in try apply(Snapshot()) }
    }

    /// Makes the leak alarm ring again at the next leak.
    ///
    /// - Throws: ``NetlinkError``; `ENOENT` where somebody deleted the alarm.
    public mutating func rearmLeakAlarm() throws(NetlinkError) {
        try connection.reset(.alarm(Ruleset.leakAlarm))
    }

    /// The port ID by which the kernel names masqd's own commits in events.
    public var portID: UInt32 { connection.portID }

    /// Whether nobody committed anything since masqd last looked.
    mutating func isUndisturbed() throws(NetlinkError) -> Bool {
        try connection.generation() == known?.generation
    }

    /// Whether the kernel writes rules in a way of its own, which masqd then takes for the reference.
    public var answersDifferently: Bool { dialect.isForeign }

    private mutating func apply(_ desired: Snapshot) throws(NetlinkError) -> [Change] {
        let (current, changes) = try difference(to: desired)
        let generation = known?.generation ?? 0
        guard !changes.isEmpty else {
            // One of the two is enough in memory. `known?.snapshot = desired` would leak the other (Swift 6.3, a value
            // within an optional of a type that can't be copied).
            known = Known(snapshot: desired, generation: generation)
            return []
        }
        // What follows must not be compared with a snapshot that a failure left half true.
        known = nil
        isAsWanted = false
        let next = try unheard(since: generation) { (table) throws(NetlinkError) in
            var next = generation
            let isThere = current.tableFlags != nil
            let batches = Self.batches(changes, toTable: isThere)
            for batch in isThere ? batches.flatMap(Difference.stages) : batches {
                next = try table.connection.commit(batch, generation: next)
            }
            return next
        }
        try confirm(desired, changes, next)
        return changes
    }

    /// What the kernel has, and what makes it the desired table.
    private mutating func difference(
        to desired: Snapshot
    ) throws(NetlinkError) -> (current: Snapshot, changes: [Change]) {
        var current = dialect.reading(try current(), for: desired)
        var changes = Difference.changes(from: current, to: desired)
        guard wanted?.wasInForce == true else { return (current, changes) }
        // While the kernel makes a hash table larger, right behind a commit, a listing may miss elements, and each misses
        // others (`rhashtable_walk_next` in lib/rhashtable.c). What two listings agree on was deleted.
        for _ in 0..<Self.maximumListings where Self.lackElementsOnly(changes) {
            known = nil
            current = dialect.reading(try self.current(), for: desired)
            let before = changes
            changes = Difference.changes(from: current, to: desired)
            if changes == before { break }
        }
        return (current, changes)
    }

    /// So many listings are enough: somebody may also be deleting elements all the time.
    private static let maximumListings = 5

    private static func lackElementsOnly(_ changes: [Change]) -> Bool {
        !changes.isEmpty && changes.allSatisfy { if case .addElements = $0 { true } else { false } }
    }

    /// Commits while the monitor does not listen: the kernel would write a message for each of 50 000 elements.
    ///
    /// What others commit in that moment shows in the generation number alone.
    ///
    /// - Parameters:
    ///   - generation: the one that the changes were computed from, while the monitor listened.
    ///   - commit: commits, and returns the generation after that.
    private mutating func unheard(
        since generation: UInt32, _ commit: (inout KernelTable) throws(NetlinkError) -> UInt32
    ) throws(NetlinkError) -> UInt32 {
        guard monitor != nil else { return try commit(&self) }
        monitor?.pause()
        // Its end may never be heard; what it did was looked at, or the commit fails.
        heardInPart = nil
        let outcome = Result { () throws(NetlinkError) in try commit(&self) }
        try monitor?.resume()
        // What was refused left all as it was; of two batches the first may have been taken: one look too many.
        let expected = if case .success(let next) = outcome { next } else { generation }
        if try connection.generation() != expected { wasDisturbed = true }
        return try outcome.get()
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
        known = Known(snapshot: sent, generation: generation)
    }

    /// All at once, but for a dormant table with base chains to change: it is mended first, then woken.
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
            var snapshot = known.snapshot
            snapshot.flowtables = try connection.flowtables()
            return snapshot
        }
        isAsWanted = false
        let listed = try connection.snapshot()
        known = Known(snapshot: listed.snapshot, generation: listed.generation)
        return listed.snapshot
    }
}
