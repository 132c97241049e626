// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

@Suite struct LineBudgetTests {
    @Test("So many lines are free at once, and then two in a second, however long nothing was said")
    func limits() {
        var budget = LineBudget()
        for _ in 0..<500 { #expect(budget.take(now: 1_000_000) == true) }
        #expect(budget.take(now: 1_000_499) == false)
        #expect(budget.take(now: 1_000_500) == true)
        #expect(budget.take(now: 1_000_999) == false)
        #expect(budget.take(now: 1_001_000) == true)
        // An hour later as many as at first.
        for _ in 0..<500 { #expect(budget.take(now: 4_600_000) == true) }
        #expect(budget.take(now: 4_600_000) == false)
    }
}
