// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport
import Testing

@Suite("Who never stops changing something does not decide how much masqd works")
struct StormTests {
    /// A daemon that says which work it begins.
    private static func traced(_ gateway: Gateway, _ configuration: String = Scenario.configuration) throws
        -> Masqd
    {
        let masqd = try Masqd(
            in: gateway.router, configuration: configuration, environment: ["MASQD_TRACE": "loop"])
        try masqd.waitForReady()
        return masqd
    }

    private static func count(_ work: String, _ masqd: Masqd) throws -> Int {
        try masqd.log.split(separator: "\n").count { $0.hasSuffix("trace: \(work)") }
    }

    @Test(
        "400 changes of the default route are answered by few walks, and what was wrong at the end is mended")
    func routes() throws {
        let gateway = try Gateway()
        let masqd = try Self.traced(gateway)
        try gateway.examineConnections(port: 4811)
        // Something that stays, or no table would have to be walked through.
        _ = try Conversation(.udp, from: gateway.lan, to: Gateway.server).ask()
        let walks = try Self.count("lists the connections", masqd)
        let change = "route add default dev lan0 metric 900\nroute del default dev lan0 metric 900\n"
        try Command("ip", "-batch", "-").run(
            in: gateway.router, input: String(repeating: change, count: 200), limit: .seconds(60)
        ).expectSuccess()
        try gateway.examineConnections(port: 4812)
        let made = try Self.count("lists the connections", masqd) - walks
        #expect(made >= 1)
        #expect(made <= 40, "walks: \(made)")
    }

    @Test("A table without connections is never listed, whatever happens to links and addresses")
    func quiet() throws {
        let gateway = try Gateway()
        let masqd = try Self.traced(gateway)
        let change = "link set dmz0 mtu 1400\nlink set dmz0 mtu 1401\n"
        try Command("ip", "-batch", "-").run(
            in: gateway.router, input: String(repeating: change, count: 200), limit: .seconds(60)
        ).expectSuccess()
        try gateway.router.ip("addr add 203.0.113.77/32 dev ppp0")
        try masqd.waitForStatus(containing: "203.0.113.77")
        #expect(try masqd.log.contains("trace: begins walk"))
        #expect(try !masqd.log.contains("trace: lists the connections"), "the table is empty")
    }

    @Test("While links and routes never stop changing, a deleted table comes back")
    func heals() throws {
        let gateway = try Gateway()
        let masqd = try Self.traced(gateway)
        let change =
            "route add default dev lan0 metric 900\nroute del default dev lan0 metric 900\nlink set dmz0 mtu 1400\nlink set dmz0 mtu 1401"
        let storm = try Command("sh", "-c", "while echo '\(change)'; do :; done | ip -batch -").start(
            in: gateway.router)
        for _ in 0..<5 {
            try gateway.router.nft("delete table inet masqd\n")
            try eventually("the table is back") { try gateway.router.hasMasqdTable() }
        }
        #expect(try storm.isRunning)
        #expect(try masqd.isRunning)
    }

    @Test("Each of 300 SIGHUPs is answered, many by one reload")
    func reloads() throws {
        let gateway = try Gateway()
        let masqd = try Self.traced(gateway)
        for _ in 0..<300 {
            masqd.send(SIGHUP)
            poll(nil, 0, 1)
        }
        try masqd.reload(Scenario.configuration + "\n[mss]\nclamp = \"off\"\n")
        #expect(try !gateway.router.masqdTable().contains("maxseg"))
        #expect(try Self.count("begins reload", masqd) < 300)
    }
}
