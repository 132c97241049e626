// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

@Suite struct ReconcilerReloadTests {
    private static func started() -> SimulatedMachine {
        var machine = SimulatedMachine()
        machine.forwarding = [.ipv4: true, .ipv6: false]
        machine.links = Links([.link("ppp0", 7, up: true, "203.0.113.7")])
        _ = machine.start(.howTo)
        return machine
    }

    private let inForce = "in force: /etc/masqd.toml; ppp0 is up with 203.0.113.7"

    @Test("The same configuration again changes nothing in the kernel, and is answered")
    func identical() {
        var machine = Self.started()
        #expect(
            machine.reload(.howTo) == [
                .log(.info, "/etc/masqd.toml is in force: nothing had to change"),
                .notifyReady(status: inForce),
            ])
        #expect(machine.commits.last == 0)
    }

    @Test("Another configuration takes the place of the old one, and is answered once")
    func good() {
        var machine = Self.started()
        #expect(
            machine.reload(.masquerading("eth1", "192.168.0.0/16")) == [
                .log(.notice, "eth1 is not there yet: the rules are, and wait for it"),
                .log(.info, "/etc/masqd.toml is in force"),
                .notifyReady(status: "in force: /etc/masqd.toml; waiting for eth1"),
            ])
        #expect(machine.table.table == Snapshot(textOf: .desired(.masquerading("eth1", "192.168.0.0/16"))))
        #expect(machine.send(.touched).isEmpty)
        #expect(machine.commits.last == 0)
    }

    @Test("A bad file changes nothing, and the status says what is wrong until a good one comes")
    func refused() {
        var machine = Self.started()
        let table = machine.table.table
        let error = "/etc/masqd.toml:4:10: error: unknown key"
        let refused = "\(inForce); the reload was refused: \(error)"
        #expect(machine.reload(refusedBecause: error) == [.notifyReady(status: refused)])
        #expect(machine.commits.count == 1)
        #expect(machine.reload(refusedBecause: error) == [.notifyReady(status: refused)])
        #expect(
            machine.change(.link("ppp0", 7, up: false, "203.0.113.7")).last
                == .notifyStatus("in force: /etc/masqd.toml; ppp0 is down; the reload was refused: \(error)"))
        #expect(machine.table.table == table)
        #expect(
            machine.reload(.howTo) == [
                .log(.info, "/etc/masqd.toml is in force: nothing had to change"),
                .notifyReady(status: "in force: /etc/masqd.toml; ppp0 is down"),
            ])
        #expect(machine.violations.isEmpty)
    }

    @Test("A new IPv6 source switches IPv6's forwarding on, which is remembered and put back")
    func newFamily() {
        var machine = Self.started()
        let both = Configuration.masquerading("ppp0", "192.168.0.0/16", "fd00::/8")
        #expect(
            machine.reload(both) == [
                .log(
                    .notice,
                    """
                    setting net.ipv6.conf.all.forwarding to 1: a link that gets its address from router \
                    advertisements needs accept_ra = 2
                    """),
                .setForwarding(.ipv6, true),
                .log(.info, "/etc/masqd.toml is in force"), .notifyReady(status: inForce),
            ])
        #expect(machine.table.table.memory == .ipv6ForwardingWasOff)
        #expect(machine.send(.stopRequested).first == .setForwarding(.ipv6, false))
        #expect(machine.forwarding == [.ipv4: true, .ipv6: false])
    }

    @Test("A reload that looks at other links, or other addresses of theirs, is no news of the links")
    func sameLinks() {
        var machine = Self.started()
        _ = machine.send(
            .linksDumped(
                Links([.link("ppp0", 7, up: true, "203.0.113.7", "2001:db8::7"), .link("eth1", 8, up: true)]))
        )
        let lines = { (actions: [Action]) in
            actions.compactMap { if case .log(_, let line) = $0 { line } else { nil } }
        }
        var both = Configuration.masquerading("ppp0", "192.168.0.0/16", "fd00::/8")
        both.gateway.ipForward = .ignore
        #expect(lines(machine.reload(both)) == ["/etc/masqd.toml is in force"])
        #expect(
            lines(machine.reload(.masquerading("eth1", "192.168.0.0/16"))) == [
                "eth1 is up without an address: nothing can be masqueraded to it yet",
                "/etc/masqd.toml is in force",
            ])
    }
}
