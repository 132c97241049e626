// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport
import Testing

/// A gateway under traffic, a random hand that does things to it, and an account of what must be true afterwards.
final class Soak {
    let gateway: Gateway
    let masqd: Masqd
    private var random: SplitMix64
    private let phones: [(phone: Phone, isIPv6: Bool)]
    private let churn: Churn

    // The account.
    private var configuration: SoakConfiguration
    /// What `nft` lists when it has loaded what `masqd --print` prints.
    private var expected: [String]
    /// The listing of each foreign table after the last edit that was meant for it, by family and name.
    private var foreign: [String: String] = [:]
    private var uplink = (isDialed: true, isUp: true, number: 7)
    private var hasFallback = false
    private var counts: [String: Int] = [:]

    /// Private packets seen outside in the steps in which somebody tore holes, until they were mended.
    private(set) var leaksThroughHoles = 0
    /// Private packets seen outside in all other steps.
    private(set) var leaksElsewhere = 0
    /// Sources seen by the server that no uplink ever had.
    var strangeSources: [String] { churn.sources.filter { !addresses.contains($0) }.sorted() }
    private var addresses: Set<String> = ["203.0.113.7"]

    init(seed: UInt64) throws {
        random = SplitMix64(seed: seed)
        configuration = SoakConfiguration()
        gateway = try Gateway()
        masqd = try Masqd(in: gateway.router, configuration: configuration.text)
        try masqd.waitForReady()
        expected = try Self.listing(of: masqd)
        phones = try [
            (Phone(in: gateway.lan), false), (Phone(in: gateway.lan, to: Gateway.secondServer), false),
            (Phone(in: gateway.lan, to: Gateway.serverIPv6), true),
        ]
        churn = try Churn(in: gateway.lan)
    }

    /// What happened, in one line.
    var summary: String {
        let deeds = counts.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
        return
            "\(deeds); \(churn.answered) flows answered; private packets let out by others' deeds until mended: "
            + "\(leaksThroughHoles)"
    }

    /// One random deed, and what must be true when masqd has dealt with it.
    func step() throws {
        let leaks = try gateway.clientLeaks()
        let deed = Deed.allCases.randomElement(using: &random) ?? .reload
        counts["\(deed)", default: 0] += 1
        let words = try perform(deed)
        // More than twenty repairs in a second would be a fight, which is another test's matter.
        poll(nil, 0, 60)
        do {
            try waitForTable()
        } catch {
            throw Failure("after \(words): \(error)\n\(try masqd.log.suffix(2000))")
        }
        try #expect(foreignTables() == foreign, "after \(words)")
        let more = try gateway.clientLeaks() - leaks
        if deed.tearsHoles {
            leaksThroughHoles += more
        } else {
            leaksElsewhere += more
            #expect(more == 0, "\(more) private packets after \(words)")
        }
    }

    /// Brings the uplink back, and checks what only then is certain.
    func settle() throws {
        if !uplink.isDialed { try dial() }
        if !uplink.isUp { try switchUplink(on: true) }
        if hasFallback { try toggleFallback() }
        let address = "203.0.113.\(uplink.number)"
        for (phone, isIPv6) in phones {
            try phone.waitUntilSeen(as: isIPv6 ? "2001:db8::\(uplink.number)" : address)
        }
        try waitForTable()
        try #expect(foreignTables() == foreign)
        let router = gateway.router
        try eventually("no flow is wrong: \(try Self.wrongFlows(in: router, address))") {
            try Self.wrongFlows(in: router, address).isEmpty
        }
        churn.stop()
        for (phone, _) in phones { phone.stop() }
    }

    private func chance(_ one: Int) -> Bool { random.next() % UInt64(one) == 0 }
}

// What is done.
extension Soak {
    enum Deed: CaseIterable {
        case flushRuleset, deleteTable, editOwnTable, editOwnTableAgain, editForeignTable,
            editForeignTableAgain
        case redial, changeAddress, flap, loseRoute, toggleFallback, reload, refusedReload

