// SPDX-License-Identifier: GPL-3.0-or-later

import Testing

@testable import MasqCore

@Suite struct DropLogTests {
    @Test("With the log the same packets are dropped, each told once; what passes meets not one rule more")
    func meaning() {
        var reasons: Set<String> = []
        func rulesets(_ configuration: Configuration) -> (quiet: Ruleset, logging: Ruleset) {
            var configuration = configuration
            configuration.log.drops = .off
            let quiet = Ruleset.desired(configuration)
            configuration.log.drops = .nflog
            return (quiet, .desired(configuration))
        }
        forEachPacket(with: rulesets) { message, configuration, rulesets, packet in
            var packet = packet
            for stage in ["first", "later", "invalid"] {
                packet.connection?.isConfirmed = stage == "later"
                if stage == "invalid" { packet.connection = nil }
                packet.state = stage == "later" ? .established : stage == "invalid" ? .invalid : []
                for chain in ["forward", "output", "postrouting"] {
                    let expected = rulesets.quiet.outcome(of: packet, in: chain)
                    let outcome = rulesets.logging.outcome(of: packet, in: chain)
                    #expect(outcome?.verdict == expected?.verdict, "\(message), \(stage)")
                    #expect(outcome?.counter == expected?.counter, "\(message), \(stage)")
                    #expect(outcome?.raised == expected?.raised, "\(message), \(stage)")
                    if expected?.verdict == .drop {
                        #expect(outcome?.logged.count == 1, "\(message), \(stage)")
                    } else {
                        #expect(outcome?.logged == expected?.logged, "\(message), \(stage)")
                        #expect(outcome?.ruleCount == expected?.ruleCount, "\(message), \(stage)")
                    }
                    reasons.formUnion(outcome?.logged ?? [])
                }
            }
        }
        #expect(
            reasons == [
                "masqd drop: spoofed source: ", "masqd drop: untranslated: ", "masqd drop: unsolicited: ",
                "masqd drop: no prefix yet: ", "masqd drop: forward policy: ",
            ])
    }

    @Test("Every reason has room behind the longest prefix, and a chain of its own")
    func reasons() {
        for reason in DropReason.allCases {
            let length = DropLog.maximumPrefixLength + "\(reason.rawValue): ".utf8.count
            #expect(length <= Rule.maximumLogPrefixLength, "\(reason)")
            #expect(DropReason(chain: reason.chain) == reason)
        }
        #expect(DropReason.spoofedSource.chain == "drop_spoofed_source")
        #expect(DropReason(chain: "unsolicited") == nil)
        #expect(DropReason(chain: "drop_by_somebody_else") == nil)
    }

    @Test("A kernel that can't log goes on without, drops what it dropped, and is told about")
    func missing() {
        var configuration = Configuration.howTo
        configuration.gateway.ipForward = .ignore
        let quiet = Ruleset.desired(configuration)
        configuration.log.drops = .kernel
        #expect(Ruleset.desired(configuration) != quiet)
        #expect(Change.addRule(chain: "drop_unsolicited", []).feature == .log)
        #expect(Change.addRule(chain: "unsolicited", []).feature == nil)

        var reconciler = Reconciler()
        _ = reconciler.handle(.configurationLoaded(configuration))
        let failure = CommitFailure(reason: "no log", kind: .unsupported, missing: .log)
        let actions = reconciler.handle(.commitFailed(failure))
        #expect(actions == [.log(.warning, "no log: going on without it"), .commit(quiet)])
        let status = reconciler.handle(.committed(changes: 1)).compactMap {
            if case .notifyReady(let status) = $0 { status } else { nil }
        }
        #expect(status.first?.contains("the kernel lacks packet logging") == true)
    }
}
