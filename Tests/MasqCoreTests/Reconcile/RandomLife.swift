// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import TestSupport

/// Events in a random order on a simulated machine, and what must be true when they end.
struct RandomLife {
    private var machine = SimulatedMachine()
    private var random: SplitMix64
    private var configuration: Configuration
    private let found: [AddressFamily: Bool]
    /// Nothing has happened that makes it impossible to know what the switches should be at the end.
    private var isUndisturbed = true
    private var isTableTouched = false
    private(set) var problems: [String] = []

    init(seed: UInt64) {
        random = SplitMix64(seed: seed)
        found = [.ipv4: Bool.random(using: &random), .ipv6: Bool.random(using: &random)]
        machine.forwarding = found
        machine.routing.families = [.ipv4, .ipv6]
        configuration = .random(blocks: 1...2, using: &random)
        setMode()
    }

    private mutating func setMode() {
        guard random.next() % 4 == 0 else { return }
        configuration.reconcile.mode = Bool.random(using: &random) ? .report : .off
    }

    /// A life from start to end.
    mutating func run() {
        if random.next() % 4 == 0 { fail() }
        changeLinks()
        start()
        for _ in 0..<Int.random(in: 1...12, using: &random) where machine.exitStatus == nil { step() }
        if machine.exitStatus == nil {
            switch random.next() % 3 {
            case 0: stop()
            case 1: handOver()
            default: calmDown()
            }
        }
        if machine.exitStatus != nil {
            for event in [Event.touched, .configurationLoaded(configuration), .stopRequested] {
                expect(machine.send(event).isEmpty, "an action after the end")
            }
        }
        problems += machine.violations
    }

    private mutating func expect(_ condition: Bool, _ problem: String) {
        if !condition { problems.append(problem) }
    }

    private mutating func start() {
        isUndisturbed = isUndisturbed && configuration.gateway.ipForward == .manage
        _ = machine.start(configuration)
    }

    private mutating func step() {
        let commits = machine.commits.count
        switch Int.random(in: 0..<13, using: &random) {
        case 0, 1, 2: changeLinks()
        case 3: _ = machine.send(.touched)
        case 4: _ = machine.fireTimer()
        case 5: touchTable()
        case 6: setForwarding()
        case 7: machine.failure == nil ? fail() : (machine.failure = nil)
        case 8, 9: reload()
        case 10: _ = machine.reload(refusedBecause: "bad")
        case 11: touchRouting()
        default:
            // Killed, and started again. What the table remembers is lost where somebody flushed it.
            isUndisturbed = isUndisturbed && !isTableTouched
            start()
        }
        if machine.commits.count > commits { isTableTouched = false }
    }

    private mutating func fail() {
        let kinds: [CommitFailure.Kind] = [.other, .other, .outdated, .unsupported, .notPermitted]
        machine.failure = CommitFailure(
            reason: "failure \(random.next() % 2)", kind: kinds.randomElement(using: &random) ?? .other)
    }

    private mutating func changeLinks() {
        let addresses = ["203.0.113.7", "198.51.100.9", "2001:db8::1", "fe80::1"].compactMap { IPAddress($0) }
        let links = (1...4).map { index in
            Link(
                index: index, name: Configuration.interfaceNames.randomElement(using: &random) ?? "",
                isUp: Bool.random(using: &random),
                addresses: Array(addresses.shuffled(using: &random).prefix(Int(random.next() % 3))))
        }
        machine.links = Links(links.filter { _ in random.next() % 3 > 0 })
        _ = machine.send(.linksDumped(machine.links))
    }

    /// Somebody else edits the own table; the bell that it rings may be lost.
    private mutating func touchTable() {
        isTableTouched = true
        machine.table = random.next() % 4 == 0 ? TableModel() : machine.table.disturbed(using: &random)
        if Bool.random(using: &random) {
            let touch = ForeignTouch(
                deletesTable: machine.table.table == Snapshot(), culprit: Culprit(name: "nft"))
            _ = machine.send(.tableTouched(touch))
        }
    }

