// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore
import TestSupport
import Testing

@testable import MasqKernel

/// Wrong entries go, every other stays, and the loop is never held up.
@Suite struct ConnectionRepairTests {
    private let namespace: NetworkNamespace
    private let table: ConnectionTable
    private let judge: FlowJudge

    /// ppp0 with a peer and the default route, lan0, and lte0, which is no uplink.
    init() throws {
        namespace = try NetworkNamespace()
        table = ConnectionTable(namespace: namespace)
        // Without it no packet of somebody else's has a way.
        try namespace.setSysctl("ipv4/ip_forward", to: "1")
        for (name, address) in [
            ("ppp0", "203.0.113.7 peer 203.0.113.1"), ("lan0", "192.168.0.1/16"), ("lte0", "172.16.0.1/24"),
        ] {
            try namespace.ip(
                "link add \(name) type veth peer name x\(name)", "addr add \(address) dev \(name)",
                "link set \(name) up", "link set x\(name) up")
        }
        try namespace.ip(
            "addr add 2001:db8::7 peer 2001:db8::1 dev ppp0 nodad", "addr add fd00:1::1/64 dev lan0 nodad",
            "route add default dev ppp0", "route add 198.18.0.0/15 dev lte0")
        let namespace = namespace
        try eventually("IPv6's default route") {
            try Command("ip", "-6", "route", "replace", "default", "dev", "ppp0").run(in: namespace).status
                == 0
        }
        let block = OutboundBlock(
            line: 1, outInterfaces: [.name("ppp0")],
            source: [try IPNetwork("192.168.0.0/16"), try IPNetwork("fd00:1::/64")])
        let links = try namespace.run { try RouteConnection() }
        judge = FlowJudge(Configuration(origin: .commandLine, outbound: [block]), try Self.read(links))
    }

    private static func read(_ connection: consuming RouteConnection) throws -> Links {
        try connection.links()
    }

    private func flow(
        _ source: String, to destination: String, seenAs translated: String, port: Int, transport: UInt8 = 17
    ) throws -> Flow {
        Flow(
            source: try #require(IPAddress(source)), destination: try #require(IPAddress(destination)),
            translatedSource: try #require(IPAddress(translated)), transport: transport,
            sourcePort: UInt16(port), destinationPort: 5060)
    }

    /// Walks through the table to the end: what was found, and in how many pieces.
    private func repair() throws -> (result: ConntrackScan.Result, pieces: Int) {
        var repair = try namespace.run { try ConnectionRepair() }
        try #require(try repair.begin(judge))
        var pieces = 1
        while true {
            if let outcome = namespace.run({ repair.step() }) {
                #expect(outcome.failure == nil)
                return (outcome.result, pieces)
            }
            pieces += 1
        }
    }

