// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// Finds out whether a suspicious flow is wrong: where its next packet goes, and whether that is certain.
///
/// The kernel is asked first what conntrack knows of that packet. If the flow looks wrong by that answer, it is asked once more for
/// whatever is not known and can lead elsewhere. Only a flow that is wrong whatever that is goes.
struct FlowExamination: ~Copyable {
    private var routes: RouteFinder
    private var policies: PolicyReader
    private var ipsec: IPsecConnection
    /// The IPsec policies at this walk, read when a flow that may be one's is found.
    private var protection: IPsecPolicies?
    /// Whether packets that a bridge passes come to netfilter's rules, by family, read when it matters.
    private var bridging: [AddressFamily: Bool] = [:]
    /// The flows that look wrong, and are left alone.
    private(set) var undecided = UndecidedFlows()

    /// More interfaces than this are not asked about one by one.
    private static let maximumInputs = 16

    /// Opens its sockets in the calling thread's network namespace.
    ///
    /// - Throws: ``NetlinkError``.
    init() throws(NetlinkError) {
        try self.init(RouteFinder(), PolicyReader(), IPsecConnection())
    }

    private init(
        _ routes: consuming RouteFinder, _ policies: consuming PolicyReader,
        _ ipsec: consuming IPsecConnection
    ) {
        self.routes = routes
        self.policies = policies
        self.ipsec = ipsec
    }

    /// Forgets what was read: links, routes or policies may be others now.
    mutating func forget() {
        routes.forget()
        _ = policies.hasChanged()
        (protection, bridging) = (nil, [:])
    }

    /// Whether nothing is left to read that may take long.
    var isPrepared: Bool { policies.isPrepared }

    /// Reads what may take long, for about so long.
    ///
    /// - Returns: whether nothing is left.
    /// - Throws: ``NetlinkError``.
    mutating func prepare(milliseconds: Int) throws(NetlinkError) -> Bool {
        try policies.prepare(milliseconds: milliseconds)
    }

    /// Begins to count anew what is left alone.
    mutating func begin() { undecided = UndecidedFlows() }

    /// Why a flow goes; nothing where it is right, or may be.
    ///
    /// - Throws: ``NetlinkError``.
    mutating func fault(of flow: Flow, _ judge: FlowJudge) throws(NetlinkError) -> FlowFault? {
        if judge.isLost(flow) { return .uplinkLost }
        guard judge.isSuspicious(flow) else { return nil }
        var verdict = try verdict(on: flow, judge)
        // A rule that came while the walk was under way may be for this flow: nothing goes by what was true before.
        if case .wrong = verdict, policies.hasChanged() {
            routes.forget()
            verdict = try self.verdict(on: flow, judge)
        }
        switch verdict {
        case .right: return nil
        case .wrong(let fault): return fault
        case .uncertain(let doubt):
            undecided.add(flow, doubt)
            return nil
        }
    }

    private enum Verdict {
        case right
        case wrong(FlowFault)
        case uncertain(Doubt)
    }

    private mutating func verdict(on flow: Flow, _ judge: FlowJudge) throws(NetlinkError) -> Verdict {
        let rules = try policies.rules(flow.source.family)
        // The machine's own packets are a user's, and may be bound to a link: conntrack knows neither.
        if judge.isOwn(flow), let rule = rules.firstForSockets { return .uncertain(.rule("\(rule)")) }
        let inputs = try inputs(of: flow, judge, rules)
        guard let input = inputs.first else { return .uncertain(.arrival) }
        let question = rules.question(about: flow, comingInBy: input)
        let route = try routes.answer(question)
        guard let fault = judge.fault(of: flow, by: route) else {
            let isWrongByOne = route.links.contains { judge.fault(of: flow, leavingBy: $0) != nil }
            if isWrongByOne { return .uncertain(.severalWays) }
            // What conntrack knows leads elsewhere, and may be other than what the packet has.
            return try mayBeWrong(flow, judge, rules, question, route, inputs) ?? .right
        }
        if fault == .untranslated, try isProtected(flow) { return .right }
        if let doubt = try doubt(flow, judge, rules, question, route, inputs) { return .uncertain(doubt) }
        return .wrong(fault)
    }

