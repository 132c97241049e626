// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore
import TestSupport
import Testing

/// Whatever policy routing says, packets decide: a flow that is right is never deleted, one that is certainly wrong always.
@Suite(.serialized) struct RandomRoutingTests {
    /// What became of the flows of one run.
    struct Count {
        var rounds = 0, tried = 0, right = 0, wronglyDeleted = 0, stale = 0, deleted = 0, undecided = 0

        static func += (sum: inout Count, other: Count) {
            sum.rounds += other.rounds
            sum.tried += other.tried
            sum.right += other.right
            sum.wronglyDeleted += other.wronglyDeleted
            sum.stale += other.stale
            sum.deleted += other.deleted
            sum.undecided += other.undecided
        }
    }

    /// `MASQD_REPAIR_ROUNDS` says how many.
    private static let rounds = number("MASQD_REPAIR_ROUNDS").map(Int.init) ?? 4
    /// `MASQD_REPAIR_SEED` is the one of a run that failed.
    private static let freshSeed = number("MASQD_REPAIR_SEED") ?? .random(in: 0 ... .max)

    private static func number(_ variable: String) -> UInt64? {
        getenv(variable).flatMap { UInt64(String(cString: $0)) }
    }

    @Test(
        "A flow that the kernel still sends the same way is never deleted, and a stale one always",
        arguments: [1, 2, 3, RandomRoutingTests.freshSeed], [false, true])
    func random(seed: UInt64, isIPv6: Bool) throws {
        let routing = try RandomRouting(seed: seed, isIPv6: isIPv6)
        var sum = Count()
        var coin = SplitMix64(seed: ~seed)
        for _ in 0..<Self.rounds { sum += try round(of: routing, "seed \(seed)", &coin) }
        let family = isIPv6 ? "IPv6" : "IPv4"
        print(
            "repair, \(family), seed \(seed): \(sum.tried) flows tried in \(sum.rounds) rounds, \(sum.right) right, "
                + "\(sum.wronglyDeleted) of them deleted, \(sum.stale) certainly stale, \(sum.deleted) deleted, "
                + "\(sum.undecided) left alone as uncertain")
        #expect(sum.wronglyDeleted == 0)
    }

    private func round(
        of routing: RandomRouting, _ name: String, _ coin: inout SplitMix64
    ) throws -> Count {
        var given = GivenAddresses()
        let configuration = try configuration(isIPv6: routing.isIPv6)
        try routing.setRoutes()
        try routing.setRules()
        let isForeignBefore = try routing.setRuleset(translating: Bool.random(using: &coin))
        given.note(configuration, try routing.links())
        let senders = try routing.senders(40)
        try routing.forgetConnections()
        _ = try routing.arrivals(of: senders)

        try routing.renumber()
        try routing.setRoutes()
        if Bool.random(using: &coin) { try routing.setRules() }
        let isForeignAfter = try routing.setRuleset(translating: true)
        let links = try routing.links()
        given.note(configuration, links)
        let now = try routing.arrivals(of: senders)
        let before = try routing.entries()
        let judge = FlowJudge(
            configuration, links, given: isForeignBefore || isForeignAfter ? given : nil)
        let found = try routing.repair(judge)
        let after = try routing.entries()
        try routing.forgetConnections()
        let fresh = try routing.arrivals(of: senders)

        var count = Count(rounds: 1, undecided: found.undecided.count)
        var left: [String] = []
        for sender in senders {
            guard let entry = before[sender.port] else { continue }
            count.tried += 1
            let isDeleted = after[sender.port]?.id != entry.id
            let (current, next) = (now[sender.port], fresh[sender.port])
            count.deleted += isDeleted ? 1 : 0
            if Self.isRight(entry, current, next) {
                count.right += 1
                guard isDeleted else { continue }
                count.wronglyDeleted += 1
                Issue.record(
                    """
                    \(name): deleted \(entry.line), which is right: it arrives as \(String(describing: current)), \
                    and a new one as \(String(describing: next))
                    \(routing.history.suffix(20).joined(separator: "\n"))
                    """
                )
            } else if Self.isStale(current, next, links) {
                count.stale += 1
                let arrivals = "\(String(describing: current)), a new one \(String(describing: next))"
                if !isDeleted { left.append("\(entry.line) arrives as \(arrivals)") }
            }
        }
        #expect(
            left.count <= found.undecided.count,
            """
            \(name): stale flows are left, and not all were counted:
            \((left + routing.history.suffix(20)).joined(separator: "\n"))
            """)
        return count
    }

    /// Whether a flow is none of masqd's business, or as a new one would be.
    private static func isRight(
        _ entry: RandomRouting.Entry, _ current: RandomRouting.Arrival?, _ fresh: RandomRouting.Arrival?
    ) -> Bool {
        entry.isZoned || current == fresh || current?.link.hasPrefix("vpn") == true
    }

    /// Whether a flow leaves by an uplink of masqd's with another address than a new one gets there, which is none of somebody
    /// else's.
    private static func isStale(
        _ current: RandomRouting.Arrival?, _ fresh: RandomRouting.Arrival?, _ links: Links
    ) -> Bool {
        guard let current, let fresh, current.link == fresh.link, current.link.hasPrefix("ppp") else {
            return false
        }
        let own = links.named(InterfaceName(fresh.link))?.addresses.map { "\($0)" } ?? []
        return own.contains(fresh.source) && current.source != "192.0.2.55"
    }

    private func configuration(isIPv6: Bool) throws -> Configuration {
        let block = OutboundBlock(
            line: 1, outInterfaces: [try InterfacePattern("ppp*")],
            source: [try IPNetwork(isIPv6 ? "fd00:1::/32" : "192.168.0.0/16")])
        return Configuration(origin: .commandLine, outbound: [block])
    }
}
