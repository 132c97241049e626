// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore
import TestSupport
import Testing

@testable import MasqKernel

/// A gateway with two inside links, two uplinks of masqd's and two VPNs of somebody else's, and policy routing by chance.
///
///     client 192.168.1.2 … ── lan0           ppp0 203.0.113.2 ── 203.0.113.1 world
///            192.168.2.2 … ── lan1  router   ppp1 203.0.114.2 ── 203.0.114.1
///                                            vpn0 192.168.99.2 ─ 192.168.99.1
///                                            vpn1 10.99.0.2 ──── 10.99.0.1
///
/// The world only writes down what arrives: by which link, and with which source.
final class RandomRouting {
    /// How a flow's packet arrived in the world.
    struct Arrival: Equatable {
        var link: String
        var source: String
    }

    /// One flow; its destination port is its name.
    struct Sender {
        let socket: Socket
        let port: UInt16
        let destination: Endpoint
    }

    let isIPv6: Bool
    private let client: NetworkNamespace
    let router: NetworkNamespace
    private let world: NetworkNamespace
    private var random: SplitMix64
    private var uplinkAddress: [String: String]
    /// What was made, for a failure to name.
    private(set) var history: [String] = []

    private static let outward = ["ppp0", "ppp1", "vpn0", "vpn1"]
    private static let marker = "198.51.100.254"
    private static let markerIPv6 = "2001:db8:80::fe"

    init(seed: UInt64, isIPv6: Bool) throws {
        self.isIPv6 = isIPv6
        random = SplitMix64(seed: seed)
        client = try NetworkNamespace()
        router = try NetworkNamespace()
        world = try NetworkNamespace()
        uplinkAddress =
            isIPv6
            ? [
                "ppp0": "2001:db8:1::2", "ppp1": "2001:db8:2::2", "vpn0": "fd00:1:99::2",
                "vpn1": "fd00:2:99::2",
            ]
            : ["ppp0": "203.0.113.2", "ppp1": "203.0.114.2", "vpn0": "192.168.99.2", "vpn1": "10.99.0.2"]
        try buildLinks()
        try router.setSysctl("ipv4/ip_forward", to: "1")
        try router.setSysctl("ipv6/conf/all/forwarding", to: "1")
        try world.nft(
            """
            table inet watch {
                set seen {
                    typeof meta iifname . \(ip) saddr . udp dport
                    flags dynamic; size 65535
                }
                chain arriving {
                    type filter hook prerouting priority raw; policy drop;
                    add @seen { meta iifname . \(ip) saddr . udp dport }
                }
            }

            """)
    }

    private var ip: String { isIPv6 ? "ip6" : "ip" }

    private func run(_ lines: [String], in namespace: NetworkNamespace) throws {
        try Command("ip", isIPv6 ? "-6" : "-4", "-batch", "-").run(
            in: namespace, input: lines.map { $0 + "\n" }.joined()
        ).expectSuccess()
    }

