// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

/// What happens when an uplink is lost, and when it is back.
@Suite struct UplinkLossTests {
    private typealias Machine = SimulatedMachine

    private static let probed: Configuration = {
        var configuration = Configuration.ppp0BeforeEth1
        configuration.uplinks[0].probe = [SocketAddress("192.0.2.1:443")].compactMap { $0 }
        return configuration
    }()

    @Test("A lost uplink is told with its reason, new connections go on by the next, and come back")
    func lost() {
        var machine = Machine.withTwoUplinks()
        #expect(
            Machine.lines(machine.change(.eth1, Link.ppp0.unplugged)) == [
                "ppp0 has no carrier: nothing leaves by it",
                "uplink ppp0 is lost, it has no carrier: its connections are deleted",
                "new connections leave by eth1",
            ])
        #expect(machine.status.hasSuffix("new connections leave by eth1"))
        #expect(machine.routeTexts.allSatisfy { $0.hasPrefix("table 7002") })
        #expect(
            Machine.lines(machine.change(.eth1, .ppp0)) == [
                "ppp0 is up with 203.0.113.7: masquerading 192.168.0.0/16", "uplink ppp0 is usable",
                "new connections leave by ppp0",
            ])
        #expect(
            Machine.lines(machine.change(.ppp0)).filter { $0.hasPrefix("uplink") } == [
                "uplink eth1 is lost, it is gone: its connections are deleted"
            ])
        #expect(
            Machine.lines(machine.change(.ppp0, .eth1)).filter { $0.hasPrefix("uplink") } == [
                "uplink eth1 is usable, behind ppp0"
            ])
    }

    @Test("Exactly the lost uplink's connections are to go, in both directions, until the walk is over")
    func judged() throws {
        let flow = { (mark: UInt32) throws in
            var flow = Flow(
                source: try #require(IPAddress("10.9.9.9")), destination: try #require(IPAddress("10.8.8.8")),
                translatedSource: try #require(IPAddress("10.9.9.9")))
            flow.mark = mark
            return flow
        }
        var reconciler = Reconciler()
        _ = reconciler.handle(.memoryFound([]))
        _ = reconciler.handle(.forwardingRead([.ipv4: true]))
        var routing = RoutingState()
        routing.families = [.ipv4]
        _ = reconciler.handle(.routingDumped(routing, Links([.ppp0])))
        // Deleted also where nothing is to be repaired.
        var configuration = Configuration.ppp0BeforeEth1
        configuration.conntrack.repair = false
        _ = reconciler.handle(.configurationLoaded(configuration))
        _ = reconciler.handle(.committed(changes: 1))
        _ = reconciler.handle(.routingDumped(routing, Links([.ppp0])))
        _ = reconciler.handle(.routingChanged())
        _ = reconciler.handle(.linksDumped(Links()))
        let actions = reconciler.handle(.routingDumped(routing, Links()))
        // Behind the changes: what is deleted before may begin anew by the lost uplink.
        #expect(!actions.contains(.repairConnections))
        #expect(reconciler.handle(.routingChanged()).contains(.repairConnections))
        let judge = try #require(reconciler.flowJudge)
        for mark in [0x20, 0x30, 0xffff_ff20, 0x1000_0030] as [UInt32] {
            #expect(judge.isLost(try flow(mark)), "\(mark)")
        }
        for mark in [0, 0x40, 0x50, 0xf, 0x10, 0xffff_ff00] as [UInt32] {
            #expect(!judge.isLost(try flow(mark)), "\(mark)")
        }
        // A walk that had begun before is over, and has seen half of them.
        _ = reconciler.handle(.connectionsRepaired(DeletedFlows(), isFollowed: true))
        #expect(try #require(reconciler.flowJudge).isLost(try flow(0x20)))
        #expect(
            Machine.lines(reconciler.handle(.connectionsRepaired(DeletedFlows(3, .uplinkLost)))) == [
                "3 connections of lost uplinks deleted"
            ])
        #expect(try #require(reconciler.flowJudge).isLost(try flow(0x20)) == false)
    }

    @Test("With on_loss keep nothing is deleted")
    func kept() {
        var configuration = Configuration.ppp0BeforeEth1
        configuration.uplinks[0].onLoss = .keep
        configuration.conntrack.repair = false
        var machine = Machine.withTwoUplinks(configuration)
        let actions = machine.change(.eth1)
        #expect(
            Machine.lines(actions).contains("uplink ppp0 is lost, it is gone: its connections are kept"))
        #expect(machine.walks == 0)
    }

    @Test("A default route that is away for a moment is no loss")
    func routeAway() {
        var machine = Machine.withTwoUplinks(.behind("eth1", "ppp0"))
        let route = Route.to("0.0.0.0/0", via: "198.51.100.1", table: 254, link: 3, metric: 20)
        let walks = machine.walks
        machine.routing.foreignRoutes.remove(route)
        #expect(
            Machine.lines(machine.send(.routingTouched)) == [
                "uplink eth1 has no default route", "new connections leave by ppp0",
            ])
        machine.routing.foreignRoutes.insert(route)
        #expect(Machine.lines(machine.send(.routingTouched)) == ["new connections leave by eth1"])
        #expect(machine.walks == walks)
    }

    @Test("Nobody asks anybody without a probe; with one a round follows the other, and three in a row count")
    func probe() {
        #expect(Machine.withTwoUplinks().probeTimer == nil)
        var machine = Machine.withTwoUplinks(Self.probed)
        #expect(machine.probeTimer == 100)
        let question = Action.sendProbes([
            Probe(interface: "ppp0", mark: 0x20, targets: Self.probed.uplinks[0].probe)
        ])
        #expect(machine.endRound() == [question])
        #expect(machine.probeTimer == 5000)
        for _ in 1...2 { #expect(machine.endRound() == [question]) }
        #expect(
            Machine.lines(machine.endRound()) == [
                "uplink ppp0 is lost, no answer from 192.0.2.1:443 to 3 probes: its connections are deleted",
                "new connections leave by eth1",
            ])
        // It is tried last, and its own table stays: for what is kept, and for the probes.
        #expect(machine.ruleTexts.suffix(2) == ["20062: lookup 7002", "20081: lookup 7001"])
        #expect(machine.routeTexts.count == 4)
        #expect(machine.status.contains("ppp0 has no answer to its probes; new connections leave by eth1"))
        // One answer is not enough, and a silence in between begins anew.
        for answers in [["ppp0"], ["ppp0"], [], ["ppp0"], ["ppp0"]] {
            let actions = answers.isEmpty ? machine.endRound() : machine.endRound(answeredBy: "ppp0")
            #expect(actions == [question])
        }
        #expect(
            Machine.lines(machine.endRound(answeredBy: "ppp0")) == [
                "uplink ppp0 is usable", "new connections leave by ppp0",
            ])
        #expect(machine.ruleTexts.suffix(2) == ["20061: lookup 7001", "20062: lookup 7002"])
    }

    @Test("Probes rest while their link is away, and begin anew with it")
    func probeRests() {
        var machine = Machine.withTwoUplinks(Self.probed)
        for _ in 1...3 { _ = machine.endRound() }
        _ = machine.change(.eth1)
        #expect(machine.endRound().isEmpty)
        #expect(machine.probeTimer == nil)
        _ = machine.change(.eth1, .ppp0)
        #expect(machine.probeTimer == 100)
        // What was missed before is forgotten.
        for _ in 1...3 { #expect(machine.endRound().count == 1) }
        #expect(machine.status.contains("new connections leave by ppp0"))
    }

    @Test("A round in which nobody could be asked says nothing about the uplink, and once what helps")
    func probeFails() {
        var machine = Machine.withTwoUplinks(Self.probed)
        for round in 1...5 {
            _ = machine.endRound()
            let actions = machine.send(.probeFailed(interface: "ppp0", reason: "can't probe"))
            let line = """
                can't probe: ppp0 is judged by its link alone; by default masqd's unit lets it speak \
                no IP: systemctl edit masqd, and under [Service] RestrictAddressFamilies=AF_INET AF_INET6 and \
                IPAddressAllow=192.0.2.1
                """
            #expect(Machine.lines(actions) == (round == 1 ? [line] : []))
        }
        #expect(machine.status.hasSuffix("new connections leave by ppp0"))
    }

    @Test("Where no uplink answers, the first one is used: the probe may be what is wrong")
    func allUnanswered() {
        var configuration = Self.probed
        configuration.uplinks[1].probe = configuration.uplinks[0].probe
        var machine = Machine.withTwoUplinks(configuration)
        for _ in 1...4 { _ = machine.endRound() }
        #expect(machine.ruleTexts.suffix(2) == ["20081: lookup 7001", "20082: lookup 7002"])
        #expect(machine.status.contains("new connections leave by ppp0"))
    }
}