    @Test("Exactly the wrong entries go, of both families")
    func exact() throws {
        let wrong = [
            try flow("192.168.1.2", to: "198.51.100.80", seenAs: "192.168.1.2", port: 1001),
            try flow("192.168.1.2", to: "198.51.100.80", seenAs: "203.0.113.6", port: 1002),
            try flow("192.168.1.2", to: "198.51.100.80", seenAs: "192.168.0.1", port: 1003),
            try flow("fd00:1::2", to: "2001:db8:80::80", seenAs: "fd00:1::2", port: 1004),
            try flow("fd00:1::2", to: "2001:db8:80::80", seenAs: "2001:db8::6", port: 1005),
        ]
        let right = [
            try flow("192.168.1.2", to: "198.51.100.80", seenAs: "203.0.113.7", port: 2001),
            try flow("192.168.1.2", to: "198.18.0.80", seenAs: "192.168.1.2", port: 2002),
            try flow("192.168.1.2", to: "198.51.100.80", seenAs: "172.16.0.1", port: 2003),
            try flow("192.168.1.2", to: "192.168.2.2", seenAs: "192.168.1.2", port: 2004),
            try flow("10.1.1.1", to: "198.51.100.80", seenAs: "10.1.1.1", port: 2005),
            try flow("198.51.100.80", to: "192.168.1.2", seenAs: "198.51.100.80", port: 2006),
            try flow("fd00:1::2", to: "2001:db8:80::80", seenAs: "2001:db8::7", port: 2007),
            try flow("192.168.1.2", to: "203.0.113.7", seenAs: "192.168.1.2", port: 2008),
        ]
        try table.fill(wrong + right)
        let result = try repair().result
        #expect(result.examined == 13)
        #expect(result.deleted.count(.untranslated) == 2)
        #expect(result.deleted.count(.keptAddress) == 3)
        let left = try (table.listing("-f", "ipv4") + table.listing("-f", "ipv6")).compactMap { line in
            line.firstMatch(of: #/sport=(\d+)/#).flatMap { Int($0.1) }
        }
        #expect(left.sorted() == Array(2001...2008))
        #expect(try repair().result.deleted == DeletedFlows())
    }

    @Test("What leaves through IPsec is untranslated on purpose, and stays")
    func protected() throws {
        let tunnel = "tmpl src 203.0.113.7 dst 192.0.2.1 proto esp mode tunnel"
        for policy in [
            "src 192.168.0.0/16 dst 198.51.100.64/26 dir out priority 9 \(tunnel)",
            "dst 198.51.100.70 dir out priority 5", "dst 198.51.100.128/25 dir fwd \(tunnel)",
            "dst 198.51.100.2 proto udp dport 5060 dir out \(tunnel)",
            "dst 198.51.100.3 proto udp dport 5061 dir out \(tunnel)",
            "dst 198.51.100.4 dir out if_id 7 \(tunnel)",
            "dst 2001:db8:80::/64 dir out tmpl src 2001:db8::7 dst 2001:db8::1 proto esp mode tunnel",
        ] {
            let words = "xfrm policy add \(policy)".split(separator: " ").map(String.init)
            _ = try Command("ip", words).run(in: namespace).expectSuccess()
        }
        let destinations = [
            "198.51.100.80", "198.51.100.2", "2001:db8:80::80", "198.51.100.70", "198.51.100.200",
            "198.51.100.3", "198.51.100.4",
        ]
        try table.fill(
            try destinations.enumerated().map { index, destination in
                let source = destination.contains(":") ? "fd00:1::2" : "192.168.1.2"
                return try flow(source, to: destination, seenAs: source, port: 3001 + index)
            } + [try flow("192.168.1.2", to: "198.51.100.80", seenAs: "203.0.113.6", port: 3101)])
        let deleted = try repair().result.deleted
        #expect(deleted.count(.untranslated) == 4)
        #expect(deleted.count(.keptAddress) == 1)
        let left = try (table.listing("-f", "ipv4") + table.listing("-f", "ipv6")).compactMap { line in
            line.firstMatch(of: #/sport=(\d+)/#).flatMap { Int($0.1) }
        }
        #expect(left.sorted() == [3001, 3002, 3003])
    }

    /// One wrong flow to a port.
    private func wrong(
        port: Int, to destination: String = "198.51.100.80", _ transport: UInt8 = 17
    ) throws -> Flow {
        try flow("192.168.1.2", to: destination, seenAs: "192.168.1.2", port: port, transport: transport)
    }

    @Test(
        "A flow that a rule of somebody's may lead elsewhere stays, and is counted with the rule",
        arguments: [
            ("fwmark 0x77", "fwmark 0x77"), ("fwmark 0x70/0xf0", "fwmark 0x70/0xf0"),
            ("not fwmark 0/0xf", "fwmark 0x0/0xf"), ("tos 0x10", "tos 0x10"),
            ("not uidrange 0-0", "uidrange"), ("tun_id 5", "tun_id"),
        ])
    func uncertain(selector: String, words: String) throws {
        try namespace.ip("route add default dev lte0 table 77", "rule add pref 100 \(selector) lookup 77")
        try table.fill([try wrong(port: 1001)])
        let result = try repair().result
        #expect(result.deleted.mistranslated == 0)
        #expect(result.deleted.undecided.example?.doubt == .rule("routing rule 100 (\(words))"))
        // Where it leads makes no difference: it is wrong by every way.
        try namespace.ip("rule del pref 100", "rule add pref 100 \(selector) lookup main")
        #expect(try repair().result.deleted.count(.untranslated) == 1)
    }

    @Test(
        "A flow that a rule of somebody's leads elsewhere, and one that it does not, are known by what conntrack has",
        arguments: [
            "ipproto udp", "dport 5060", "ipproto udp sport 1000-1100", "from 192.168.0.0/16",
            "to 198.51.100.0/24", "iif lan0", "not ipproto tcp", "not iif lte0",
        ])
    func answered(selector: String) throws {
        let other = selector.contains("not") ? String(selector.dropFirst(4)) : "not \(selector)"
        try namespace.ip("route add default dev lte0 table 77", "rule add pref 100 \(selector) lookup 77")
        try table.fill([try wrong(port: 1001)])
        #expect(try repair().result.deleted == DeletedFlows())
        try namespace.ip("rule del pref 100", "rule add pref 100 \(other) lookup 77")
        #expect(try repair().result.deleted.count(.untranslated) == 1)
    }

    @Test("What is forwarded is user 0's, in the question as in the packet")
    func user() throws {
        try namespace.ip(
            "route add default dev lte0 table 77", "rule add pref 100 not uidrange 0-0 lookup 77")
        let words = "-6 rule add pref 100 not uidrange 0-0 unreachable".split(separator: " ").map(String.init)
        try Command("ip", words).run(in: namespace).expectSuccess()
        try table.fill([
            try wrong(port: 1001),
            try flow("fd00:1::2", to: "2001:db8:80::80", seenAs: "fd00:1::2", port: 1002),
        ])
        // Wrong by what the kernel does now; certain only where nothing can be about a user.
        #expect(try repair().result.deleted.undecided.count == 2)
    }

    @Test("A rule for one user, a transport that nobody can ask about, and routes for a type of service")
    func others() throws {
        try namespace.ip(
            "route add default dev lte0 table 77", "rule add pref 101 ipproto sctp lookup 77")
        if Users.haveOthers { try namespace.ip("rule add pref 100 uidrange 1000-1000 lookup 77") }
        try table.fill([try wrong(port: 1001), try wrong(port: 1002, 132)])
        let first = try repair().result.deleted
        #expect(first.count(.untranslated) == 1)
        #expect(first.undecided.count == 1)
        try table.fill([try wrong(port: 1003), try wrong(port: 1004, to: "203.0.113.200")])
        try namespace.ip("route add 198.51.100.0/24 dev lte0 tos 0x08", "rule del pref 101")
        let second = try repair().result.deleted
        #expect(second.count(.untranslated) == 1)
        #expect(second.undecided.count == 2)
        #expect(second.undecided.example?.doubt == .typeOfService)
    }

    @Test(
        "A flow of the gateway's own stays where a rule looks at its socket, which conntrack does not know",
        arguments: ["uidrange 1000-1000", "oif lte0"])
    func own(selector: String) throws {
        guard Users.haveOthers || !selector.hasPrefix("uidrange") else { return }
        try namespace.ip("route add default dev lte0 table 77", "rule add pref 100 \(selector) lookup 77")
        try table.fill([
            try flow("192.168.0.1", to: "198.51.100.80", seenAs: "192.168.0.1", port: 1001),
            try wrong(port: 1002),
        ])
        let deleted = try repair().result.deleted
        #expect(deleted.count(.untranslated) == 1)
        #expect(deleted.undecided.count == 1)
        let words = try #require(selector.split(separator: " ").first)
        #expect(deleted.undecided.example?.doubt == .rule("routing rule 100 (\(words))"))
    }

    @Test("A route of several ways is certain where all lead out by uplinks")
    func severalWays() throws {
        try namespace.ip("route add 198.51.100.0/25 nexthop dev ppp0 nexthop dev lte0")
        try table.fill([try wrong(port: 1001)])
        let result = try repair().result.deleted
        #expect(result.mistranslated == 0)
        #expect(result.undecided.example?.doubt == .severalWays)
        try namespace.ip("route replace 198.51.100.0/25 nexthop dev ppp0 nexthop dev ppp0 weight 2")
        #expect(try repair().result.deleted.count(.untranslated) == 1)
    }

    @Test(
        "An entry in a zone of somebody's is never touched, whichever direction has it",
        arguments: ["", "orig", "reply"])
    func zoned(direction: String) throws {
        let option = direction.isEmpty ? "--zone" : "--\(direction)-zone"
        for (zone, port) in [("5", "1001"), ("0", "1002")] {
            try Command(
                "conntrack", "-I", "-p", "udp", "-s", "192.168.1.2", "-d", "198.51.100.80", "--sport", port,
                "--dport", "5060", "-t", "600", option, zone
            ).run(in: namespace).expectSuccess()
        }
        #expect(try repair().result.deleted.count(.untranslated) == 1)
        #expect(try table.listing().first?.contains("sport=1001") == true)
    }

    @Test("A flow from a bridge may be one that is bridged, where netfilter sees what a bridge passes")
    func bridged() throws {
        try namespace.ip(
            "link add br0 type bridge", "link set br0 up", "addr add 192.168.50.1/24 dev br0",
            "link add port0 type veth peer name port1", "link set port0 master br0", "link set port0 up",
            "link set port1 up")
        guard (try? namespace.sysctl("bridge/bridge-nf-call-iptables")) != nil else { return }
        let fromBridge = try flow(
            "192.168.50.2", to: "198.51.100.80", seenAs: "192.168.50.2", port: 1001)
        let stale = try flow("192.168.50.2", to: "198.51.100.80", seenAs: "203.0.113.6", port: 1002)
        try namespace.setSysctl("bridge/bridge-nf-call-iptables", to: "1")
        try table.fill([fromBridge, stale])
        let first = try repair().result.deleted
        #expect(first.count(.keptAddress) == 1)
        #expect(first.count(.untranslated) == 0)
        #expect(first.undecided.example?.doubt == .bridge)
        try namespace.setSysctl("bridge/bridge-nf-call-iptables", to: "0")
        #expect(try repair().result.deleted.count(.untranslated) == 1)
    }

    @Test("200 000 entries, 300 of them wrong: those go, in many pieces")
    func large() throws {
        func flows(_ count: Int, seenAs translated: String, _ network: Int) throws -> [Flow] {
            let seen = try #require(IPAddress(translated))
            return try (0..<count).map { index in
                // Each address and port that is seen outside has one connection to each server.
                let server = "198.51.\(index / 50_000 + network).80"
                var flow = try flow(
                    "192.168.\(network).\(index % 250 + 1)", to: server, seenAs: "0.0.0.0",
                    port: 1024 + index % 50_000)
                flow.translatedSource = translated.isEmpty ? flow.source : seen
                return flow
            }
        }
        try table.fill(try flows(199_700, seenAs: "203.0.113.7", 1))
        try table.fill(try flows(300, seenAs: "203.0.113.6", 50))
        try #require(try table.count() == 200_000)

        let before = try processorTime()
        let (result, pieces) = try repair()
        let spent = try processorTime() - before
        #expect(result.examined == 200_000)
        #expect(result.deleted.mistranslated == 300)
        #expect(pieces > 10, "the loop stood still: \(pieces) pieces for \(spent)")
        #expect(try table.count() == 199_700)
        #expect(try table.listing("-q", "203.0.113.6").isEmpty)
        print("200 000 entries: \(spent) of processor time, \(pieces) pieces")
    }

    @Test("What the walk has not reached yet is judged by what is right by now")
    func judgedAnew() throws {
        try table.fill([try flow("192.168.1.2", to: "198.51.100.80", seenAs: "203.0.113.6", port: 1001)])
        var repair = try namespace.run { try ConnectionRepair() }
        try #require(try repair.begin(judge))
        try namespace.ip("addr add 203.0.113.6 peer 203.0.113.1 dev ppp0")
        let block = OutboundBlock(
            line: 1, outInterfaces: [.name("ppp0")], source: [try IPNetwork("192.168.0.0/16")])
        let links = try namespace.run { try RouteConnection() }
        repair.go(
            on: FlowJudge(Configuration(origin: .commandLine, outbound: [block]), try Self.read(links)))
        var outcome: ConnectionRepair.Outcome?
        while outcome == nil { outcome = repair.step() }
        #expect(outcome?.result.examined == 1)
        #expect(outcome?.result.deleted == DeletedFlows())
    }

    @Test("An empty table is not walked through")
    func empty() throws {
        var repair = try namespace.run { try ConnectionRepair() }
        let hasBegun = try repair.begin(judge)
        #expect(!hasBegun)
        let isRunning = repair.isRunning
        #expect(!isRunning)
    }

    @Test("A walk that failed leaves nothing to read, and the next one sees every entry")
    func failed() throws {
        let flows = try (0..<3000).map {
            try flow("192.168.1.2", to: "198.51.100.80", seenAs: "203.0.113.7", port: 1024 + $0)
        }
        try table.fill(flows)
        var scan = try namespace.run { try ConntrackScan() }
        try scan.begin()
        try overflowNetlink(scan.descriptor)
        do {
            while try !scan.step(milliseconds: 1000, fault: { _ in nil }) {}
            Issue.record("nothing was lost")
        } catch {
            #expect(error.code == ENOBUFS)
        }
        let isRunning = scan.isRunning
        #expect(!isRunning)
        let descriptor = scan.descriptor
        #expect(!isReadable(descriptor), "the loop would wake for ever")
        try scan.begin()
        while try !scan.step(milliseconds: 1000, fault: { _ in nil }) {}
        let examined = scan.result.examined
        #expect(examined == 3000)
    }

    @Test("An entry that may not be deleted does not keep the walk from the others, and is told at the end")
    func refused() throws {
        let flows = try (0..<100).map {
            try flow("192.168.1.2", to: "198.51.100.80", seenAs: "203.0.113.6", port: 1024 + $0)
        }
        try table.fill(flows)
        final class Walk: @unchecked Sendable {
            var scan: ConntrackScan
            init(_ scan: consuming ConntrackScan) { self.scan = scan }
        }
        let walk = Walk(try namespace.run { try ConntrackScan() })
        try walk.scan.begin()
        let error = try withoutCapabilities { () -> NetlinkError? in
            do throws(NetlinkError) {
                while try !walk.scan.step(milliseconds: 1000, fault: { _ in .keptAddress }) {}
                return nil
            } catch {
                return error
            }
        }
        #expect(error == NetlinkError(.commit, code: EPERM, object: "the deletion of a connection"))
        let (isRunning, result) = (walk.scan.isRunning, walk.scan.result)
        #expect(!isRunning)
        #expect(result.examined == 100)
        #expect(result.deleted == DeletedFlows())
    }

    /// The processor time that this thread has used.
    private func processorTime() throws -> Duration {
        var time = timespec()
        try #require(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }
}