    /// Whether a flow that is right by the first answer is wrong by another one: then it is counted.
    private mutating func mayBeWrong(
        _ flow: Flow, _ judge: FlowJudge, _ rules: PolicyRules, _ question: RouteQuestion,
        _ route: RouteAnswer, _ inputs: [Int32]
    ) throws(NetlinkError) -> Verdict? {
        let names = Dictionary(
            uniqueKeysWithValues: inputs.map { ($0, judge.links.byIndex[$0]?.name ?? "") })
        let alternatives = rules.alternatives(
            to: question, about: flow, answeredFrom: route.table, inputs: names)
        guard case .questions(let questions) = alternatives else { return nil }
        for other in questions where judge.fault(of: flow, by: try routes.answer(other)) != nil {
            return .uncertain(rules.doubt(other, not: question, about: flow, inputs: names))
        }
        return nil
    }

    /// Why it is not certain that a flow is wrong that looks so.
    private mutating func doubt(
        _ flow: Flow, _ judge: FlowJudge, _ rules: PolicyRules, _ question: RouteQuestion,
        _ route: RouteAnswer, _ inputs: [Int32]
    ) throws(NetlinkError) -> Doubt? {
        let names = Dictionary(
            uniqueKeysWithValues: inputs.map { ($0, judge.links.byIndex[$0]?.name ?? "") })
        let alternatives = rules.alternatives(
            to: question, about: flow, answeredFrom: route.table, inputs: names)
        switch alternatives {
        case .unanswerable(let doubt): return doubt
        case .questions(let questions):
            for other in questions where judge.fault(of: flow, by: try routes.answer(other)) == nil {
                return rules.doubt(other, not: question, about: flow, inputs: names)
            }
        }
        guard flow.translatedSource == flow.source, try isBridged(flow.source.family) else { return nil }
        for input in inputs where judge.mayBeBridged(flow, comingInBy: input, leavingBy: route) {
            if try routes.kind(ofLink: input) == "bridge" { return .bridge }
        }
        return nil
    }

    /// The links that a flow's packets may come in by, the likeliest first; none where nobody knows.
    ///
    /// conntrack does not say it. Where no rule looks at it, one that leads to the source is as good as any other.
    private mutating func inputs(
        of flow: Flow, _ judge: FlowJudge, _ rules: PolicyRules
    ) throws(NetlinkError) -> [Int32] {
        let back = try routes.answer(RouteQuestion(to: flow.source))
        // A default route leads to whatever is not here, and an uplink's to nobody inside.
        let isKnown =
            !(back.isDefault || back.links.allSatisfy { judge.isUplink($0, of: flow) && !back.isOnLink })
        let likely = isKnown ? Array(back.links.prefix(1)) : []
        // The rules may lead what goes back elsewhere: then it is a link that has a route to the source of its own.
        guard rules.lookAtInput || !isKnown else { return likely }
        let others = judge.links.byIndex.values.filter {
            $0.isUp && $0.name != "lo" && !likely.contains($0.index) && !judge.isUplink($0.index, of: flow)
        }
        guard others.count <= Self.maximumInputs else { return [] }
        var inputs = likely
        for link in others.sorted(by: { $0.index < $1.index }) {
            var question = RouteQuestion(to: flow.source)
            question.outputLink = link.index
            let way = try routes.answer(question)
            // Nobody comes in elsewhere than at a link that the source is on, but where another one is as near.
            guard !way.isDefault, !isKnown || !back.isOnLink || way.prefixLength >= back.prefixLength
            else { continue }
            inputs.append(link.index)
        }
        return inputs
    }

    /// Whether an untranslated flow's packets leave through IPsec, and so are right as they are.
    private mutating func isProtected(_ flow: Flow) throws(NetlinkError) -> Bool {
        if let protection { return protection.protects(flow) }
        let read = try ipsec.policies()
        protection = read
        return read.protects(flow)
    }

    private mutating func isBridged(_ family: AddressFamily) throws(NetlinkError) -> Bool {
        if let known = bridging[family] { return known }
        let isBridged = Sysctl.tracksBridgedPackets(family)
        bridging[family] = isBridged
        return isBridged
    }
}
