// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

/// Which rules and routes the uplinks get, and when.
@Suite struct UplinkRoutingTests {
    private typealias Machine = SimulatedMachine

    @Test("Without [[uplink]] masqd neither reads nor changes policy routing")
    func notAsked() {
        var machine = Machine()
        machine.routing.families = [.ipv4]
        machine.links = Links([.ppp0, .eth1])
        _ = machine.start(.howTo)
        let actions =
            machine.change(.eth1) + machine.send(.touched) + machine.send(.routingTouched)
            + machine.send(.stopRequested)
        #expect(!actions.contains { if case .changeRouting = $0 { true } else { false } })
        #expect(machine.ruleTexts.isEmpty)
        #expect(machine.routeTexts.isEmpty)
    }

    @Test(
        "Marked packets, sockets bound to an uplink, and new connections in the file's order find its table")
    func rules() {
        #expect(
            Machine.withTwoUplinks().ruleTexts == [
                "20001: fwmark 0x20/0xe0 lookup 7001",
                "20002: fwmark 0x40/0xe0 lookup 7002",
                "20041: oif ppp0 lookup 7001",
                "20042: oif eth1 lookup 7002",
                "20060: lookup 254 suppress_prefixlength 0",
                "20061: lookup 7001",
                "20062: lookup 7002",
            ])
    }

    @Test("What is kept waits behind its own table, and leaves by no other")
    func kept() {
        var configuration = Configuration.ppp0BeforeEth1
        configuration.uplinks[1].onLoss = .keep
        #expect(
            Machine.withTwoUplinks(configuration).ruleTexts[0..<3] == [
                "20001: fwmark 0x20/0xe0 lookup 7001",
                "20002: fwmark 0x40/0xe0 lookup 7002",
                "20022: fwmark 0x40/0xe0 unreachable",
            ])
    }

    @Test("A single uplink, and uplinks without failover, leave new connections to the main table")
    func noFailover() {
        let one = Machine.withTwoUplinks(.behind("eth1"))
        #expect(one.ruleTexts == ["20001: fwmark 0x20/0xe0 lookup 7001", "20041: oif eth1 lookup 7001"])
        var configuration = Configuration.ppp0BeforeEth1
        configuration.policyRouting.failover = false
        #expect(Machine.withTwoUplinks(configuration).ruleTexts.count == 4)
    }

    @Test("Table, mask and priority are the configured ones, and both families have the same rules")
    func configured() throws {
        var configuration = Configuration.behind("eth1")
        configuration.uplinks[0].table = 101
        configuration.policyRouting.marks = try #require(MarkField(mask: 0xc00))
        configuration.policyRouting.rulePriority = 500
        var machine = Machine()
        machine.routing.families = [.ipv4, .ipv6]
        _ = machine.start(configuration)
        #expect(
            machine.ruleTexts == [
                "501: fwmark 0x800/0x800 lookup 101", "541: oif eth1 lookup 101",
                "-6 501: fwmark 0x800/0x800 lookup 101", "-6 541: oif eth1 lookup 101",
            ])
    }

    @Test("A table has what the main one has by its uplink: the gateway, and the networks on the link")
    func routes() {
        #expect(
            Machine.withTwoUplinks().routeTexts == [
                // Nobody need tell where a link leads that has only one other end.
                "table 7001: 0.0.0.0/0 link 7", "table 7001: 203.0.113.1/32 link 7",
                "table 7002: 0.0.0.0/0 via 198.51.100.1 link 3", "table 7002: 198.51.100.0/24 link 3",
            ])
    }

    @Test(
        "Of several default routes by an uplink the one with the least metric counts, and a configured gateway more"
    )
    func gateways() throws {
        var machine = Machine.withTwoUplinks()
        machine.routing.foreignRoutes.insert(
            .to("0.0.0.0/0", via: "198.51.100.2", table: 254, link: 3, metric: 10))
        _ = machine.send(.touched)
        #expect(machine.routeTexts[2] == "table 7002: 0.0.0.0/0 via 198.51.100.2 link 3")
        var configuration = Configuration.ppp0BeforeEth1
        configuration.uplinks[1].gateways = [try #require(IPAddress("198.51.100.3"))]
        _ = machine.reload(configuration)
        #expect(machine.routeTexts[2] == "table 7002: 0.0.0.0/0 via 198.51.100.3 link 3")
        #expect(machine.routeTexts.count == 4)
    }

    @Test("A default route of others in the uplink's table stays the only one there")
    func providedByOthers() {
        var configuration = Configuration.behind("eth1")
        configuration.uplinks[0].table = 101
        var machine = Machine()
        machine.links = Links([.eth1])
        machine.routing.families = [.ipv4]
        machine.routing.foreignRoutes = [
            .to("198.51.100.0/24", table: 254, link: 3, metric: 0),
            .to("0.0.0.0/0", via: "198.51.100.1", table: 101, link: 3, metric: 0),
        ]
        _ = machine.start(configuration)
        #expect(machine.routeTexts == ["table 101: 198.51.100.0/24 link 3"])
    }

    @Test("A reconnection is followed: another index, another gateway")
    func reconnection() {
        var machine = Machine.withTwoUplinks()
        _ = machine.change(.eth1)
        #expect(machine.routeTexts.count == 2)
        let again = Link.pointToPoint(.link("ppp0", 8, up: true, "203.0.113.8"))
        machine.routing.foreignRoutes.insert(.to("203.0.113.1/32", table: 254, link: 8, metric: 0))
        _ = machine.change(.eth1, again)
        #expect(
            machine.routeTexts[0..<2] == [
                "table 7001: 0.0.0.0/0 link 8", "table 7001: 203.0.113.1/32 link 8",
            ])
    }

    @Test("A reload in another order changes the preference, and no uplink's mark or table")
    func reordered() {
        var machine = Machine.withTwoUplinks()
        let before = machine.ruleTexts
        _ = machine.reload(.behind("eth1", "ppp0"))
        #expect(machine.ruleTexts.prefix(5) == before.prefix(5))
        #expect(machine.ruleTexts.suffix(2) == ["20061: lookup 7002", "20062: lookup 7001"])
    }

    @Test("The next process finds the numbers in the kernel, and changes nothing that is as it should be")
    func adoption() {
        var machine = Machine.withTwoUplinks(.behind("eth1", "ppp0"))
        let before = machine.routing
        let handOver = machine.send(.handOverRequested)
        #expect(!handOver.contains { if case .changeRouting = $0 { true } else { false } })
        let start = machine.start(.behind("ppp0", "lte0", "eth1"))
        #expect(before.rules.subtracting(machine.routing.rules).count == 2)
        #expect(machine.routing.routes == before.routes)
        #expect(machine.ruleTexts.contains("20003: fwmark 0x60/0xe0 lookup 7003"))
        #expect(start.contains { if case .notifyReady = $0 { true } else { false } })
    }

    @Test("READY comes behind the rules, and also where the kernel refuses them")
    func ready() throws {
        var machine = Machine()
        machine.links = Links([.ppp0])
        machine.routing.families = [.ipv4]
        let actions = machine.start(.ppp0BeforeEth1)
        let change = try #require(actions.firstIndex { if case .changeRouting = $0 { true } else { false } })
        let ready = try #require(actions.firstIndex { if case .notifyReady = $0 { true } else { false } })
        #expect(change < ready)
        #expect(machine.status.contains("new connections leave by ppp0"))

        var refused = Machine()
        refused.links = Links([.ppp0])
        refused.routing.families = [.ipv4]
        refused.routingFailure = "no"
        _ = refused.start(.ppp0BeforeEth1)
        #expect(!refused.awaitsReady)
        #expect(refused.routingTimer == 100)
        let again = refused.fireRoutingTimer()
        #expect(Machine.lines(again) == ["no: connections may leave by the wrong uplink"])
        #expect(refused.routingTimer == 200)
        #expect(Machine.lines(refused.fireRoutingTimer()).isEmpty)
        refused.routingFailure = nil
        _ = refused.fireRoutingTimer()
        #expect(refused.ruleTexts.count == 7)
    }

    @Test("One refused route leaves its uplink out, and no rule and no other uplink; it is tried again")
    func refusedRoute() throws {
        var machine = Machine()
        machine.links = Links([.ppp0, .eth1])
        machine.routing.families = [.ipv4]
        machine.routingFailure = "no"
        machine.isRefused = { if case .setRoute(let route) = $0 { route.table == 7001 } else { false } }
        machine.routing.foreignRoutes = [
            .to("0.0.0.0/0", via: "198.51.100.1", table: 254, link: 3, metric: 20)
        ]
        let start = machine.start(.ppp0BeforeEth1)
        #expect(machine.ruleTexts.count == 7)
        #expect(machine.routeTexts == ["table 7002: 0.0.0.0/0 via 198.51.100.1 link 3"])
        #expect(Machine.lines(start).contains("new connections leave by eth1"))
        #expect(!Machine.lines(start).contains("new connections leave by ppp0"))
        #expect(
            Machine.lines(machine.fireRoutingTimer()) == [
                "no: ppp0 is left out of [[uplink]] until the kernel takes it"
            ])
        #expect(machine.status.hasSuffix("no; new connections leave by eth1"))
        #expect(Machine.lines(machine.fireRoutingTimer()).isEmpty)
        #expect(machine.routingTimer == 400)
        machine.routingFailure = nil
        #expect(Machine.lines(machine.fireRoutingTimer()) == ["new connections leave by ppp0"])
        #expect(machine.status.hasSuffix("new connections leave by ppp0"))
        #expect(machine.routeTexts.count == 2)
    }

    @Test("Policy routing that can't be read is told once, and read again, later and later")
    func unread() {
        var reconciler = Reconciler()
        _ = reconciler.handle(.configurationLoaded(.ppp0BeforeEth1))
        _ = reconciler.handle(.committed(changes: 1))
        let first = reconciler.handle(.routingUnread(reason: "no"))
        #expect(Machine.lines(first) == ["no: connections may leave by the wrong uplink"])
        #expect(first.contains(.startRoutingTimer(milliseconds: 100)))
        #expect(
            first.contains {
                if case .notifyReady(let status) = $0 { status.contains("; no") } else { false }
            })
        #expect(reconciler.handle(.routingTimerFired) == [.readRouting(tables: [7001, 7002])])
        #expect(reconciler.handle(.routingUnread(reason: "no")) == [.startRoutingTimer(milliseconds: 200)])
    }

    @Test(
        "A stop, and a reload without uplinks, take everything of masqd's away; other processes' leftovers too"
    )
    func removal() {
        var machine = Machine.withTwoUplinks()
        // What is there is looked up anew, since a change may have failed half way.
        let stop = machine.send(.stopRequested)
        #expect(stop.prefix(2) == [.removeRouting, .removeTable])
        #expect(machine.routing.rules.isEmpty && machine.routing.routes.isEmpty)

        var reloaded = Machine.withTwoUplinks()
        _ = reloaded.reload(.howTo)
        #expect(reloaded.routing.rules.isEmpty && reloaded.routing.routes.isEmpty)

        var killed = Machine.withTwoUplinks()
        _ = killed.start(.howTo)
        #expect(killed.routing.rules.isEmpty && killed.routing.routes.isEmpty)
    }

    @Test("Rules that somebody deleted are restored and told; five times at once, then once a second")
    func restored() {
        var machine = Machine.withTwoUplinks()
        let rules = machine.routing.rules
        for _ in 1...5 {
            machine.routing.rules = []
            #expect(
                Machine.lines(machine.send(.routingTouched))
                    == ["somebody changed masqd's rules or routes for [[uplink]]: 7 restored"])
            #expect(machine.routing.rules == rules)
        }
        #expect(machine.routingTimer == 1000)
        machine.routing.rules = []
        #expect(machine.send(.routingTouched).isEmpty)
        #expect(machine.routing.rules.isEmpty)
        _ = machine.fireRoutingTimer()
        #expect(machine.routing.rules == rules)
    }

    @Test("With [reconcile] mode off or report they stay away, but for what another link needs")
    func notRestored() {
        for mode in [Configuration.Reconcile.Mode.report, .off] {
            var configuration = Configuration.ppp0BeforeEth1
            configuration.reconcile.mode = mode
            var machine = Machine.withTwoUplinks(configuration)
            machine.routing.rules = []
            let line = """
                somebody changed masqd's rules or routes for [[uplink]]: left as it is, as [reconcile] mode asks \
                (that differ: 7)
                """
            #expect(Machine.lines(machine.send(.routingTouched)) == (mode == .report ? [line] : []))
            #expect(machine.send(.routingTouched).isEmpty)
            #expect(machine.routing.rules.isEmpty)
        }
    }

    @Test("An interface that checks the way back strictly is told once, with what helps")
    func strictReversePath() {
        var machine = Machine.withTwoUplinks()
        machine.routing.reversePathFilters = [-1: 0, 7: 0, 3: 1]
        let line = """
            rp_filter of eth1 is strict: what comes in by it is dropped while another uplink is preferred; \
            to permit it: sysctl -w net/ipv4/conf/eth1/rp_filter=2
            """
        #expect(Machine.lines(machine.send(.routingTouched)) == [line])
        #expect(machine.send(.routingTouched).isEmpty)
        // The larger of both counts, and 2 is loose.
        machine.routing.reversePathFilters = [-1: 2, 7: 0, 3: 1]
        #expect(machine.send(.routingTouched).isEmpty)
        machine.routing.reversePathFilters = [-1: 1, 7: 2, 3: 0]
        #expect(Machine.lines(machine.send(.routingTouched)) == [line])
    }
}
