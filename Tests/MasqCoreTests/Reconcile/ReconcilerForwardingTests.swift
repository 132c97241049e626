// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

@Suite struct ReconcilerForwardingTests {
    private static func started(
        _ mode: Configuration.ForwardingMode, ipv4: Bool, _ sources: String = "192.168.0.0/16"
    ) -> (machine: SimulatedMachine, actions: [Action]) {
        var machine = SimulatedMachine()
        machine.forwarding = [.ipv4: ipv4, .ipv6: false]
        let actions = machine.start(.masquerading("ppp0", sources, ipForward: mode))
        return (machine, actions)
    }

    private let waiting = "in force: /etc/masqd.toml; waiting for ppp0"

    @Test(
        "manage switches on what is off, and puts back at stop what it found",
        arguments: [true, false])
    func manage(wasOn: Bool) {
        var (machine, _) = Self.started(.manage, ipv4: wasOn)
        #expect(machine.forwarding == [.ipv4: true, .ipv6: false])
        #expect(machine.table.table.memory == (wasOn ? [] : .ipv4ForwardingWasOff))
        _ = machine.send(.stopRequested)
        #expect(machine.forwarding == [.ipv4: wasOn, .ipv6: false])
    }

    @Test("manage switches on again what somebody switched off, and says so each time")
    func switchedOff() {
        var (machine, _) = Self.started(.manage, ipv4: true)
        for _ in 0..<2 {
            machine.forwarding[.ipv4] = false
            #expect(
                machine.send(.forwardingRead(machine.forwarding)) == [
                    .log(.warning, "somebody set net.ipv4.ip_forward to 0: setting it to 1 again"),
                    .setForwarding(.ipv4, true),
                ])
        }
        #expect(machine.send(.forwardingRead(machine.forwarding)).isEmpty)
        // It was on when masqd came.
        _ = machine.send(.stopRequested)
        #expect(machine.forwarding[.ipv4] == true)
    }

    @Test("What somebody else has switched off by the time of the stop is left alone")
    func switchedOffAtStop() {
        var reconciler = Reconciler()
        _ = reconciler.handle(.memoryFound(.ipv4ForwardingWasOff))
        _ = reconciler.handle(.forwardingRead([.ipv4: false]))
        #expect(
            reconciler.handle(.stopRequested) == [
                .removeTable, .log(.notice, "table inet masqd is removed"), .exit(.success),
            ])
    }

    @Test("require refuses to start while forwarding is off, and touches nothing")
    func requireAtStart() {
        let (machine, actions) = Self.started(.require, ipv4: false)
        #expect(
            actions == [
                .log(.error, "net.ipv4.ip_forward is 0, and [gateway] ip_forward = \"require\""),
                .exit(.unavailable),
            ])
        #expect(machine.commits.isEmpty)
        #expect(machine.forwarding == [.ipv4: false, .ipv6: false])
    }

    @Test("require needs IPv6's switch where an IPv6 source is configured, and only there")
    func requireIPv6() {
        #expect(Self.started(.require, ipv4: true).machine.exitStatus == nil)
        #expect(
            Self.started(.require, ipv4: false, "fd00::/8").actions == [
                .log(.error, "net.ipv6.conf.all.forwarding is 0, and [gateway] ip_forward = \"require\""),
                .exit(.unavailable),
            ])
    }

    @Test("A reload to require while forwarding is off is refused, and the old configuration stays")
    func requireAtReload() {
        var (machine, _) = Self.started(.ignore, ipv4: false)
        let reason = "net.ipv4.ip_forward is 0, and [gateway] ip_forward = \"require\""
        #expect(
            machine.reload(.masquerading("eth1", "10.0.0.0/8", ipForward: .require)) == [
                .log(.error, "\(reason): keeping the previous configuration"),
                .notifyReady(status: "\(waiting); the reload was refused: \(reason)"),
            ])
        #expect(machine.send(.touched).isEmpty)
        #expect(machine.commits.last == 0)
        machine.forwarding[.ipv4] = true
        #expect(
            machine.reload(.masquerading("ppp0", "10.0.0.0/8", ipForward: .require)) == [
                .log(.info, "/etc/masqd.toml is in force"), .notifyReady(status: waiting),
            ])
    }

    @Test("require says what it means when somebody switches forwarding off, and does not touch it")
    func requireSwitchedOff() {
        var (machine, _) = Self.started(.require, ipv4: true)
        machine.forwarding[.ipv4] = false
        let line = "somebody set net.ipv4.ip_forward to 0: nothing is forwarded until it is 1 again"
        let off = "\(waiting); net.ipv4.ip_forward is 0: nothing is forwarded"
        #expect(
            machine.send(.forwardingRead(machine.forwarding)) == [.log(.warning, line), .notifyStatus(off)])
        #expect(machine.forwarding[.ipv4] == false)
        #expect(!machine.send(.forwardingRead(machine.forwarding)).contains(.log(.warning, line)))
        #expect(
            machine.change(.link("ppp0", 7, up: true, "203.0.113.7")).last
                == .notifyStatus(
                    """
                    in force: /etc/masqd.toml; ppp0 is up with 203.0.113.7; \
                    net.ipv4.ip_forward is 0: nothing is forwarded
                    """))
        machine.forwarding[.ipv4] = true
        #expect(
            machine.send(.forwardingRead(machine.forwarding))
                == [.notifyStatus("in force: /etc/masqd.toml; ppp0 is up with 203.0.113.7")])
    }

    @Test(
        "ignore neither sets nor reports anything, and leaves at stop what it finds",
        arguments: [true, false])
    func ignore(isOn: Bool) {
        var (machine, actions) = Self.started(.ignore, ipv4: isOn)
        #expect(actions.last == .notifyReady(status: waiting))
        machine.forwarding[.ipv4] = !isOn
        #expect(machine.send(.forwardingRead(machine.forwarding)).isEmpty)
        _ = machine.send(.stopRequested)
        #expect(machine.forwarding[.ipv4] == !isOn)
    }

    @Test(
        "From manage to ignore or require the switch stays as it is, for good",
        arguments: ["ignore", "require"])
    func manageToOther(word: String) throws {
        let mode = try #require(Configuration.ForwardingMode(rawValue: word))
        var (machine, _) = Self.started(.manage, ipv4: false)
        #expect(
            machine.reload(.masquerading("ppp0", "192.168.0.0/16", ipForward: mode)) == [
                .log(.info, "/etc/masqd.toml is in force"), .notifyReady(status: waiting),
            ])
        #expect(machine.table.table.memory == [])
        _ = machine.send(.stopRequested)
        #expect(machine.forwarding[.ipv4] == true)
    }

    @Test("From ignore to manage the switch is set, remembered and put back")
    func ignoreToManage() {
        var (machine, _) = Self.started(.ignore, ipv4: false)
        #expect(
            machine.reload(.howTo) == [
                .setForwarding(.ipv4, true), .log(.info, "/etc/masqd.toml is in force"),
                .notifyReady(status: waiting),
            ])
        #expect(machine.table.table.memory == .ipv4ForwardingWasOff)
        _ = machine.send(.stopRequested)
        #expect(machine.forwarding[.ipv4] == false)
    }

    @Test("A switch that can't be set is tried once, and the status says that nothing is forwarded")
    func stuck() {
        var reconciler = Reconciler()
        _ = reconciler.handle(.forwardingRead([.ipv4: false]))
        _ = reconciler.handle(.configurationLoaded(.howTo))
        #expect(reconciler.handle(.committed(changes: 40)).first == .setForwarding(.ipv4, true))
        #expect(
            reconciler.handle(.forwardingFailed(.ipv4))
                == [.notifyStatus("\(waiting); net.ipv4.ip_forward is 0: nothing is forwarded")])
        #expect(reconciler.handle(.forwardingRead([.ipv4: false])).isEmpty)
        // A reload is somebody's wish to try again.
        _ = reconciler.handle(.configurationLoaded(.howTo))
        #expect(reconciler.handle(.committed(changes: 0)).first == .setForwarding(.ipv4, true))
    }

    @Test(
        "A family that the kernel does not have is no reason to wait or complain",
        arguments: ["manage", "require"])
    func noIPv6(word: String) throws {
        let mode = try #require(Configuration.ForwardingMode(rawValue: word))
        var machine = SimulatedMachine()
        machine.forwarding = [.ipv4: true]
        let actions = machine.start(
            .masquerading("ppp0", "192.168.0.0/16", "fd00::/8", ipForward: mode))
        #expect(actions.last == .notifyReady(status: waiting))
        #expect(machine.forwarding == [.ipv4: true])
    }
}