        /// Whether the rules are not whole until masqd has mended them.
        var tearsHoles: Bool {
            switch self {
            case .flushRuleset, .deleteTable, .editOwnTable, .editOwnTableAgain: true
            case .editForeignTable, .editForeignTableAgain, .redial, .changeAddress, .flap, .loseRoute,
                .toggleFallback, .reload, .refusedReload:
                false
            }
        }
    }

    /// Does it; the result says what it was.
    private func perform(_ deed: Deed) throws -> String {
        switch deed {
        case .flushRuleset:
            try gateway.router.nft("flush ruleset")
            foreign = [:]
        case .deleteTable:
            try gateway.router.nft("delete table inet masqd")
        case .editOwnTable, .editOwnTableAgain:
            let listing = try Command("nft", "-a", "list", "table", "inet", "masqd").run(in: gateway.router)
            let edit = RandomEdit(of: listing.standardOutput, using: &random).script
            // Some are refused, such as the deletion of what is in use.
            _ = try Command("nft", "-f", "-").run(in: gateway.router, input: edit + "\n")
            return edit
        case .editForeignTable, .editForeignTableAgain:
            let (table, script) = RandomEdit.foreign(present: foreign.keys.sorted(), using: &random)
            let status = try Command("nft", "-f", "-").run(in: gateway.router, input: script + "\n").status
            guard status == 0 else { return "\(script), which is refused" }
            foreign[table] = try foreignTables()[table]
            return script
        case .redial:
            if uplink.isDialed {
                try gateway.hangUp()
                uplink.isDialed = false
            } else {
                try dial()
            }
        case .changeAddress:
            if uplink.isDialed, uplink.isUp { try changeAddress() }
        case .flap:
            if uplink.isDialed { try switchUplink(on: !uplink.isUp) }
        case .loseRoute:
            guard uplink.isDialed, uplink.isUp else { break }
            try gateway.router.ip("route del default dev ppp0")
            try gateway.restoreRoutes()
        case .toggleFallback: try toggleFallback()
        case .reload:
            configuration.change(using: &random)
            let status = try masqd.reload(configuration.text)
            #expect(status.hasPrefix("in force"), "\(configuration.text)")
            expected = try Self.listing(of: masqd)
            return "a reload of \(configuration.text)"
        case .refusedReload:
            let status = try masqd.reload(configuration.text + "nonsense = \(random.next() % 100)\n")
            #expect(status.contains("refused"))
            try masqd.write(configuration: configuration.text)
        }
        return "\(deed)"
    }

    private func nextAddress() -> (String, String) {
        uplink.number = 7 + (uplink.number - 6) % 90
        addresses.insert("203.0.113.\(uplink.number)")
        return ("203.0.113.\(uplink.number)", "2001:db8::\(uplink.number)")
    }

    private func dial() throws {
        let (address, addressIPv6) = nextAddress()
        try gateway.dialUp(address: address, addressIPv6: addressIPv6)
        uplink.isDialed = true
        uplink.isUp = true
    }

    /// As when a provider renumbers: the link stays up.
    private func changeAddress() throws {
        let old = uplink.number
        let (address, addressIPv6) = nextAddress()
        try gateway.wan.ip(
            "addr add 203.0.113.1 peer \(address) dev isp-ppp0", "route replace \(addressIPv6) dev isp-ppp0")
        try gateway.router.ip(
            "addr del 203.0.113.\(old) peer 203.0.113.1 dev ppp0",
            "addr add \(address) peer 203.0.113.1 dev ppp0",
            "addr del 2001:db8::\(old) peer 2001:db8::1 dev ppp0",
            "addr add \(addressIPv6) peer 2001:db8::1 dev ppp0 nodad")
        try gateway.restoreRoutes()
    }

    private func switchUplink(on isOn: Bool) throws {
        uplink.isUp = isOn
        guard isOn else { return try gateway.router.ip("link set ppp0 down") }
        try gateway.router.ip(
            "link set ppp0 up", "addr replace 2001:db8::\(uplink.number) peer 2001:db8::1 dev ppp0 nodad")
        try gateway.waitUntilUp()
        try gateway.restoreRoutes()
    }

