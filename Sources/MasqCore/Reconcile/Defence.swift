// SPDX-License-Identifier: GPL-3.0-or-later

/// What masqd knows about others who change its table, so that two programs never fight at full speed.
///
/// Repairs are immediate, up to a number in each window of time. Whoever goes beyond it is mended after a delay that
/// grows from window to window, until a window passes in peace.
struct Defence: Sendable {
    /// So many repairs in one window are immediate.
    static let immediateRepairs = 20
    /// How long a window is, in milliseconds, while repairs are immediate.
    static let windowMilliseconds = 1000

    /// The touch that the next repair, or report, is about.
    var touch: ForeignTouch?
    /// A repair waits for its delay to be over: until then the table is not what it should be.
    private(set) var isWaiting = false
    /// How long the repair under way has had to wait, in milliseconds.
    private var waitMilliseconds: Int?
    private var repairsInWindow = 0
    private var hasWindow = false
    /// How many windows in a row saw a fight.
    private var fights = 0
    private var lastReport: (culprit: Culprit, deed: String)?

    /// How long the next repair has to wait; nothing where it is immediate.
    var delayMilliseconds: Int? {
        if fights == 0, repairsInWindow < Self.immediateRepairs { return nil }
        return min(Reconciler.minimumBackoff << min(fights, 16), Reconciler.maximumBackoff)
    }

    /// The next repair waits: for so many milliseconds.
    mutating func wait(milliseconds: Int) -> [Action] {
        guard !isWaiting else { return [] }
        isWaiting = true
        waitMilliseconds = milliseconds
        return [.startRetryTimer(milliseconds: milliseconds)]
    }

    /// The delay is over.
    mutating func waitEnded() { isWaiting = false }

    /// The table is what it should be, whoever was the reason to look at it; nothing waits any more.
    mutating func settled() {
        touch = nil
        isWaiting = false
        waitMilliseconds = nil
    }

    /// Takes note of a repair and says who made it necessary.
    mutating func repaired(_ changes: Int, microseconds: Int) -> [Action] {
        lastReport = nil
        repairsInWindow += 1
        let time = "\(microseconds / 1000).\(microseconds / 100 % 10) ms"
        let objects = changes == 1 ? "1 object" : "\(changes) objects"
        let wait = waitMilliseconds.map { ", after a wait of \($0) ms" } ?? ""
        var actions: [Action] = [
            .accuse(.warning, culprit, "\(deed): restored in \(time) (\(objects))\(wait)")
        ]
        if fights == 0, repairsInWindow == Self.immediateRepairs {
            actions.append(
                .log(
                    .warning,
                    """
                    table inet \(Ruleset.tableName) was restored \(repairsInWindow) times within a second: two \
                    programs fight over it, and from now on each repair waits longer
                    """))
        }
        if !hasWindow { actions.append(openWindow()) }
        return actions
    }

    /// A window is over: with a fight in it the next one begins, and delays grow; in peace they end.
    mutating func windowEnded() -> [Action] {
        hasWindow = false
        let wasFight = fights > 0 ? repairsInWindow > 0 : repairsInWindow >= Self.immediateRepairs
        repairsInWindow = 0
        if wasFight {
            fights += 1
            return [openWindow()]
        }
        defer { fights = 0 }
        return fights == 0
            ? [] : [.log(.notice, "nobody fights over table inet \(Ruleset.tableName) any more")]
    }

    /// Long enough for one more repair to show that the fight goes on.
    private mutating func openWindow() -> Action {
        hasWindow = true
        return .startCalmTimer(milliseconds: max(Self.windowMilliseconds, 2 * (delayMilliseconds ?? 0)))
    }

    /// Says what somebody changed, once for each change; it stays as it is.
    mutating func reported(_ changes: Int) -> [Action] {
        guard changes > 0 else {
            lastReport = nil
            return []
        }
        let deed = "\(deed): left as it is, as [reconcile] mode asks (objects that differ: \(changes))"
        guard lastReport.map({ $0 == (culprit, deed) }) != true else { return [] }
        lastReport = (culprit, deed)
        return [.accuse(.warning, culprit, deed)]
    }

    private var culprit: Culprit { touch?.culprit ?? Culprit() }

    /// What was done, as it goes on behind a name.
    private var deed: String {
        "\(touch?.deletesTable == true ? "deleted" : "changed") table inet \(Ruleset.tableName)"
    }
}
