// SPDX-License-Identifier: GPL-3.0-or-later

@testable import MasqCore

extension ExaminationTests.Case {
    /// Rules, others' rules, connections, and the next boot.
    static let rules: [Self] = [
        Self(
            "no rules",
            """
            wrong table inet masqd is not in force: nothing is masqueraded, and nothing held back
                  type: systemctl reload masqd.service
            """
        ) {
            $0.observations.table = .seen(
                TableComparison(isThere: false, changes: [.addTable(flags: 0), .addChain("forward", nil)]))
        },
        Self(
            "rules that differ",
            """
            wrong table inet masqd is not as /etc/masqd.toml asks for: counter leak_guard is missing, chain forward \
            differs, set masquerade_1_source differs, set mine should not be there, chain guard is missing, and 1 more
                  type: systemctl reload masqd.service
            """
        ) {
            $0.observations.table = .seen(
                TableComparison(
                    isThere: true,
                    changes: [
                        .addObject(.counter("leak_guard")), .flushChain("forward"),
                        .deleteElements(set: "masquerade_1_source", .interfaces([])), .flushSet("mine"),
                        .deleteSet("mine"), .addChain("guard", nil), .addRule(chain: "forward", []),
                        .addRule(chain: "guard", []), .deleteChain("mine"),
                    ]))
        },
        Self(
            "a helper that this kernel does not have",
            "warn  this kernel has no ct helper helper_h323_ras: masqd goes on without it (modules: nf_conntrack_h323)"
        ) { $0.lack(.helper("helper_h323_ras")) },
        Self(
            "timeouts that this kernel does not have",
            "warn  this kernel has no ct timeouts: masqd goes on without them"
        ) { $0.lack(.timeouts) },
        Self(
            "a log of drops that this kernel can't write",
            """
            warn  this kernel has no packet logging: masqd goes on without it (modules: nft_log, nf_log_syslog, nfnetlink_log)
            """
        ) { $0.lack(.log) },
        Self(
            "flowtables that this kernel does not have, and need not",
            """
            hint  this kernel has no flowtables: masqd goes on without them (modules: nf_flow_table_inet, nft_flow_offload)
            """
        ) {
            $0.configuration?.forward.flowOffload = .auto
            $0.lack(.flowOffload)
        },
        Self(
            "rules that the kernel does not take",
            """
            wrong table inet masqd is not in force: nothing is masqueraded, and nothing held back; the kernel refused \
            chain postrouting: No such file or directory
            """
        ) {
            $0.observations.table = .seen(
                TableComparison(
                    isThere: false, changes: [.addTable(flags: 0)],
                    refusal: CommitFailure(
                        reason: "the kernel refused chain postrouting: No such file or directory",
                        kind: .unsupported)))
        },
        Self(
            "flowtables that this kernel does not have, and must",
            """
            wrong table inet masqd is not as /etc/masqd.toml asks for: flowtable fastpath is missing; no flowtables here
            """
        ) {
            $0.configuration?.forward.flowOffload = .software
            $0.observations.table = .seen(
                TableComparison(
                    isThere: true, changes: [.addFlowtable("fastpath", .init(flags: 2))],
                    refusal: CommitFailure(
                        reason: "no flowtables here", kind: .unsupported, missing: .flowOffload)))
        },
        Self(
            "policy routing that somebody has changed",
            """
            wrong policy routing is not as /etc/masqd.toml asks for: the routing rule 20001 for IPv4 differs, and 3 more
                  type: systemctl reload masqd.service
            """
        ) {
            try $0.addUplinkBlock()
            $0.changeRouting { state in state.rules.removeAll() }
        },
        Self("policy routing as it should be") { try $0.addUplinkBlock() },
        Self(
            "an uplink that no probe gets an answer through",
            """
            warn  ppp0 gave no answer to its probes: new connections leave by it last
                  look: ping -I ppp0 192.0.2.1
            """
        ) {
            try $0.addUplink()
            try $0.addUplinkBlock()
            $0.configuration?.uplinks.append(UplinkBlock(line: 12, interface: "wan.9", number: 2))
            $0.answerRouting(unanswered: [1])
        },
        Self(
            "rules that can't be read", "skip  the rules in force: not looked at: needs CAP_NET_ADMIN"
        ) { $0.observations.table = .unseen(why: "needs CAP_NET_ADMIN") },
        Self(
            "others' rules",
            """
            wrong it drops
                  type: open it
                  type: and load it
            """, "warn  it translates", "hint  it may translate (3 more networks need the same)"
        ) {
            $0.observations.foreign = .seen(
                ForeignReport(findings: [
                    .init(
                        kind: .dropsBoth, owner: .ufw, baseChain: "a", claim: "it drops",
                        advice: ["open it", "and load it"]),
                    .init(kind: .translates, owner: .ufw, baseChain: "b", claim: "it translates", advice: []),
                    .init(
                        kind: .mayTranslate, owner: .ufw, baseChain: "c", claim: "it may translate",
                        advice: [],
                        unlisted: 3),
                ]))
        },
        Self(
            "others' rules that are hidden",
            "skip  the rules of iptables-legacy: not looked at: only root may read them"
        ) {
            var report = ForeignReport()
            report.isComplete = false
            $0.observations.foreign = .seen(report)
        },
        Self("no connections yet", "hint  the kernel tracks no connections: no rule has asked for it yet") {
            $0.observations.conntrack = .seen(nil)
        },
        Self(
            "many connections",
            """
            warn  the connection table holds 80000 of 100000 connections: it is nearly full; \
            net.netfilter.nf_conntrack_max may be 200000 with this memory
                  look: conntrack -S
            """
        ) { $0.load(count: 80_000, maximum: 100_000, buckets: 65_536) },
        Self(
            "too many connections",
            """
            wrong the connection table holds 100000 of 100000 connections: it is full, and new ones are dropped; \
            net.netfilter.nf_conntrack_max may be 200000 with this memory
                  look: conntrack -S
            """
        ) { $0.load(count: 100_000, maximum: 100_000, buckets: 65_536) },
        Self(
            "too many connections for the memory",
            """
            warn  the connection table holds 80000 of 100000 connections: it is nearly full; a larger one would take \
            more than a quarter of the memory
                  look: conntrack -S
            """
        ) { $0.load(count: 80_000, maximum: 100_000, buckets: 65_536, memory: 256 << 20) },
        Self(
            "a table that is small for a gateway",
            """
            hint  nf_conntrack_max is 8192: a few clients with many connections fill the table; 65536 would \
            fit into this memory
            """
        ) { $0.load(count: 0, maximum: 8192, buckets: 8192, memory: 512 << 20) },
        Self("a small table on a small machine") {
            $0.load(count: 0, maximum: 8192, buckets: 8192, memory: 96 << 20)
        },
        Self(
            "a table that the memory is too small for",
            """
            hint  nf_conntrack_max is 1000000: a full table would take 381 of 512 MiB of memory, one of \
            335544 a quarter
            """
        ) { $0.load(count: 0, maximum: 1_000_000, buckets: 262_144, memory: 512 << 20) },
        Self(
            "long chains",
            """
            hint  nf_conntrack_max is 1000000 with 65536 buckets: looking a connection up in a full table is \
            slow; 250000 buckets would do
            """
        ) { $0.load(count: 0, maximum: 1_000_000, buckets: 65_536) },
        Self(
            "failures",
            """
            hint  12 packets were dropped since boot, as the connection table had no room for them; does it grow?
                  look: conntrack -S
            """,
            """
            hint  7 connections failed since boot, as their ports were taken: a few are normal; does it grow?
                  look: conntrack -S
            """
        ) {
            var load = $0.observations.conntrack.value ?? nil
            load?.failures = .init(drops: 12, failedInsertions: 7)
            $0.observations.conntrack = .seen(load)
        },
        Self(
            "an old copy at the next boot",
            """
            warn  /etc/nftables.conf:3 has a copy of table inet masqd, which is loaded at boot, however old it is
                  type: sed -i.bak '3,9d;20,30d' /etc/nftables.conf
            """
        ) {
            $0.observations.savedRuleset = .seen(
                SavedRuleset(path: "/etc/nftables.conf", copies: [3...9, 20...30]))
        },
    ]
}
