// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport
import Testing

@Suite("Flows that the kernel would leave wrong for ever")
struct RepairTests {
    @Test("A flow that began before masqd is translated after its start, and right ones are left alone")
    func bornUntranslated() throws {
        let gateway = try Gateway()
        try gateway.forwardUntranslated()
        let phone = try Conversation(.udp, from: gateway.lan, to: Gateway.server)
        #expect(throws: Failure.self) { try phone.ask(limit: .milliseconds(100)) }
        #expect(try gateway.leaks() == 1)
        let untouched = try Conversation(.tcp, from: gateway.lan, to: Gateway.dmzServer)
        #expect(try untouched.ask().address == "192.168.1.2")

        let masqd = try Masqd(in: gateway.router, configuration: Scenario.configuration)
        try masqd.waitForReady()
        try eventually("the phone is seen with the gateway's address") {
            (try? phone.ask(limit: .milliseconds(100)))?.address == "203.0.113.7"
        }
        #expect(try untouched.ask().address == "192.168.1.2")
        #expect(try gateway.leaks() == 1)
    }

    @Test("What leaks is mended, also by a masqd that finds the alarm of the one before rung and not armed again")
    func alarm() throws {
        let gateway = try Gateway()
        let masqd = try Masqd(in: gateway.router, configuration: Scenario.configuration)
        try masqd.waitForReady()
        try expectMended(gateway, port: 4711)
        try masqd.stop(SIGUSR1)
        let phone = try untranslated(gateway, port: 4712)
        #expect(throws: Failure.self) { try phone.ask(limit: .milliseconds(100)) }
        #expect(try gateway.router.nftListing("quotas").contains("used"))
        let next = try Masqd(in: gateway.router, configuration: Scenario.configuration)
        try next.waitForReady()
        try eventually("the alarm is armed") { try !gateway.router.nftListing("quotas").contains("used") }
        try expectMended(gateway, port: 4713)
        #expect(try gateway.leaks() == 0)
    }

    /// A flow that was never translated, as conntrack has it.
    private func untranslated(_ gateway: Gateway, port: UInt16) throws -> Conversation {
        try Command(
            "conntrack", "-I", "-p", "udp", "-s", "192.168.1.2", "-d", Gateway.server.address,
            "--sport", "\(port)", "--dport", "\(Gateway.server.port)", "-t", "600"
        ).run(in: gateway.router).expectSuccess()
        return try Conversation(
            .udp, from: gateway.lan, source: Endpoint("192.168.1.2", port), to: Gateway.server)
    }

    private func expectMended(_ gateway: Gateway, port: UInt16) throws {
        let phone = try untranslated(gateway, port: port)
        try eventually("the flow is seen with the gateway's address") {
            (try? phone.ask(limit: .milliseconds(100)))?.address == "203.0.113.7"
        }
    }
}
