// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport
import Testing

@Suite("Others who drop or translate masqueraded traffic")
struct ForeignTests {
    private static let configuration = """
        [[masquerade]]
        out_interface = "ppp0"
        source = "192.168.0.0/16"

        """

    /// Somebody else's rules, and how the line about them begins.
    struct Case: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let program: [String]
        let rules: String
        let claim: String

        init(_ name: String, _ program: [String], _ rules: String, claim: String) {
            testDescription = name
            self.program = program
            self.rules = rules
            self.claim = claim
        }

        static let all = [
            Case(
                "Docker's", ["iptables-nft-restore"], ForeignRules.docker,
                claim:
                    "ip filter FORWARD (Docker) drops what 192.168.0.0/16 sends out of ppp0, and the answers"),
            Case(
                "Docker 28's", ["iptables-nft-restore"], ForeignRules.docker28,
                claim:
                    "ip filter FORWARD (Docker) drops what 192.168.0.0/16 sends out of ppp0, and the answers"),
            Case(
                "iptables -P FORWARD DROP", ["iptables-nft", "-P", "FORWARD", "DROP"], "",
                claim:
                    "ip filter FORWARD (iptables) drops what 192.168.0.0/16 sends out of ppp0, and the answers"
            ),
            Case(
                "answers forgotten",
                ["iptables-nft-restore"],
                ForeignRules.howTo.replacing("-A FORWARD -d", with: "-A FORWARD -d 10.0.0.0/8 -s"),
                claim: "ip filter FORWARD (iptables) drops the answers from ppp0 to 192.168.0.0/16"),
            Case(
                "nft's", ["nft", "-f", "-"], ForeignRules.handWritten,
                claim: """
                    inet filter forward (rules made by hand) drops what 192.168.0.0/16 sends out of ppp0: \
                    rule 3 of chain rest is reject
                    """),
        ]
    }

    @Test(
        "What is reported as dropped is dropped, and the printed command makes it pass", arguments: Case.all)
    func adviceHelps(_ foreign: Case) throws {
        let gateway = try Gateway()
        try Command(foreign.program[0], Array(foreign.program.dropFirst()))
            .run(in: gateway.router, input: foreign.rules).expectSuccess()
        let masqd = try Masqd(in: gateway.router, configuration: Self.configuration)
        try masqd.waitForReady()
        try masqd.waitForStatus(containing: "drops masqueraded traffic")
        let line = try #require(try masqd.lines(with: "to permit it: ").first)
        #expect(line.contains(foreign.claim))
        #expect(try gateway.isUnanswered(.tcp))

        try Command("sh", "-ec", try #require(line.advice)).run(in: gateway.router).expectSuccess()
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
        try eventually("masqd has noticed") { try masqd.log.contains("masqueraded traffic no more") }
        #expect(try masqd.lines(with: "to permit it: ").count == 1)
        try eventually("the status says so") { try !masqd.status.contains("drops masqueraded traffic") }
    }

    @Test("ufw's and firewalld's rules, in another's hand, are dropped, named and advised on")
    func programsAreNamed() throws {
        for (program, rules, claim, advice) in [
            (
                ["iptables-nft-restore"], ForeignRules.ufw, "ip filter FORWARD (ufw) drops",
                "ufw route allow out on ppp0 from 192.168.0.0/16"
            ),
            (
                ["nft", "-f", "-"], ForeignRules.firewalld, "inet firewalld filter_FORWARD (firewalld) drops",
                "firewall-cmd --permanent --new-policy=masqd"
            ),
        ] {
            let gateway = try Gateway()
            try Command(program[0], Array(program.dropFirst())).run(in: gateway.router, input: rules)
                .expectSuccess()
            let masqd = try Masqd(in: gateway.router, configuration: Self.configuration)
            try masqd.waitForStatus(containing: "drops masqueraded traffic")
            let line = try #require(try masqd.lines(with: "to permit it: ").first)
            #expect(line.contains(claim))
            #expect(line.advice?.hasPrefix(advice) == true)
            #expect(try gateway.isUnanswered(.tcp))
        }
    }

    @Test("Rules that permit the traffic are not spoken of: the how-to's, and others' without a policy")
    func silence() throws {
        for rules in [
            ForeignRules.howTo, ForeignRules.docker.replacing("FORWARD DROP", with: "FORWARD ACCEPT"),
        ] {
            let gateway = try Gateway()
            try Command("iptables-nft-restore").run(in: gateway.router, input: rules).expectSuccess()
            let masqd = try Masqd(in: gateway.router, configuration: Self.configuration)
            try masqd.waitForReady()
            #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
            // A reload looks again, and is over when it is answered by the one after it.
            try masqd.reload(Self.configuration)
            try masqd.reload(Self.configuration)
            #expect(try !masqd.log.contains("FORWARD"))
        }
    }

    @Test("Foreign chains that come while masqd runs are noticed once, and when they go")
    func noticed() throws {
        let scenario = try Scenario(Self.configuration)
        let (gateway, masqd) = (scenario.gateway, scenario.masqd)
        try gateway.router.nft(ForeignRules.handWritten)
        try masqd.waitForStatus(containing: "inet filter forward (rules made by hand) drops")
        try gateway.router.nft("add table inet other\nadd chain inet other c\n")
        try gateway.router.nft("delete table inet filter\n")
        try eventually("masqd has noticed") { try masqd.log.contains("masqueraded traffic no more") }
        #expect(try masqd.lines(with: "to permit it: ").count == 1)
        try gateway.router.nft(ForeignRules.handWritten)
        try eventually("masqd says it again") { try masqd.lines(with: "to permit it: ").count == 2 }
    }

    @Test("foreign_drop = \"off\" looks at nobody's tables")
    func off() throws {
        let gateway = try Gateway()
        try gateway.router.nft(ForeignRules.handWritten)
        let configuration = Self.configuration + "[forward]\nforeign_drop = \"off\"\n"
        let masqd = try Masqd(in: gateway.router, configuration: configuration)
        try masqd.waitForReady()
        try masqd.reload(configuration)
        try masqd.reload(configuration)
        #expect(try !masqd.log.contains("inet filter"))
        // The same file without it shows that there was something to see.
        try masqd.reload(Self.configuration)
        try masqd.waitForStatus(containing: "inet filter forward (rules made by hand) drops")
    }

    @Test("The how-to's own masquerade comes first, and the printed command removes it")
    func otherMasquerade() throws {
        let gateway = try Gateway()
        try Command(
            "iptables-nft", "-t", "nat", "-A", "POSTROUTING", "-s", "192.168.0.0/16", "-o", "ppp0", "-j",
            "SNAT",
            "--to-source", "203.0.113.99"
        ).run(in: gateway.router).expectSuccess()
        let masqd = try Masqd(in: gateway.router, configuration: Self.configuration)
        try eventually("masqd has noticed") { try masqd.log.contains("to leave it to masqd: ") }
        let line = try #require(try masqd.lines(with: "to leave it to masqd: ").first)
        #expect(
            line.contains(
                """
                ip nat POSTROUTING (iptables) translates what 192.168.0.0/16 sends out of ppp0 before masqd does: \
                rule 1 is snat
                """))
        #expect(try gateway.isUnanswered(.tcp))
        try Command("sh", "-ec", try #require(line.advice)).run(in: gateway.router).expectSuccess()
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
    }

    /// Whether iptables-legacy is installed, and the kernel has what it speaks to.
    private static let hasLegacy: Bool = {
        do {
            return try Command("iptables-legacy", "-S").run(in: NetworkNamespace()).status == 0
        } catch {
            return false
        }
    }()

    @Test(
        "What iptables-legacy drops or translates is said at start and reload, and the printed command helps",
        .enabled(if: hasLegacy, "iptables-legacy is not installed, or not in this kernel"))
    func legacy() throws {
        let gateway = try Gateway()
        func type(_ command: String) throws {
            try Command("sh", "-ec", command).run(in: gateway.router).expectSuccess()
        }
        try type("iptables-legacy -P FORWARD DROP")
        // Only advice, in this mode too.
        let configuration = Self.configuration + "[forward]\nforeign_drop = \"open\"\n"
        let masqd = try Masqd(in: gateway.router, configuration: configuration)
        try masqd.waitForStatus(containing: "legacy ip filter FORWARD (iptables-legacy) drops")
        let drop = try #require(try masqd.lines(with: "to permit it: ").first)
        #expect(
            drop.contains(
                """
                legacy ip filter FORWARD (iptables-legacy) drops what 192.168.0.0/16 sends out of ppp0, and the \
                answers: its policy is drop; to permit it: iptables-legacy -I FORWARD
                """))
        let doctor = try Command(Masqd.binary, "--doctor", masqd.configurationPath).run(in: gateway.router)
        #expect(doctor.status == 1)
        #expect(doctor.standardOutput.contains("wrong legacy ip filter FORWARD (iptables-legacy) drops"))
        #expect(try gateway.isUnanswered(.tcp))

        try type(try #require(drop.advice))
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
        try masqd.reload(configuration)
        try eventually("masqd has noticed") { try masqd.log.contains("masqueraded traffic no more") }

        try type("iptables-legacy -t nat -A POSTROUTING -o ppp0 -j SNAT --to-source 203.0.113.99")
        try masqd.reload(configuration)
        try eventually("masqd has noticed") { try masqd.log.contains("to leave it to masqd: ") }
        let translation = try #require(try masqd.lines(with: "to leave it to masqd: ").first)
        #expect(translation.contains("legacy ip nat POSTROUTING (iptables-legacy) translates"))
        #expect(try gateway.isUnanswered(.tcp))
        try type(try #require(translation.advice))
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
    }
}

extension Masqd {
    /// The lines of the log that contain a text.
    fileprivate func lines(with text: String) throws -> [String] {
        try log.split(separator: "\n").map(String.init).filter { $0.contains(text) }
    }
}

extension String {
    /// The command that a line of log ends with.
    fileprivate var advice: String? {
        for introduction in ["to permit it: ", "to leave it to masqd: "] {
            if let range = firstRange(of: introduction) { return String(self[range.upperBound...]) }
        }
        return nil
    }
}
