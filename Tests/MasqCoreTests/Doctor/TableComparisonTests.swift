// SPDX-License-Identifier: GPL-3.0-or-later

import Testing

@testable import MasqCore

@Suite struct TableComparisonTests {
    private static let configuration = {
        var configuration = Configuration.masquerading("ppp0", "192.168.0.0/16")
        configuration.conntrack.helpers = [TrackedProtocol(.ftp), TrackedProtocol(.sip)]
        return configuration
    }()

    /// Compares with a kernel that lacks some things, and counts the questions.
    private func compare(
        _ configuration: Configuration, lacking: [KernelFeature]
    ) -> (comparison: TableComparison, questions: [Ruleset]) {
        var questions: [Ruleset] = []
        let comparison = TableComparison.of(configuration, memory: [], Links()) { ruleset in
            questions.append(ruleset)
            let missing = lacking.first { feature in
                switch feature {
                case .helper(let name): ruleset.helpers.contains { $0.name == name }
                case .flowOffload: ruleset.flowtable != nil
                case .log: ruleset.chains.contains { DropReason(chain: $0.name) != nil }
                case .timeouts: !ruleset.timeouts.isEmpty
                }
            }
            let refusal = missing.map { CommitFailure(reason: "no", kind: .unsupported, missing: $0) }
            return TableComparison(isThere: true, changes: [], refusal: refusal)
        }
        return (comparison, questions)
    }

    @Test("What the kernel lacks is left out, one thing after the other, as the daemon does")
    func leavesOut() {
        let (comparison, questions) = compare(
            Self.configuration, lacking: [.helper("helper_ftp"), .helper("helper_sip_tcp")])
        #expect(comparison.lacking == [.helper("helper_ftp"), .helper("helper_sip_tcp")])
        #expect(comparison.refusal == nil)
        #expect(questions.count == 3)
        #expect(questions.last?.helpers.map(\.name) == ["helper_sip"])
    }

    @Test("What the file insists on is not left out, and no question is asked twice")
    func insists() {
        var configuration = Self.configuration
        configuration.forward.flowOffload = .software
        let (comparison, questions) = compare(configuration, lacking: [.flowOffload])
        #expect(comparison.lacking == [])
        #expect(comparison.refusal?.missing == .flowOffload)
        #expect(questions.count == 1)
        configuration.forward.flowOffload = .auto
        configuration.log.drops = .kernel
        #expect(
            compare(configuration, lacking: [.flowOffload, .log]).comparison.lacking == [.flowOffload, .log])
    }

    @Test("A kernel that refuses what was left out already is believed, and not asked for ever")
    func stubborn() {
        var count = 0
        let comparison = TableComparison.of(Self.configuration, memory: [], Links()) { _ in
            count += 1
            return TableComparison(
                isThere: false, changes: [],
                refusal: CommitFailure(reason: "no", kind: .unsupported, missing: .helper("helper_ftp")))
        }
        #expect(count == 2)
        #expect(comparison.lacking == [.helper("helper_ftp")])
        #expect(comparison.refusal != nil)
    }

    @Test("Sets that follow the links are compared as they are with the links that there are")
    func follows() throws {
        var configuration = Self.configuration
        configuration.portForwards = [
            PortForward(
                line: 9, inInterfaces: [.name("ppp0")], transports: [.tcp], ports: 80...80,
                address: try #require(IPAddress("192.168.1.2")), firstPort: 80)
        ]
        let links = Links([.link("ppp0", 7, up: true, "203.0.113.7")])
        _ = TableComparison.of(configuration, memory: [], links) { ruleset in
            var expected = Ruleset.desired(configuration)
            #expect(ruleset != expected)
            expected.follow(links)
            #expect(ruleset == expected)
            return TableComparison(isThere: true, changes: [])
        }
    }
}
