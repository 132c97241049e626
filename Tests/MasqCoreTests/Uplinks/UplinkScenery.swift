// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore

extension Configuration {
    /// The how-to behind ppp0, and behind eth1 where that is lost.
    static var ppp0BeforeEth1: Configuration { behind("ppp0", "eth1") }

    /// Uplinks in the order of preference; the file's lines are 10, 20, …
    static func behind(_ interfaces: InterfaceName...) -> Configuration {
        var configuration = masquerading("*", "192.168.0.0/16")
        configuration.outbound[0].outInterfaces = interfaces.map(InterfacePattern.name)
        configuration.uplinks = interfaces.enumerated().map { index, interface in
            UplinkBlock(line: 10 * (index + 1), interface: interface, number: index + 1)
        }
        return configuration
    }
}

extension Link {
    static let ppp0 = pointToPoint(.link("ppp0", 7, up: true, "203.0.113.7"))
    static let eth1 = link("eth1", 3, up: true, "198.51.100.9")

    static func pointToPoint(_ link: Link) -> Link {
        var link = link
        link.resolvesNeighbours = false
        return link
    }

    /// With nothing plugged in.
    var unplugged: Link {
        var link = self
        link.hasCarrier = false
        return link
    }
}

extension SimulatedMachine {
    /// Both uplinks work, the second with a gateway on its network.
    static func withTwoUplinks(
        _ configuration: Configuration = .ppp0BeforeEth1, _ links: Link...
    ) -> SimulatedMachine {
        var machine = SimulatedMachine()
        machine.forwarding = [.ipv4: true, .ipv6: true]
        machine.links = Links(links.isEmpty ? [.ppp0, .eth1] : links)
        machine.routing.families = [.ipv4]
        machine.routing.foreignRoutes = [
            .to("203.0.113.1/32", table: 254, link: 7, metric: 0),
            .to("198.51.100.0/24", table: 254, link: 3, metric: 0),
            .to("0.0.0.0/0", via: "198.51.100.1", table: 254, link: 3, metric: 20),
        ]
        _ = machine.start(configuration)
        return machine
    }

    /// masqd's rules in order, as `ip rule` prints them.
    var ruleTexts: [String] {
        routing.rules.sorted { ($0.family.rawValue, $0.priority) < ($1.family.rawValue, $1.priority) }
            .map(\.text)
    }

    /// masqd's routes as `ip route` prints them, in the order of their texts.
    var routeTexts: [String] { routing.routes.map(\.text).sorted() }

    /// The lines of log among actions.
    static func lines(_ actions: [Action]) -> [String] {
        actions.compactMap { if case .log(_, let line) = $0 { line } else { nil } }
    }
}

extension Route {
    static func to(
        _ destination: String, via gateway: String? = nil, table: UInt32, link: Int32, metric: UInt32
    ) -> Route {
        Route(
            (try? IPNetwork(destination))
                ?? IPNetwork(containing: IPAddress(family: .ipv4, value: 0), prefixLength: 32),
            link: link, gateway: gateway.flatMap { IPAddress($0) }, metric: metric, table: table)
    }

    fileprivate var text: String {
        "table \(table): \(destination)\(gateway.map { " via \($0)" } ?? "")\(isOnLink ? " onlink" : "") link \(link)"
    }
}

extension RoutingRule {
    fileprivate var text: String {
        var words = [family == .ipv6 ? "-6 \(priority):" : "\(priority):"]
        if let mark {
            words.append("fwmark 0x" + String(mark.value, radix: 16) + "/0x" + String(mark.mask, radix: 16))
        }
        if let outInterface { words.append("oif \(outInterface)") }
        switch action {
        case .lookUp(let table, let withoutDefault):
            words.append("lookup \(table)" + (withoutDefault ? " suppress_prefixlength 0" : ""))
        case .unreachable: words.append("unreachable")
        }
        return words.joined(separator: " ")
    }
}
