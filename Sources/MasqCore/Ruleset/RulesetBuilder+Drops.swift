// SPDX-License-Identifier: GPL-3.0-or-later

// What is dropped takes a detour through the log where the file wants it; what passes never meets any of this.
extension RulesetBuilder {
    /// How a packet is dropped: at once, or by way of the chain that logs the reason.
    func drop(_ reason: DropReason) -> Rule.Action { logTarget == nil ? .drop : .jump(reason.chain) }

    /// What stands before a forward chain's policy of dropping, which by itself logs nothing.
    var policyRules: [Rule] {
        guard logTarget != nil else { return [] }
        return [Rule([], drop(.policy), comment: comment("policy", line: configuration.forward.policyLine))]
    }

    /// The chains that log and drop, as far as rules lead there.
    ///
    /// Each has a limit of its own: what the Internet tries all day long would use up one that they share, and the one
    /// spoofed packet in the private network would never be told.
    func dropChains(reachedFrom chains: [Ruleset.Chain]) -> [Ruleset.Chain] {
        guard let logTarget else { return [] }
        var reached: Set<String> = []
        for rule in chains.lazy.flatMap(\.rules) {
            if case .jump(let chain) = rule.action { reached.insert(chain) }
        }
        let log = configuration.log
        return DropReason.allCases.filter { reached.contains($0.chain) }.map { reason in
            .init(
                reason.chain,
                [
                    Rule(
                        [.within(log.rate)], .log(logTarget, prefix: "\(log.prefix)\(reason.rawValue): "),
                        comment: comment("log", line: log.line)),
                    Rule([], .drop, comment: comment(reason.rawValue, line: log.line)),
                ])
        }
    }

    private var logTarget: Rule.LogTarget? { lacking.contains(.log) ? nil : configuration.log.target }
}
