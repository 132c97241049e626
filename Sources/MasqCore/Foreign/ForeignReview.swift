// SPDX-License-Identifier: GPL-3.0-or-later

/// An audit of others' tables under way: how far it has come, and what it has found.
///
/// It takes time that grows with others' rules × the packets that these can tell apart, so whoever has something else to do
/// takes it a step at a time.
public struct ForeignReview: Sendable {
    private let audit: ForeignAudit
    private let hooks: [ForeignRuleset.Hook]
    private let earlierMarks: UInt32
    private var meter = ForeignMeter(0)
    private var report: ForeignReport
    private var kept: Set<ForeignEdit> = []
    /// What is known of the base chains, in their order, and the one that is looked at.
    private var surveys: [ForeignSurvey] = []
    private var survey: ForeignSurvey?
    private var review: ForeignHookReview?
    private var index = 0

    /// How many conditions were evaluated, and rules passed, so far.
    public var evaluations: Int { meter.spent }

    /// Begins.
    public init(_ audit: ForeignAudit, _ ruleset: ForeignRuleset) {
        self.audit = audit
        hooks = ruleset.hooks.sorted { $0.priority < $1.priority }
        earlierMarks = ruleset.earlierMarks
        report = ForeignReport(generation: ruleset.generation)
        report.isComplete = ruleset.isComplete
        report.mayTranslate = !ruleset.isComplete || ruleset.hooks.contains { $0.point == .sourceNAT }
    }

    /// Goes on for about so many evaluations.
    ///
    /// - Returns: everything in others' tables that is certainly in the way, in the order in which packets meet it, and where
    ///   they are to be opened, what that takes; nothing before all is looked at.
    public mutating func step(evaluations: Int) -> ForeignReport? {
        meter.refill(evaluations)
        while surveys.count < hooks.count {
            var survey = self.survey ?? ForeignSurvey(hooks[surveys.count], for: audit)
            self.survey = nil
            guard survey.run(&meter) else {
                self.survey = survey
                return nil
            }
            surveys.append(survey)
        }
        while index < hooks.count {
            var review =
                self.review
                ?? ForeignHookReview(to: index, of: hooks, surveys, for: audit, earlierMarks: earlierMarks)
            self.review = nil
            guard review.run(&meter) else {
                self.review = review
                return nil
            }
            take(review)
            index += 1
        }
        // Two base chains of one table may lead to the same chain.
        report.edits.removeAll { kept.contains($0) }
        return report
    }

    private mutating func take(_ review: ForeignHookReview) {
        if let opening = review.opening {
            let (edits, kept) = opening.edits()
            report.permission.formUnion(review.permission)
            for edit in edits where !report.edits.contains(edit) { report.edits.append(edit) }
            self.kept.formUnion(kept)
        }
        if let finding = review.finding { report.findings.append(finding) }
    }
}
