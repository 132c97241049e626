// SPDX-License-Identifier: GPL-3.0-or-later

/// The marks that rules of policy routing can tell apart: one of each kind.
///
/// The mark of a packet is anybody's: other programs set it at hook prerouting, from whatever they like. Rules see no more of it than
/// which of them it fits. So where each kind of mark leads the same way, all marks do.
enum MarkClasses {
    /// More kinds than this are not asked about.
    static let maximumCount = 16
    /// Nor is more work than this done to find them: masks that overlap in all ways can ask for any amount of it.
    private static let maximumSteps = 4096

    /// One mark for each possible answer of the rules, each as like the given one as can be; the first is that one itself.
    ///
    /// - Returns: nothing where there are too many.
    static func representatives(of rules: [RoutingRule.Mark], near base: UInt32) -> [UInt32]? {
        var distinct: [RoutingRule.Mark] = []
        for var rule in rules {
            rule.value &= rule.mask
            if !distinct.contains(rule) { distinct.append(rule) }
        }
        var classes = [Class()]
        var steps = maximumSteps
        for rule in distinct {
            var next: [Class] = []
            for known in classes {
                if let with = known.requiring(rule) { next.append(with) }
                next.append(known.excluding(rule))
            }
            // What no mark can be is left out at once, so that rules with one mask are as many kinds as rules, and one.
            classes = next.filter { $0.mark(near: base, &steps) != nil }
            guard classes.count <= maximumCount, steps > 0 else { return nil }
        }
        let marks = classes.compactMap { $0.mark(near: base, &steps) }
        guard steps > 0 else { return nil }
        return [base] + marks.filter { $0 != base }
    }

    /// Marks that fit some rules and do not fit others.
    private struct Class {
        var mask: UInt32 = 0
        var value: UInt32 = 0
        var excluded: [RoutingRule.Mark] = []

        func requiring(_ rule: RoutingRule.Mark) -> Class? {
            guard (value ^ rule.value) & mask & rule.mask == 0 else { return nil }
            var result = self
            result.mask |= rule.mask
            result.value |= rule.value
            return result
        }

        func excluding(_ rule: RoutingRule.Mark) -> Class {
            var result = self
            result.excluded.append(rule)
            return result
        }

        /// A mark of the class that has the given one's bits wherever it may; nothing where no mark is of the class.
        func mark(near base: UInt32, _ steps: inout Int) -> UInt32? {
            steps -= 1
            let near = base & ~mask | value
            guard let wrong = excluded.first(where: { (near ^ $0.value) & $0.mask == 0 }) else { return near }
            // One bit of it has to be another; the search has a branch for each bit that is free.
            var free = wrong.mask & ~mask
            while free != 0, steps > 0 {
                let bit = free & (~free + 1)
                free &= ~bit
                var next = self
                next.mask |= bit
                next.value |= ~near & bit
                if let found = next.mark(near: base, &steps) { return found }
            }
            return nil
        }
    }
}
