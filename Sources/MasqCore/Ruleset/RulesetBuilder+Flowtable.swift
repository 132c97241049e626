// SPDX-License-Identifier: GPL-3.0-or-later

extension RulesetBuilder {
    /// The flowtable that `[forward] flow_offload` asks for.
    var flowtable: Flowtable? {
        let offload = configuration.forward.flowOffload
        guard offload != .off, !lacking.contains(.flowOffload), isTranslating else { return nil }
        let translated = configuration.outbound.filter { $0.translation.hidesSource }
        return Flowtable(
            isHardware: offload == .hardware, uplinks: uplinks.map(\.pattern),
            inside: translated.flatMap(\.source))
    }

    /// Puts translated connections under way into the flowtable; what it does not take goes on to the next rule.
    ///
    /// Only those that are assured: a DNS query is over before it would pay. The kernel itself leaves out what has a
    /// helper or comes through IPsec (`nft_flow_offload_eval`), and takes out what ends or loses its route.
    var flowtableRules: [Rule] {
        guard flowtable != nil else { return [] }
        return [
            Rule(
                [.sourceTranslatedAssured], .offload(Flowtable.name),
                comment: comment("flow_offload", line: configuration.forward.flowOffloadLine))
        ]
    }
}
