// SPDX-License-Identifier: GPL-3.0-or-later

import Testing

@testable import MasqCore

@Suite("What rules of policy routing leave open about a flow")
struct PolicyRulesTests {
    private static let main: UInt32 = 254
    private static let lan0: [Int32: InterfaceName] = [2: "lan0"]

    private static func rule(
        _ priority: UInt32, _ action: PolicyRule.Action = .lookUp(table: 77),
        _ change: (inout PolicyRule) -> Void = { _ in }
    ) -> PolicyRule {
        var rule = PolicyRule(priority: priority, action)
        change(&rule)
        return rule
    }

    /// The rules that every machine has, behind some more.
    private static func rules(
        _ rules: PolicyRule..., services: [PolicyRules.ServiceRoute] = []
    ) -> PolicyRules {
        let last = rule(32766, .lookUp(table: main))
        return PolicyRules([rule(0, .lookUp(table: 255))] + rules + [last], serviceRoutes: services)
    }

    private static func marked(_ value: UInt32, _ mask: UInt32 = .max, _ priority: UInt32 = 100) -> PolicyRule
    {
        rule(priority) { $0.mark = .init(value: value, mask: mask) }
    }

    private func flow(_ transport: UInt8 = 6, port: UInt16 = 443, mark: UInt32 = 0) throws -> Flow {
        let source = try #require(IPAddress("192.168.1.2"))
        var flow = Flow(
            source: source, destination: try #require(IPAddress("198.51.100.80")), translatedSource: source,
            transport: transport, sourcePort: 40_000, destinationPort: port)
        flow.mark = mark
        return flow
    }

    /// What is asked beside the first question, which the main table has answered.
    private func alternatives(
        _ rules: PolicyRules, _ flow: Flow, inputs: [Int32: InterfaceName] = lan0, from table: UInt32 = main
    ) -> PolicyRules.Alternatives {
        let question = rules.question(about: flow, comingInBy: 2)
        return rules.alternatives(to: question, about: flow, answeredFrom: table, inputs: inputs)
    }

    private func marks(_ alternatives: PolicyRules.Alternatives) -> [UInt32]? {
        guard case .questions(let questions) = alternatives else { return nil }
        return questions.map(\.mark)
    }

    @Test("Without rules of anybody's one question is enough, and it has no ports and no mark")
    func plain() throws {
        let rules = Self.rules()
        let flow = try flow(mark: 0x77)
        let question = rules.question(about: flow, comingInBy: 2)
        #expect(question == RouteQuestion(to: flow.destination, from: flow.source, inputLink: 2))
        #expect(alternatives(rules, flow) == .questions([]))
    }

    @Test("A packet's mark is not known: the kernel is asked with each that a rule tells apart")
    func marks() throws {
        let one = Self.rules(Self.marked(0x77))
        #expect(marks(alternatives(one, try flow())) == [0x77])
        #expect(one.question(about: try flow(mark: 0x77), comingInBy: 2).mark == 0x77)
        #expect(marks(alternatives(one, try flow(mark: 0x77)))?.contains { $0 != 0x77 } == true)
        let two = Self.rules(Self.marked(0x1, 0xf), Self.marked(0x20, 0xf0, 101))
        #expect(try Set(#require(marks(alternatives(two, try flow())))) == [0x1, 0x20, 0x21])
        // All marks but one.
        let other = Self.rules(
            Self.rule(100) { ($0.mark, $0.isInverted) = (.init(value: 7, mask: .max), true) })
        #expect(marks(alternatives(other, try flow())) == [7])
    }

    @Test("A mark that says nothing about this flow is not asked about")
    func irrelevantMarks() throws {
        let elsewhere = Self.rule(100) {
            $0.mark = .init(value: 7, mask: .max)
            $0.source = try? IPNetwork("10.0.0.0/8")
        }
        let samePlace = Self.rule(100, .lookUp(table: Self.main)) { $0.mark = .init(value: 7, mask: .max) }
        let behind = Self.marked(7, .max, 32_767)
        let otherInput = Self.rule(100) {
            ($0.mark, $0.inInterface) = (.init(value: 7, mask: .max), "tun0")
        }
        let own = Self.rule(100) { ($0.mark, $0.isOwn) = (.init(value: 0x20, mask: 0xe0), true) }
        for rule in [elsewhere, samePlace, behind, otherInput, own] {
            let alternatives = alternatives(Self.rules(rule), try flow())
            #expect(alternatives == .questions([]), "\(rule)")
        }
    }

