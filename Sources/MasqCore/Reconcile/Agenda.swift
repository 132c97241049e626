// SPDX-License-Identifier: GPL-3.0-or-later

/// Which work waits, and when each kind of it may begin, so that nobody outside decides how much CPU masqd uses.
///
/// Every kind of work rests in proportion to what it cost. What is asked for after a quiet time begins at once. What
/// is asked for during a rest is remembered, once for all who ask, and begins when the rest is over. There is no clock in
/// here: times come from outside, in microseconds of a clock that never goes back.
public struct Agenda: Sendable {
    /// Kinds of work that others can ask for as often as they like; of several that may begin the first does.
    public enum Work: Int, CaseIterable, Sendable {
        /// Look at the main table, of which a default route came or went, or may have with a link.
        ///
        /// Before the links: a route of a link that is not known yet does no harm, and a link whose route is not known does.
        case routes
        /// Read the links that rang.
        case links
        /// Read the forwarding switches.
        case forwarding
        /// Look at the table after notifications were lost.
        case table
        /// Answer the change of a default route in another table.
        case otherRoutes
        /// Read policy routing.
        case routing
        /// Read the configuration file.
        case reload
        /// List a main table that is too large for one look.
        case mainTable
        /// Walk through the connections.
        case walk
    }

    /// A rest is so many times as long as the work before it: one kind of work takes a twentieth of a core at the most.
    public static let rest = 20

    /// What of a rest is forgiven, in microseconds: so much work, divided by ``rest``, is done without one.
    ///
    /// A link that comes up rings several times within a few milliseconds, and each is answered at once.
    static let credit = 400_000

    /// The longest rest, in microseconds.
    static let longestRest = 30_000_000

    /// The longest rest of a reload, in microseconds: who asks for it is root, and waits.
    static let longestReloadRest = 5_000_000

    private var items = [Item](repeating: Item(), count: Work.allCases.count)

    private struct Item {
        var isAsked = false
        var isRunning = false
        /// What the work under way has cost so far.
        var cost = 0
        /// When all that was done so far has been rested for.
        var restEnd = 0
    }

    /// An empty agenda.
    public init() {}

    /// Somebody asks for work; while it is under way, for another time of it.
    public mutating func ask(for work: Work) { items[work.rawValue].isAsked = true }

    /// Whether work waits, for the end of its rest or of what is under way.
    public func isAsked(for work: Work) -> Bool { items[work.rawValue].isAsked }

    /// Takes the first work that may begin now; it is under way then, until ``end(_:at:)``.
    public mutating func begin(at now: Int) -> Work? {
        guard let work = Work.allCases.first(where: { begins(of: $0).map { $0 <= now } ?? false }) else {
            return nil
        }
        items[work.rawValue].isAsked = false
        items[work.rawValue].isRunning = true
        return work
    }

    /// A piece of the work under way is done, and has cost so many microseconds of CPU.
    public mutating func spend(_ microseconds: Int, on work: Work) {
        items[work.rawValue].cost += microseconds
    }

    /// The work under way is over, and rests.
    public mutating func end(_ work: Work, at now: Int) {
        let longest = work == .reload ? Self.longestReloadRest : Self.longestRest
        let item = items[work.rawValue]
        let end = max(item.restEnd, now) + item.cost * Self.rest
        items[work.rawValue].restEnd = min(end, now + longest)
        items[work.rawValue].isRunning = false
        items[work.rawValue].cost = 0
    }

    /// When the next work that waits may begin; nothing where none waits, or only for the end of what is under way.
    public var nextBegin: Int? { Work.allCases.compactMap(begins).min() }

    private func begins(of work: Work) -> Int? {
        let item = items[work.rawValue]
        guard item.isAsked, !item.isRunning else { return nil }
        return item.restEnd - Self.credit(of: work)
    }

    /// A walk gets none: each is as long as the table, and one for several events is enough.
    private static func credit(of work: Work) -> Int { work == .walk ? 0 : credit }
}