    /// Somebody else deletes rules and routes of masqd's.
    private mutating func touchRouting() {
        machine.routing.rules = machine.routing.rules.filter { _ in random.next() % 4 > 0 }
        machine.routing.routes = machine.routing.routes.filter { _ in random.next() % 4 > 0 }
        if Bool.random(using: &random) { _ = machine.send(.routingTouched) }
    }

    private mutating func setForwarding() {
        isUndisturbed = false
        machine.forwarding[.ipv4] = Bool.random(using: &random)
        machine.forwarding[.ipv6] = Bool.random(using: &random)
        _ = machine.send(.forwardingRead(machine.forwarding))
    }

    private mutating func reload() {
        let old = configuration
        if random.next() % 4 > 0 { configuration = .random(blocks: 1...2, using: &random) }
        setMode()
        let isRefused = machine.reload(configuration).contains {
            if case .log(.error, let line) = $0 {
                line.hasSuffix("keeping the previous configuration")
            } else {
                false
            }
        }
        if isRefused { configuration = old }
        isUndisturbed = isUndisturbed && configuration.gateway.ipForward == .manage
    }
}

// The ends.
extension RandomLife {
    private mutating func calmDown() {
        machine.failure = nil
        let before = machine.commits.count
        _ = machine.fireTimer()
        if machine.commits.count > before { isTableTouched = false }
        _ = machine.fireRoutingTimer()
        _ = machine.send(.routingTouched)
        expect(machine.send(.routingTouched).isEmpty, "policy routing is not as it should be")
        let memory = machine.table.table.memory
        keepNumbers()
        var desired = Ruleset.desired(configuration, memory: memory)
        desired.follow(machine.links)
        let isThere = machine.table.table == Snapshot(textOf: desired)
        let isLeft = configuration.reconcile.mode != .repair && isTableTouched
        expect(isThere || isLeft, "the kernel has something else than the configuration asks for")
        expect(
            configuration.gateway.ipForward == .manage || memory.isSubset(of: .ownSourcesWereOff),
            "it remembers what it does not manage"
        )
        if configuration.gateway.ipForward == .manage {
            let sources = configuration.outbound.flatMap(\.source)
            for family in AddressFamily.allCases where sources.contains(where: { $0.family == family }) {
                expect(machine.forwarding[family] == true, "\(family) is not forwarded")
            }
        }
        expect(!machine.awaitsReady, "READY is owed")
        expect(machine.announced == machine.status, "the service manager was told something else last")
        let commits = machine.commits.count
        expect(machine.send(.touched).isEmpty, "there was something left to do")
        expect(machine.send(.linksDumped(machine.links)).isEmpty, "a second look at the links had news")
        expect(
            machine.send(.forwardingRead(machine.forwarding)).isEmpty,
            "a second look at the switches had news")
        expect(machine.commits.dropFirst(commits).allSatisfy { $0 == 0 }, "something was sent again")
    }

    /// Uplinks keep the numbers that they had in an earlier configuration, so these are read off the rules.
    private mutating func keepNumbers() {
        for index in configuration.uplinks.indices {
            let own = machine.routing.rules.first {
                $0.outInterface == configuration.uplinks[index].interface
            }
            let mark = machine.routing.rules.first { $0.mark != nil && $0.action == own?.action }?.mark
            // Where somebody deleted them and they are to stay away, the number is anybody's.
            if let mark { configuration.uplinks[index].number = Int(mark.value >> 5) }
        }
    }

    private mutating func stop() {
        _ = machine.send(.stopRequested)
        expect(machine.exitStatus == .success, "the stop did not end it")
        expect(machine.table.table == Snapshot(), "the table is there after the stop")
        let isRouting = !machine.routing.rules.isEmpty || !machine.routing.routes.isEmpty
        expect(!isRouting || machine.commits.isEmpty, "rules or routes are there after the stop")
        if isUndisturbed { expect(machine.forwarding == found, "the switches are not as they were found") }
    }

    private mutating func handOver() {
        let (table, forwarding, routing) = (machine.table.table, machine.forwarding, machine.routing)
        _ = machine.send(.handOverRequested)
        expect(machine.exitStatus == .success, "the hand-over did not end it")
        expect(
            machine.table.table == table && machine.forwarding == forwarding && machine.routing == routing,
            "the hand-over changed something")
    }
}
