// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

@Suite struct ReconcilerLinkTests {
    private static let lan = Link.link("eth0", 2, up: true, "192.168.1.1")

    private static func started(_ configuration: Configuration = .howTo, _ links: Link...) -> SimulatedMachine
    {
        var machine = SimulatedMachine()
        machine.forwarding = [.ipv4: true, .ipv6: true]
        machine.links = Links(links)
        _ = machine.start(configuration)
        return machine
    }

    private func news(_ line: String, status: String) -> [Action] {
        [.log(.notice, line), .notifyStatus("in force: /etc/masqd.toml; \(status)")]
    }

    @Test("A whole life of ppp0 is told in a line for each thing that changed, and the kernel's rules stay")
    func life() {
        var machine = Self.started(.howTo, Self.lan)
        let (lan, table) = (Self.lan, machine.table.table)

        // pppd makes the link, sets the MTU, and sets the address twice before the link is up.
        #expect(
            machine.change(lan, .link("ppp0", 7, up: false))
                == news("ppp0 is there, and not up yet", status: "ppp0 is down"))
        #expect(machine.change(lan, .link("ppp0", 7, up: false)).isEmpty)
        #expect(machine.change(lan, .link("ppp0", 7, up: false, "203.0.113.7")).isEmpty)
        #expect(machine.change(lan, .link("ppp0", 7, up: false)).isEmpty)
        #expect(machine.change(lan, .link("ppp0", 7, up: false, "203.0.113.7")).isEmpty)
        #expect(
            machine.change(lan, .link("ppp0", 7, up: true, "203.0.113.7"))
                == news(
                    "ppp0 is up with 203.0.113.7: masquerading 192.168.0.0/16",
                    status: "ppp0 is up with 203.0.113.7"))
        // The routes.
        #expect(machine.send(.touched).isEmpty)
        #expect(machine.change(lan, .link("ppp0", 7, up: true, "203.0.113.7")).isEmpty)

        #expect(
            machine.change(lan, .link("ppp0", 7, up: false, "203.0.113.7"))
                == news("ppp0 is down: nothing leaves by it", status: "ppp0 is down"))
        #expect(machine.change(lan, .link("ppp0", 7, up: false)).isEmpty)
        #expect(
            machine.change(lan)
                == news("ppp0 is gone: the rules stay, and wait for it", status: "waiting for ppp0"))
        #expect(machine.change(lan).isEmpty)

        // It comes back with another index and another address.
        _ = machine.change(lan, .link("ppp0", 8, up: false))
        #expect(
            machine.change(lan, .link("ppp0", 8, up: true, "198.51.100.9"))
                == news(
                    "ppp0 is up with 198.51.100.9: masquerading 192.168.0.0/16",
                    status: "ppp0 is up with 198.51.100.9"))
        #expect(machine.commits.dropFirst().allSatisfy { $0 <= 1 })
        #expect(machine.table.table == table)
    }

    @Test("A link that was replaced between two looks is told where it is up, and not where it is not")
    func replaced() {
        var machine = Self.started(.howTo, .link("ppp0", 7, up: true, "203.0.113.7"))
        #expect(
            machine.change(.link("ppp0", 8, up: true, "203.0.113.7"))
                == [.log(.notice, "ppp0 is up with 203.0.113.7: masquerading 192.168.0.0/16")])
        #expect(
            machine.change(.link("ppp0", 9, up: true, "198.51.100.9"))
                == news(
                    "ppp0 is up with 198.51.100.9: masquerading 192.168.0.0/16",
                    status: "ppp0 is up with 198.51.100.9"))
        _ = machine.change(.link("ppp0", 9, up: false))
        #expect(machine.change(.link("ppp0", 10, up: false)).isEmpty)
    }

    @Test("Another address on a link that stays up is told with the one before")
    func anotherAddress() {
        var machine = Self.started(.howTo, .link("ppp0", 7, up: true, "203.0.113.7"))
        #expect(
            machine.change(.link("ppp0", 7, up: true, "198.51.100.9"))
                == news(
                    "ppp0 has another address, 198.51.100.9 (it was 203.0.113.7): masquerading 192.168.0.0/16",
                    status: "ppp0 is up with 198.51.100.9"))
        #expect(
            machine.change(.link("ppp0", 7, up: true))
                == news(
                    "ppp0 is up without an address: nothing can be masqueraded to it yet",
                    status: "ppp0 is up without an address"))
    }

    @Test(
        "With pppd's ifname the link is born as ppp0 and renamed: only the configured name counts")
    func bornWithAnotherName() {
        var machine = Self.started(.masquerading("wan", "192.168.0.0/16"))
        #expect(machine.change(.link("ppp0", 7, up: false)).isEmpty)
        #expect(
            machine.change(.link("wan", 7, up: true, "203.0.113.7"))
                == news(
                    "wan is up with 203.0.113.7: masquerading 192.168.0.0/16",
                    status: "wan is up with 203.0.113.7"))
    }

    @Test("A link that is renamed among configured names is told with the name before")
    func renamed() {
        var machine = Self.started(
            .masquerading("ppp*", "192.168.0.0/16"), .link("ppp0", 7, up: true, "203.0.113.7"))
        #expect(
            machine.change(.link("ppp-dsl", 7, up: true, "203.0.113.7"))
                == news(
                    "ppp-dsl is up with 203.0.113.7 (it was ppp0): masquerading 192.168.0.0/16",
                    status: "ppp-dsl is up with 203.0.113.7"))
        #expect(
            machine.change(.link("dsl", 7, up: true, "203.0.113.7"))
                == news("ppp-dsl is gone", status: "no uplink is there"))
    }
}