    private func buildLinks() throws {
        // Nobody asks for hardware addresses: both ends of a link have the same one.
        func pair(_ name: String, with peer: String, of other: NetworkNamespace) throws {
            try NetworkNamespace.link(name, of: router, with: peer, of: other)
            for (name, namespace) in [(name, router), (peer, other)] {
                try namespace.ip(
                    "link set \(name) address 02:00:00:00:00:01 arp off", "link set \(name) up")
            }
        }
        for (index, name) in ["lan0", "lan1"].enumerated() {
            try pair(name, with: "eth\(index)", of: client)
            let network = isIPv6 ? "fd00:1:\(index + 1)::" : "192.168.\(index + 1)."
            let (length, option) = isIPv6 ? (64, "nodad") : (24, "")
            try run(["addr add \(network)1/\(length) dev \(name) \(option)"], in: router)
            try run(
                (2..<6).map { "addr add \(network)\($0)/\(length) dev eth\(index) \(option)" } + [
                    "rule add pref \(10 + index) from \(network)\(isIPv6 ? "" : "0")/\(length) lookup \(10 + index)",
                    "route add default dev eth\(index) table \(10 + index)",
                ], in: client)
        }
        for name in Self.outward {
            try pair(name, with: name, of: world)
            try setAddress(of: name, to: try #require(uplinkAddress[name]))
        }
    }

    /// The address of a link with a peer: the kernel mends nothing when it is replaced.
    private func setAddress(of name: String, to address: String) throws {
        let peer = Self.peer(of: address)
        if let old = uplinkAddress[name], old != address {
            try run(["addr del \(old) peer \(Self.peer(of: old)) dev \(name)"], in: router)
        }
        uplinkAddress[name] = address
        try run(["addr add \(address) peer \(peer) dev \(name) \(isIPv6 ? "nodad" : "")"], in: router)
    }

    private static func peer(of address: String) -> String {
        let separator: Character = address.contains(":") ? ":" : "."
        return address[...(address.lastIndex(of: separator) ?? address.startIndex)] + "1"
    }

    private func number(below bound: Int) -> Int { Int.random(in: 0..<bound, using: &random) }

    private func pick<Element>(_ elements: [Element]) -> Element { elements[number(below: elements.count)] }

    private func chance(_ percent: Int) -> Bool { number(below: 100) < percent }

    /// Sets up the tables that rules lead to, and a main table whose default route leads somewhere.
    func setRoutes() throws {
        func way(_ name: String) -> String {
            "via \(Self.peer(of: uplinkAddress[name] ?? "")) dev \(name) onlink"
        }
        // A gateway is looked up too when a route is made.
        var lines = ["rule add pref 2 lookup main"]
        for (index, name) in Self.outward.enumerated() {
            lines.append("route replace default \(way(name)) table \(101 + index)")
        }
        lines.append("route replace table 106 default nexthop \(way("ppp0")) nexthop \(way("vpn0"))")
        let destination = isIPv6 ? "2001:db8:80::20/124" : "198.51.100.32/28"
        lines.append("route replace \(destination) \(way("vpn1")) table 107")
        lines.append("route replace \(isIPv6 ? Self.markerIPv6 : Self.marker) \(way("ppp0")) table 110")
        let main = pick(["ppp0", "ppp0", "ppp0", "ppp1", "vpn0", "several"])
        let hops = main == "several" ? "nexthop \(way("ppp0")) nexthop \(way("ppp1"))" : way(main)
        lines.append("route replace default \(hops)")
        history.append("main: \(main)")
        try run(lines, in: router)
        defer { _ = try? Command("ip", isIPv6 ? "-6" : "-4", "rule", "del", "pref", "2").run(in: router) }
        guard !isIPv6 else { return }
        _ = try Command("ip", "route", "del", "default", "tos", "0x10").run(in: router)
        guard chance(15) else { return }
        let special = "route add default \(way("vpn0")) tos 0x10"
        history.append(special)
        try run([special], in: router)
    }

    /// Sets up rules, by everything that rules can look at.
    func setRules() throws {
        try run(["rule flush"], in: router)
        var lines = [
            "rule add pref 1 to \(isIPv6 ? Self.markerIPv6 : Self.marker) lookup 110",
            "rule add pref 32766 lookup main", "rule add pref 32767 lookup default",
        ]
        // `rule flush` of IPv6 takes main alone, and leaves no other.
        for preference in 0..<number(below: 4) {
            lines.append("rule add pref \(100 + preference) \(selector()) \(action())")
            history.append(lines.last ?? "")
        }
        try run(lines, in: router)
    }

    private func selector() -> String {
        let inside = isIPv6 ? "fd00:1:2::/64" : "192.168.2.0/24"
        let outside = isIPv6 ? "2001:db8:80::/121" : "198.51.100.0/25"
        let first = 1000 + number(below: 20)
        var words = pick([
            "fwmark 0x1", "fwmark 0x2/0xf", "fwmark 0x10/0x30", "fwmark 0/0x3", "tos 0x10",
            "ipproto udp dport \(first)-\(first + 15)", "ipproto udp sport 2000-2019", "ipproto tcp",
            "ipproto udp", Users.haveOthers ? "uidrange 1000-2000" : "not uidrange 0-0", "uidrange 0-0",
            "iif lan0", "iif lan1", "iif lo",
            "from \(inside)", "to \(outside)", "fwmark 0x1 from \(inside)", "tos 0x8 iif lan0",
            "oif ppp0",
        ])
        if !words.hasPrefix("not "), chance(12) { words = "not \(words)" }
        return words
    }

    private func action() -> String {
        pick([
            "lookup 101", "lookup 102", "lookup 103", "lookup 104", "lookup 103", "lookup 104", "lookup 105",
            "lookup 106", "lookup 107", "lookup 103 suppress_prefixlength 0", "unreachable",
            "lookup main", "goto 32766",
        ])
    }

    /// Sets up somebody else's marks, zones and translations, and perhaps what masqd would do.
    ///
    /// - Returns: whether somebody else translates.
    func setRuleset(translating: Bool) throws -> Bool {
        let first = 1000 + number(below: 30)
        var marking: [String] = []
        for _ in 0..<number(below: 3) {
            marking.append(
                pick([
                    "udp dport \(first)-\(first + 10) meta mark set \(pick(["0x1", "0x2", "0x12", "0x31"]))",
                    "ct state new udp dport \(first)-\(first + 15) ct mark set \(pick(["0x1", "0x12"]))",
                    "ip dscp cs2 meta mark set 0x2", "meta mark set ct mark", "meta mark set ct mark",
                ]).replacing("ip dscp", with: "\(ip) dscp"))
        }
        let zoned = chance(20) ? "udp dport \(first)-\(first + 5) ct zone set 5" : ""
        let foreign = [
            chance(60) ? "oifname \"vpn*\" masquerade" : "",
            chance(20) && !isIPv6 ? "oifname \"ppp0\" udp dport 1005-1009 snat ip to 192.0.2.55" : "",
        ].filter { !$0.isEmpty }
        let source = isIPv6 ? "fd00:1::/32" : "192.168.0.0/16"
        history.append("marks: \(marking); zone: \(zoned); others: \(foreign); masquerade: \(translating)")
        try router.nft(
            """
            flush ruleset
            table inet foreign {
                chain zones {
                    type filter hook prerouting priority raw; policy accept;
                    \(zoned)
                }
                chain marks {
                    type filter hook prerouting priority mangle; policy accept;
                    \(marking.joined(separator: "\n"))
                }
                chain translation {
                    type nat hook postrouting priority srcnat; policy accept;
                    \(foreign.joined(separator: "\n"))
                }
            }
            table inet masquerading {
                chain translation {
                    type nat hook postrouting priority srcnat + 5; policy accept;
                    \(translating ? "\(ip) saddr \(source) oifname \"ppp*\" masquerade" : "")
                }
            }

            """)
        return !foreign.isEmpty
    }

    /// Gives an uplink another address, as a provider does.
    func renumber() throws {
        guard chance(30) else { return }
        let name = pick(["ppp0", "ppp1"])
        let address =
            isIPv6
            ? "2001:db8:\(name == "ppp0" ? 1 : 2):\(number(below: 500) + 16)::2"
            : "203.0.\(name == "ppp0" ? 113 : 114).\(number(below: 200) + 10)"
        history.append("\(name): \(address)")
        try setAddress(of: name, to: address)
    }

    /// The links of the router, as masqd reads them.
    func links() throws -> Links {
        func read(_ connection: consuming RouteConnection) throws -> Links { try connection.links() }
        return try read(try router.run { try RouteConnection() })
    }

    /// New flows of random clients, of which no packet is sent yet.
    func senders(_ count: Int) throws -> [Sender] {
        try (0..<count).map { index in
            let socket = try client.run { try Socket(.udp, family: isIPv6 ? AF_INET6 : AF_INET) }
            let service: CInt = pick([0, 0, 0x8, 0x10, 0x40])
            try isIPv6
                ? socket.set(Int(IPPROTO_IPV6), IPV6_TCLASS, to: service)
                : socket.set(Int(IPPROTO_IP), IP_TOS, to: service)
            let (network, host) = (number(below: 2) + 1, number(below: 4) + 2)
            let address = isIPv6 ? "fd00:1:\(network)::\(host)" : "192.168.\(network).\(host)"
            try socket.bind(Endpoint(address, UInt16(2000 + index)))
            let last = number(below: 200) + 2
            let server = isIPv6 ? "2001:db8:80::\(String(last, radix: 16))" : "198.51.100.\(last)"
            return Sender(
                socket: socket, port: UInt16(1000 + index),
                destination: Endpoint(server, UInt16(1000 + index)))
        }
    }

    /// Sends one packet of each flow, and says how each has arrived.
    func arrivals(of senders: [Sender]) throws -> [UInt16: Arrival] {
        try Command("nft", "flush", "set", "inet", "watch", "seen").run(in: world).expectSuccess()
        for sender in senders { try sender.socket.send([1], to: sender.destination) }
        // Behind all others, by a way of its own.
        let last = try client.run { try Socket(.udp, family: isIPv6 ? AF_INET6 : AF_INET) }
        try last.bind(Endpoint(isIPv6 ? "fd00:1:1::2" : "192.168.1.2", 4444))
        var seen: [UInt16: Arrival] = [:]
        let world = world
        try eventually("the last packet has arrived") {
            try last.send([1], to: Endpoint(isIPv6 ? Self.markerIPv6 : Self.marker, 999))
            seen = try Self.seen(in: world)
            return seen.removeValue(forKey: 999) != nil
        }
        return seen
    }

    private static func seen(in world: NetworkNamespace) throws -> [UInt16: Arrival] {
        let listing = try Command("nft", "-n", "list", "set", "inet", "watch", "seen").run(in: world)
            .expectSuccess().standardOutput
        var seen: [UInt16: Arrival] = [:]
        for match in listing.matches(of: #/"(\w+)" \. ([0-9a-f.:]+) \. (\d+)/#) {
            guard let port = UInt16(match.3) else { continue }
            seen[port] = Arrival(link: String(match.1), source: String(match.2))
        }
        return seen
    }

    /// A conntrack entry of the router, by the flow's name.
    struct Entry: Equatable {
        let id: String
        let isZoned: Bool
        let line: String
    }

    /// What conntrack has.
    func entries() throws -> [UInt16: Entry] {
        let listing = try Command("conntrack", "-L", "-o", "id", "-f", isIPv6 ? "ipv6" : "ipv4")
            .run(in: router).expectSuccess().standardOutput
        var entries: [UInt16: Entry] = [:]
        for line in listing.split(separator: "\n") {
            guard let port = line.firstMatch(of: #/dport=(\d+)/#).flatMap({ UInt16($0.1) }),
                let id = line.firstMatch(of: #/id=(\d+)/#)
            else { continue }
            let isZoned = line.contains("zone=")
            // Packets have come into a zone since then: no more come to the other entry.
            guard isZoned || entries[port] == nil else { continue }
            entries[port] = Entry(id: String(id.1), isZoned: isZoned, line: String(line))
        }
        return entries
    }

    /// Lets the next packet of each flow be its first.
    func forgetConnections() throws {
        try Command("conntrack", "-F").run(in: router).expectSuccess()
    }

    /// Walks through conntrack as masqd does.
    func repair(_ judge: FlowJudge) throws -> DeletedFlows {
        var repair = try router.run { try ConnectionRepair() }
        guard try repair.begin(judge) else { return DeletedFlows() }
        while true {
            guard let outcome = repair.step() else { continue }
            #expect(outcome.failure == nil)
            return outcome.result.deleted
        }
    }
}

extension String {
    /// Without Foundation.
    fileprivate func replacing(_ part: String, with other: String) -> String {
        split(separator: part, omittingEmptySubsequences: false).joined(separator: other)
    }
}
