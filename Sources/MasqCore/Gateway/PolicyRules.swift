// SPDX-License-Identifier: GPL-3.0-or-later

/// All rules of policy routing of one family, and what they leave open about the route of a flow.
///
/// conntrack does not know all that routing looks at: not the mark that a packet has at hook prerouting, nor its type of service, nor
/// by which link it comes in. So the kernel is asked once for each answer that the rules could give.
public struct PolicyRules: Sendable {
    /// More questions than this are not asked about one flow.
    public static let maximumQuestions = 32

    /// In the order in which they are asked.
    let rules: [PolicyRule]
    /// Whether the arriving link decides anything.
    public let lookAtInput: Bool
    /// The bits of the mark that any rule looks at.
    let markMask: UInt32
    private let haveTransport: Bool
    /// The networks that routes for one type of service are for.
    private let routesByService: [UInt8: [IPNetwork]]

    /// A route that is for one type of service only (`tos` of `ip route`; IPv4 has them).
    public struct ServiceRoute: Equatable, Sendable {
        /// The destination.
        public var destination: IPNetwork
        /// The type of service.
        public var typeOfService: UInt8

        /// Makes one.
        public init(_ destination: IPNetwork, typeOfService: UInt8) {
            self.destination = destination
            self.typeOfService = typeOfService
        }
    }

    /// Takes the rules as the kernel lists them, and all routes that are for one type of service.
    public init(_ rules: [PolicyRule], serviceRoutes: [ServiceRoute] = []) {
        self.rules = rules
        lookAtInput = rules.contains { $0.isForVRF || $0.inInterface.map { $0 != "lo" } ?? false }
        markMask = rules.reduce(0) { $0 | ($1.mark?.mask ?? 0) }
        haveTransport = rules.contains(where: \.looksAtTransport)
        routesByService = Dictionary(grouping: serviceRoutes, by: \.typeOfService)
            .mapValues { $0.map(\.destination) }
    }

    /// The first rule that looks at the socket that a packet of the machine's own comes from.
    public var firstForSockets: PolicyRule? {
        rules.first { ($0.isForSockets || $0.hasOutInterface) && !$0.isOwn }
    }

    /// The question about a flow's next packet, as far as conntrack knows that packet.
    ///
    /// What no rule looks at is left out, so that flows share answers: a stranger chooses the ports.
    public func question(about flow: Flow, comingInBy input: Int32) -> RouteQuestion {
        var question = RouteQuestion(to: flow.destination, from: flow.source, inputLink: input)
        question.mark = flow.mark & markMask
        // A rule for other ports says the same about no port at all (`fib_rule_port_inrange`: a range begins at 1).
        guard haveTransport, Self.canAsk(flow.transport, flow.source.family),
            rules.contains(where: { Self.isForTransport($0, of: flow) })
        else { return question }
        question.transport = flow.transport
        question.sourcePort = flow.sourcePort
        question.destinationPort = flow.destinationPort
        return question
    }

    private static func isForTransport(_ rule: PolicyRule, of flow: Flow) -> Bool {
        rule.looksAtTransport && rule.fitsAddresses(flow) && rule.fitsTransport(flow)
    }

    /// What else has to be asked before a flow's route is certain.
    public enum Alternatives: Equatable, Sendable {
        /// These too; none where the first answer is certain.
        case questions([RouteQuestion])
        /// No question to the kernel says it.
        case unanswerable(Doubt)
    }

