// SPDX-License-Identifier: GPL-3.0-or-later

// What decides about packets: the own rules, others', the connections, and what is loaded at boot.
extension Examination {
    mutating func examineTable() {
        guard let configuration, let table = look(observations.table, "the rules in force") else { return }
        for feature in table.lacking.sorted() { addLack(of: feature, configuration) }
        let name = "table inet \(Ruleset.tableName)"
        if table.changes.isEmpty, table.isThere {
            let exception = table.lacking.isEmpty ? "" : ", but for that"
            return add(.ok, "\(name) is as \(origin.name) asks for\(exception)")
        }
        let state =
            table.isThere
            ? "is not as \(origin.name) asks for: \(table.summary)"
            : "is not in force: nothing is masqueraded, and nothing held back"
        guard let refusal = table.refusal else {
            return add(Finding(.wrong, "\(name) \(state)", type: origin.putInForce))
        }
        add(.wrong, "\(name) \(state); \(refusal.reason)")
    }

    /// What is left out, so that all else can be in force.
    private mutating func addLack(of feature: KernelFeature, _ configuration: Configuration) {
        // Who says "auto" takes what there is.
        let isWelcome = feature == .flowOffload && configuration.forward.flowOffload == .auto
        let claim = "this kernel has no \(feature): masqd goes on without \(feature.pronoun)"
        add(isWelcome ? .hint : .warning, "\(claim)\(Self.source(of: feature) ?? "")")
    }

    /// Where a kernel that lacks it may have it: whether this one can load them, only trying tells.
    private static func source(of feature: KernelFeature) -> String? {
        let modules = feature.modules
        guard !modules.isEmpty else { return nil }
        return " (modules: \(modules.joined(separator: ", ")))"
    }

    /// Which connections leave by which of several uplinks.
    mutating func examinePolicyRouting() {
        guard var configuration, !configuration.uplinks.isEmpty, let links = observations.links.value,
            let state = look(observations.routing, "policy routing")
        else { return }
        configuration.keepNumbers(of: state.rules)
        let unanswered = state.triedLast(configuration)
        for uplink in configuration.uplinks where unanswered.contains(uplink.number) {
            let claim = "\(uplink.interface) gave no answer to its probes: new connections leave by it last"
            let probe = uplink.probe.first.map { "ping -I \(uplink.interface.shellWord) \($0.address)" }
            add(Finding(.warning, claim, look: probe.map { [$0] } ?? []))
        }
        let plan = RoutingPlan(configuration, links, state, unanswered: unanswered)
        let changes = state.changes(toRules: plan.rules, routes: plan.routes)
        guard let first = changes.first else {
            return add(.ok, "policy routing is as \(origin.name) asks for")
        }
        let more = changes.count == 1 ? "" : ", and \(changes.count - 1) more"
        add(
            Finding(
                .wrong, "policy routing is not as \(origin.name) asks for: \(first) differs\(more)",
                type: origin.putInForce))
    }

    mutating func examineForeign() {
        guard configuration != nil, let report = look(observations.foreign, "the rules of others") else {
            return
        }
        if report.findings.isEmpty, report.edits.isEmpty {
            add(.ok, "no rules of others drop masqueraded traffic, or translate it first")
        }
        if !report.isComplete {
            add(.unseen, "the rules of iptables-legacy: not looked at: only root may read them")
        }
        if !report.edits.isEmpty {
            let count = report.edits.count == 1 ? "1 rule differs" : "\(report.edits.count) rules differ"
            add(
                Finding(
                    .wrong, "others' chains are not opened as foreign_drop asks for: \(count)",
                    type: origin.putInForce))
        }
        for finding in report.findings {
            let severity: Finding.Severity =
                switch finding.kind {
                case .dropsOutward, .dropsAnswers, .dropsBoth: .wrong
                case .translates: .warning
                case .mayTranslate: .hint
                }
            let more = finding.unlisted == 0 ? "" : " (\(finding.unlisted) more networks need the same)"
            add(Finding(severity, finding.claim + more, type: finding.advice))
        }
    }

    mutating func examineConntrack() {
        guard case .some(let load) = look(observations.conntrack, "the connection table") else { return }
        guard let load else {
            return add(.hint, "the kernel tracks no connections: no rule has asked for it yet")
        }
        let fill = "\(load.count) of \(load.maximum) connections"
        let percent = load.maximum > 0 ? load.count * 100 / load.maximum : 0
        if percent < 75 {
            add(.ok, "the connection table holds \(fill)")
        } else {
            let consequence = percent < 95 ? "it is nearly full" : "it is full, and new ones are dropped"
            let note =
                load.largerMaximum.map { "net.netfilter.nf_conntrack_max may be \($0) with this memory" }
                ?? "a larger one would take more than a quarter of the memory"
            add(
                percent < 95 ? .warning : .wrong,
                "the connection table holds \(fill): \(consequence); \(note)", look: "conntrack -S")
        }
        examineSize(of: load)
        guard let failures = load.failures else { return }
        if failures.drops > 0 {
            add(
                .hint,
                """
                \(failures.drops) packets were dropped since boot, as the connection table had no room \
                for them; does it grow?
                """,
                look: "conntrack -S")
        }
        if failures.failedInsertions > 0 {
            add(
                .hint,
                """
                \(failures.failedInsertions) connections failed since boot, as their ports were taken: \
                a few are normal; does it grow?
                """,
                look: "conntrack -S")
        }
    }

    /// A table that may hold more than its hash table or the memory is made for is slow, or worse, when it is full.
    private mutating func examineSize(of load: ConntrackLoad) {
        if let roomier = load.roomierMaximum {
            add(
                .hint,
                """
                nf_conntrack_max is \(load.maximum): a few clients with many connections fill the table; \(roomier) \
                would fit into this memory
                """)
        }
        let bytes = load.maximum * ConntrackLoad.bytesPerEntry
        if bytes > load.memory / 2, load.memory > 0 {
            let smaller = max(load.memory / 4 / ConntrackLoad.bytesPerEntry, 1024)
            add(
                .hint,
                """
                nf_conntrack_max is \(load.maximum): a full table would take \(bytes >> 20) of \
                \(load.memory >> 20) MiB of memory, one of \(smaller) a quarter
                """)
        }
        // Every connection is in the hash table twice, by either direction.
        if load.buckets > 0, load.maximum / load.buckets > 8 {
            add(
                .hint,
                """
                nf_conntrack_max is \(load.maximum) with \(load.buckets) buckets: looking a connection \
                up in a full table is slow; \(load.maximum / 4) buckets would do
                """)
        }
    }

    mutating func examineSavedRuleset() {
        guard case .some(let saved) = look(observations.savedRuleset, "the ruleset that is loaded at boot")
        else { return }
        guard let saved, let first = saved.copies.first else {
            return add(.ok, "no old copy of table inet \(Ruleset.tableName) is loaded at boot")
        }
        let lines = saved.copies.map { "\($0.lowerBound),\($0.upperBound)d" }.joined(separator: ";")
        add(
            .warning,
            """
            \(saved.path):\(first.lowerBound) has a copy of table inet \(Ruleset.tableName), which is \
            loaded at boot, however old it is
            """,
            type: "sed -i.bak '\(lines)' \(saved.path.shellWord)")
    }
}