    private func toggleFallback() throws {
        hasFallback.toggle()
        try gateway.router.ip(
            "route \(hasFallback ? "add" : "del") default via 10.9.0.2 dev dmz0 metric 1000")
    }
}

// What must be true.
extension Soak {
    private func waitForTable() throws {
        let (router, expected) = (gateway.router, expected)
        var present: [String] = []
        do {
            try eventually("the table is as the file says", within: .seconds(20)) {
                present = try Self.blocks(of: router)
                return try present == expected && Self.knowsDefaultRoutes(router)
            }
        } catch {
            let surplus = present.filter { !expected.contains($0) }
            let missing = expected.filter { !present.contains($0) }
            throw Failure("\(error); missing: \(missing), surplus: \(surplus)")
        }
    }

    /// The table's objects as `nft` lists them, in an order of their own; none where there is no table.
    private static func blocks(of namespace: NetworkNamespace) throws -> [String] {
        let output = try Command("nft", "-s", "list", "table", "inet", "masqd").run(in: namespace)
        guard output.status == 0 else { return [] }
        let blocks = output.standardOutput.split(separator: "\n\t}\n").map { block in
            let lines = block.split(separator: "\n").filter { !$0.hasPrefix("table ") && $0 != "}" }
            // What these sets hold follows the links, and `--print` shows no link.
            let follows = followed.contains { lines.first?.hasPrefix("\tset \($0)") == true }
            return lines.filter { !follows || !$0.hasPrefix("\t\telements") }.joined(separator: "\n")
        }
        // What masqd remembers of the switches is not in the file.
        return blocks.filter {
            !$0.isEmpty && !$0.contains("_was_off")
        }
        .sorted()
    }

    private static let followed = ["default_route", "without_address"]

    /// Whether the links that masqd knows a default route of are those that have one.
    private static func knowsDefaultRoutes(_ namespace: NetworkNamespace) throws -> Bool {
        for (family, set) in [("-4", "default_route"), ("-6", "default_route_ipv6")] {
            let routes = try Command("ip", family, "route", "show", "default").run(in: namespace)
            let words = try routes.expectSuccess().standardOutput.split(whereSeparator: \.isWhitespace)
            let links = Set(zip(words, words.dropFirst()).filter { $0.0 == "dev" }.map { String($0.1) })
            let listing = try namespace.nftListing("set", "inet", "masqd", set)
            let elements = listing.split(separator: "\n").first { $0.hasPrefix("\t\telements") } ?? ""
            let known = Set(elements.split(separator: "\"").filter { !$0.contains(" ") }.map(String.init))
            guard known == links else { return false }
        }
        return true
    }

    /// A second opinion: what `nft` makes of what masqd would print.
    private static func listing(of masqd: Masqd) throws -> [String] {
        let printed = try Command(Masqd.binary, "--config", masqd.configurationPath, "--print").run()
        let namespace = try NetworkNamespace()
        try namespace.nft(try printed.expectSuccess().standardOutput)
        return try blocks(of: namespace)
    }

    /// Every table but masqd's own, with its listing.
    private func foreignTables() throws -> [String: String] {
        var tables: [String: String] = [:]
        for line in try gateway.router.nftListing("tables").split(separator: "\n") {
            let name = String(line.dropFirst("table ".count))
            guard name != "inet masqd" else { continue }
            let words = name.split(separator: " ").map(String.init)
            tables[name] = try Command("nft", ["-s", "-a", "list", "table"] + words).run(in: gateway.router)
                .standardOutput
        }
        return tables
    }

    /// By `conntrack`'s account: flows from inside to the servers that have another address than the uplink's.
    private static func wrongFlows(in router: NetworkNamespace, _ address: String) throws -> [Substring] {
        let listing = try Command("conntrack", "-L", "-s", "192.168.1.2").run(in: router).standardOutput
        return listing.split(separator: "\n").filter { line in
            line.contains("dst=198.51.100.") && !line.contains("dst=\(address) ")
        }
    }
}