    /// What else has to be asked, once the kernel has answered the first question.
    ///
    /// - Parameters:
    ///   - question: the first one.
    ///   - table: the routing table that its answer comes from.
    ///   - inputs: all links that the flow may come in by, by index.
    public func alternatives(
        to question: RouteQuestion, about flow: Flow, answeredFrom table: UInt32?,
        inputs: [Int32: InterfaceName]
    ) -> Alternatives {
        if haveTransport, !Self.canAsk(flow.transport, flow.source.family),
            let rule = rules.first(where: { Self.isForTransport($0, of: flow) })
        {
            return .unanswerable(.rule("\(rule)"))
        }
        let open = openRules(for: flow, answeredFrom: table, inputs: Set(inputs.values))
        if let rule = open.first(where: { $0.unknownCondition != nil }) {
            return .unanswerable(.rule("\(rule)"))
        }
        let marks = MarkClasses.representatives(of: open.compactMap(\.mark), near: question.mark)
        var services: Set<UInt8> = [0]
        services.formUnion(open.map(\.typeOfService))
        for (service, networks) in routesByService
        where networks.contains(where: { $0.covers(flow.destination) }) { services.insert(service) }
        guard let marks, marks.count * services.count * inputs.count <= Self.maximumQuestions else {
            return .unanswerable(open.first.map { .rule("\($0)") } ?? .typeOfService)
        }
        var questions: [RouteQuestion] = []
        for input in inputs.keys.sorted() {
            for mark in marks {
                for service in services.sorted() {
                    var next = question
                    (next.inputLink, next.mark, next.typeOfService) = (input, mark, service)
                    if next != question { questions.append(next) }
                }
            }
        }
        return .questions(questions)
    }

    /// Why another question has another answer.
    public func doubt(
        _ question: RouteQuestion, not first: RouteQuestion, about flow: Flow, inputs: [Int32: InterfaceName]
    ) -> Doubt {
        if question.inputLink != first.inputLink { return .arrival }
        let names = Set(inputs.values)
        let rule = rules.first { rule in
            guard rule.isOpen(for: flow, comingInBy: names) else { return false }
            if question.typeOfService != first.typeOfService { return rule.typeOfService != 0 }
            guard let mark = rule.mark else { return false }
            return ((question.mark ^ mark.value) & mark.mask == 0)
                != ((first.mark ^ mark.value) & mark.mask == 0)
        }
        return rule.map { .rule("\($0)") } ?? .typeOfService
    }

    /// The rules that may say something else about the flow than they have said to the first question.
    private func openRules(
        for flow: Flow, answeredFrom table: UInt32?, inputs: Set<InterfaceName>
    ) -> [PolicyRule] {
        let possible = rules.filter { $0.mayHold(for: flow, comingInBy: inputs) }
        let open = possible.filter { $0.isOpen(for: flow, comingInBy: inputs) }
        // A jump, also one that is certain, may pass over the rule that would answer everybody.
        guard let table, let first = open.first, !possible.contains(where: { $0.action == .goTo }) else {
            return open
        }
        let answer = PolicyRule.Action.lookUp(table: table)
        // Whoever comes as far as a rule that certainly leads to the answer gets it, and never comes to those behind it.
        let last = rules.first { $0.action == answer && $0.isForAll }
        guard let last else { return open }
        // A packet that the first open rule is not for comes to all that follow it, also to those without a doubt, which the
        // answer may not have come to. Those before it have said the same to all.
        let reached = possible.filter { first.priority...max(first.priority, last.priority) ~= $0.priority }
        let leadsAllThere = last.priority < first.priority || reached.allSatisfy { $0.action == answer }
        return leadsAllThere ? [] : open.filter { $0.priority <= last.priority }
    }

    /// What the kernel takes in a question about a route (`rtm_getroute_parse_ip_proto` in net/ipv4/fib_frontend.c): TCP,
    /// UDP, and the family's own ICMP.
    private static func canAsk(_ transport: UInt8, _ family: AddressFamily) -> Bool {
        [6, 17, family == .ipv4 ? 1 : 58].contains(transport)
    }
}

/// Why a flow that looks wrong is left alone: its route is not certain.
public enum Doubt: Hashable, Sendable {
    /// A rule of policy routing looks at what conntrack does not know.
    case rule(String)
    /// Its route has several ways, and not all of them lead out by an uplink.
    case severalWays
    /// A route is for one type of service only.
    case typeOfService
    /// It is not known by which link its packets come in.
    case arrival
    /// Its packets may pass through a bridge, and be routed by nobody.
    case bridge
}

extension Doubt: CustomStringConvertible {
    /// The cause, as a log line names it: `routing rule 100 (fwmark 0x77)`.
    public var description: String {
        switch self {
        case .rule(let rule): rule
        case .severalWays: "a route with several next hops"
        case .typeOfService: "a route with a TOS"
        case .arrival: "unknown incoming interface"
        case .bridge: "a bridge that passes packets to netfilter"
        }
    }
}