    @Test("A rule that jumps, or that the answer hangs on itself, leaves the rules behind it open")
    func jumps() throws {
        let jump = Self.rule(100, .goTo) { $0.typeOfService = 8 }
        let behind = Self.marked(7, .max, 32_767)
        #expect(marks(alternatives(Self.rules(jump, behind), try flow()))?.contains(7) == true)
        let answering = Self.rule(100, .lookUp(table: 101)) { $0.mark = .init(value: 0, mask: 1) }
        let rules = Self.rules(answering, Self.marked(3, 3, 200))
        #expect(try Set(#require(marks(alternatives(rules, try flow(), from: 101)))) == [1, 3])
    }

    @Test("A rule without a doubt leaves the ones before it open where it leads elsewhere than the answer")
    func certainRuleBetween() throws {
        let toMain = PolicyRule.Action.lookUp(table: Self.main)
        let here = try IPNetwork("192.168.1.0/24")
        let marked = Self.rule(10, toMain) { $0.mark = .init(value: 1, mask: .max) }
        let flow = try flow(mark: 1)
        let leadingElsewhere = [
            Self.rule(50, .lookUp(table: 100)) { $0.source = here },
            Self.rule(50, .other) { $0.source = here },
            Self.rule(50, .lookUp(table: Self.main, isRestricted: true)),
            Self.rule(50, .lookUp(table: 100)) {
                ($0.source, $0.isInverted) = (try? IPNetwork("10.0.0.0/8"), true)
            },
            Self.rule(50, .lookUp(table: 100)) { $0.inInterface = "lan0" },
            Self.rule(10, .lookUp(table: 100)) { $0.source = here },
        ]
        for rule in leadingElsewhere {
            let marks = marks(alternatives(Self.rules(marked, rule), flow))
            #expect(marks?.contains { $0 != 1 } == true, "\(rule)")
        }
        let saysNothing = [
            Self.rule(50, .lookUp(table: 100)) { $0.source = try? IPNetwork("10.0.0.0/8") },
            Self.rule(50, toMain) { $0.source = here },
            Self.rule(50, .lookUp(table: 100)) { $0.inInterface = "lan9" },
            Self.rule(5, .lookUp(table: 100)) { $0.source = here },
            Self.rule(32_767, .lookUp(table: 100)) { $0.source = here },
        ]
        for rule in saysNothing {
            let rules = rule.priority < 10 ? Self.rules(rule, marked) : Self.rules(marked, rule)
            #expect(alternatives(rules, flow) == .questions([]), "\(rule)")
        }
    }

    @Test("A jump without a doubt may pass over the rule that leads all to the answer")
    func certainJump() throws {
        let rules = PolicyRules([
            Self.rule(10, .goTo), Self.rule(50, .lookUp(table: Self.main)), Self.marked(7, .max, 60),
            Self.rule(70, .lookUp(table: Self.main)),
        ])
        #expect(marks(alternatives(rules, try flow())) == [7])
    }

    @Test("Too many kinds of marks cannot be answered")
    func tooManyMarks() throws {
        let rules = PolicyRules((0..<20).map { Self.marked(1 << $0, 1 << $0, 100 + $0) })
        let expected = Doubt.rule("routing rule 100 (fwmark 0x1/0x1)")
        #expect(alternatives(rules, try flow()) == .unanswerable(expected))
        // Values of one field are as many kinds as values.
        let field = PolicyRules((1..<12).map { Self.marked($0, 0xff, 100 + $0) })
        #expect(marks(alternatives(field, try flow()))?.count == 11)
    }

    @Test("The ports are asked with where a rule is for them, and not where it is for others")
    func ports() throws {
        let rules = Self.rules(
            Self.rule(100) { ($0.transport, $0.destinationPorts) = (6, 443...445) },
            Self.rule(101) { $0.sourcePorts = 1...1023 })
        #expect(rules.question(about: try flow(), comingInBy: 2).destinationPort == 443)
        for other in [try flow(17), try flow(port: 446)] {
            let question = rules.question(about: other, comingInBy: 2)
            #expect((question.transport, question.destinationPort) == (0, 0))
        }
        #expect(alternatives(rules, try flow()) == .questions([]))
        // SCTP: the kernel takes no such question.
        let sctp = PolicyRules([Self.rule(100) { $0.transport = 132 }])
        #expect(alternatives(sctp, try flow(132)) == .unanswerable(.rule("routing rule 100 (ipproto 132)")))
        #expect(alternatives(sctp, try flow()) == .questions([]))
    }

