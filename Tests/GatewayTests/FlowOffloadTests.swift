// SPDX-License-Identifier: GPL-3.0-or-later

import TestSupport
import Testing

/// What a flowtable does is tested where the kernel has one, in the virtual machine; here, what its absence does.
@Suite("Flow offload")
struct FlowOffloadTests {
    private func configuration(_ offload: String) -> String {
        Scenario.configuration + "[forward]\nflow_offload = \"\(offload)\"\n"
    }

    private func hasFlowtables(_ namespace: NetworkNamespace) throws -> Bool {
        let script = "table inet probe { flowtable f { hook ingress priority 0; }; }"
        return try Command("nft", "-c", "-f", "-").run(in: namespace, input: script).status == 0
    }

    @Test("Under auto a kernel without flowtables is told once, and everything else is in force")
    func auto() throws {
        let scenario = try Scenario(configuration("auto"))
        let gateway = scenario.gateway
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
        #expect(try gateway.leaks() == 0)
        // Links come and go: it is not asked for again.
        try gateway.hangUp()
        try gateway.dialUp(address: "203.0.113.8", addressIPv6: nil)
        try scenario.masqd.waitForStatus(containing: "ppp0 is up with 203.0.113.8")
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.8")
        let isLacking = try !hasFlowtables(gateway.router)
        #expect(try scenario.masqd.status.contains("the kernel lacks flowtables") == isLacking)
        let complaints = try scenario.masqd.log.split(separator: "flowtable fastpath: ").count - 1
        #expect(complaints == (isLacking ? 1 : 0))
    }

    @Test("Who insists on it is refused where the kernel has no flowtables, and keeps his rules at a reload")
    func software() throws {
        let scenario = try Scenario()
        let gateway = scenario.gateway
        let status = try scenario.masqd.reload(configuration("software"))
        guard try !hasFlowtables(gateway.router) else {
            #expect(try gateway.router.nftListing("flowtables").contains("fastpath"))
            return
        }
        #expect(status.contains("in force: the previous rules"))
        #expect(try scenario.masqd.log.contains("modprobe -a nf_flow_table_inet nft_flow_offload"))
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
        #expect(try scenario.masqd.stop() == 0)

        let insistent = try Masqd(in: gateway.router, configuration: configuration("software"))
        #expect(try insistent.waitForExit() == 69)
        #expect(try !gateway.router.hasMasqdTable())
    }
}
