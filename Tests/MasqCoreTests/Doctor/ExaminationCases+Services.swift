// SPDX-License-Identifier: GPL-3.0-or-later

import Testing

@testable import MasqCore

extension ExaminationTests.Case {
    /// The gateway's own services, and ports that are forwarded past them.
    static let services: [Self] = [
        Self(
            "a service on a forwarded port",
            """
            warn  tcp port 22 is forwarded to 192.168.1.10 (masqd.toml:9): what listens on 0.0.0.0:22 here is not reached \
            from there
                  look: ss -Hlnpt 'sport = :22'
            """
        ) { try $0.forward(22...22, past: Listener(.tcp, .any(.ipv4), 22)) },
        Self(
            "a service of both families, on the uplink's own link",
            """
            warn  udp port 51820 is forwarded to 192.168.1.10 (masqd.toml:9): what listens on [::]:51820 here is not reached \
            from there
                  look: ss -Hlnpu 'sport = :51820'
            """
        ) {
            try $0.forward(
                51820...51820,
                past: Listener(
                    .udp, .any(.ipv6), 51820, link: HealthyGateway.ppp, takesBothFamilies: true))
        },
        Self(
            "a service on the uplink's address, and sources that are meant",
            """
            warn  tcp port 8005 is forwarded to 192.168.1.10 (masqd.toml:9, for some sources): what listens on \
            203.0.113.7:8005 here is not reached from there
                  look: ss -Hlnpt 'sport = :8005'
            """
        ) {
            try $0.forward(8000...8010, past: Listener(.tcp, try #require(IPAddress("203.0.113.7")), 8005))
            $0.configuration?.portForwards[0].source = [try IPNetwork("198.51.100.0/24")]
        },
        Self("services that nobody outside is to reach, or by another way") {
            try $0.forward(
                22...60000,
                past: Listener(.tcp, try #require(IPAddress("192.168.1.1")), 22),
                Listener(.tcp, try #require(IPAddress("127.0.0.1")), 631),
                Listener(.tcp, .any(.ipv4), 80, link: HealthyGateway.lan), Listener(.tcp, .any(.ipv4), 21),
                // IPv6 only; and a resolver that waits for its answer.
                Listener(.tcp, .any(.ipv6), 443), Listener(.udp, .any(.ipv4), 40_000))
        },
        Self(
            "services that a neighbour on the uplink's network reaches",
            """
            hint  a neighbour in the network of wan.9 reaches services of this machine, by its addresses inside too, \
            unless other rules drop that: tcp 0.0.0.0:22, tcp 192.168.1.1:80, udp 0.0.0.0:53; masqd filters what is \
            forwarded only
                  look: ss -Hlnptu
            """
        ) {
            try $0.addUplink()
            $0.observations.listeners = .seen([
                Listener(.tcp, .any(.ipv4), 22), Listener(.udp, .any(.ipv4), 53),
                Listener(.tcp, try #require(IPAddress("192.168.1.1")), 80),
                // Loopback, the inside link alone, and a socket that waits for an answer.
                Listener(.tcp, try #require(IPAddress("127.0.0.1")), 631),
                Listener(.tcp, .any(.ipv4), 8080, link: HealthyGateway.lan),
                Listener(.udp, .any(.ipv4), 40_000),
            ])
        },
        Self("services, and nothing is forwarded") {
            $0.observations.listeners = .unseen(why: "nobody looked")
        },
    ]
}

extension IPAddress {
    fileprivate static func any(_ family: AddressFamily) -> IPAddress { IPAddress(family: family, value: 0) }
}

extension HealthyGateway {
    /// Forwards ports of both protocols to 192.168.1.10, on a machine with these services.
    fileprivate mutating func forward(_ ports: ClosedRange<UInt16>, past listeners: Listener...) throws {
        configuration?.portForwards = [
            PortForward(
                line: 9, inInterfaces: [.name("ppp0")], transports: [.tcp, .udp], ports: ports,
                address: try #require(IPAddress("192.168.1.10")), firstPort: ports.lowerBound)
        ]
        observations.listeners = .seen(Set(listeners))
    }
}