    @Test("The type of service is not known, and asked with where a rule or a route is for one")
    func services() throws {
        let rules = Self.rules(
            Self.rule(100) { $0.typeOfService = 0x10 },
            services: [
                .init(try IPNetwork("198.51.100.0/24"), typeOfService: 0x8),
                .init(try IPNetwork("203.0.113.0/24"), typeOfService: 0x4),
            ])
        guard case .questions(let questions) = alternatives(rules, try flow()) else {
            Issue.record("it can be asked")
            return
        }
        #expect(questions.map(\.typeOfService) == [0x8, 0x10])
    }

    @Test("What no question can say is a doubt: tunnel ids, users, what a later kernel looks at")
    func unanswerable() throws {
        let rules = Self.rules(Self.rule(100) { $0.unknownCondition = "tun_id" })
        #expect(alternatives(rules, try flow()) == .unanswerable(.rule("routing rule 100 (tun_id)")))
        let sockets = Self.rules(Self.rule(100) { ($0.isForSockets, $0.typeOfService) = (true, 8) })
        #expect(alternatives(sockets, try flow()) == .questions([]))
    }

    @Test("Each link that the flow may come in by is asked about")
    func inputs() throws {
        let rules = Self.rules(Self.rule(100) { $0.inInterface = "lan1" })
        #expect(rules.lookAtInput)
        #expect(!Self.rules(Self.rule(100) { $0.inInterface = "lo" }).lookAtInput)
        #expect(Self.rules(Self.rule(100) { $0.isForVRF = true }).lookAtInput)
        let both = alternatives(rules, try flow(), inputs: [2: "lan0", 3: "lan1"])
        guard case .questions(let questions) = both else {
            Issue.record("it can be asked")
            return
        }
        #expect(questions.map(\.inputLink) == [3])
        let first = rules.question(about: try flow(), comingInBy: 2)
        let doubt = rules.doubt(questions[0], not: first, about: try flow(), inputs: [2: "lan0", 3: "lan1"])
        #expect(doubt == .arrival)
    }

    @Test("A doubt names the rule that it comes from")
    func doubts() throws {
        let rules = Self.rules(
            Self.marked(0x1, 0xf), Self.marked(0x77, .max, 101), Self.rule(102) { $0.typeOfService = 0x10 })
        let flow = try flow()
        let first = rules.question(about: flow, comingInBy: 2)
        for (mark, service, words) in [
            (UInt32(0x77), UInt8(0), "routing rule 101 (fwmark 0x77)"),
            (0x1, 0, "routing rule 100 (fwmark 0x1/0xf)"), (0, 0x10, "routing rule 102 (tos 0x10)"),
        ] {
            var other = first
            (other.mark, other.typeOfService) = (mark, service)
            #expect(rules.doubt(other, not: first, about: flow, inputs: Self.lan0) == .rule(words))
        }
    }

    @Test("The kinds of marks that rules tell apart are all there, whatever the rules are")
    func allKinds() throws {
        var random = SplitMixed(state: 7)
        for _ in 0..<500 {
            let rules = (0..<Int.random(in: 1...4, using: &random)).map { _ in
                RoutingRule.Mark(
                    value: .random(in: 0..<32, using: &random), mask: .random(in: 1..<32, using: &random))
            }
            func kind(_ mark: UInt32) -> [Bool] {
                rules.map { (mark ^ ($0.value & $0.mask)) & $0.mask == 0 }
            }
            let base = UInt32.random(in: 0..<32, using: &random)
            let found = try #require(MarkClasses.representatives(of: rules, near: base))
            #expect(found.first == base)
            #expect(Set(found.map(kind)) == Set((0..<32).map { kind($0) }), "\(rules)")
        }
    }

    /// A sequence that is the same in every run.
    private struct SplitMixed: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            let value = (state ^ state >> 30) &* 0xbf58_476d_1ce4_e5b9
            return value ^ value >> 27
        }
    }
}
