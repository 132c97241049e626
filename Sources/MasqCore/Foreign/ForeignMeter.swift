// SPDX-License-Identifier: GPL-3.0-or-later

/// How far a look may go on before it has to let others have their turn.
struct ForeignMeter: Sendable {
    /// What is left for this step: a condition that is evaluated, or a rule that is passed, is one.
    private(set) var left: Int
    /// What was spent so far, in all steps.
    private(set) var spent = 0

    init(_ left: Int = .max) { self.left = left }

    var isExhausted: Bool { left <= 0 }

    mutating func spend(_ count: Int = 1) {
        left -= count
        spent += count
    }

    /// Another step begins.
    mutating func refill(_ count: Int) { left = count }
}
