// SPDX-License-Identifier: GPL-3.0-or-later

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
}
