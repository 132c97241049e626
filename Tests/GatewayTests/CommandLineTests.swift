// SPDX-License-Identifier: GPL-3.0-or-later

import TestSupport
import Testing

@Suite("The command line")
struct CommandLineTests {
    private static let bad = """
        [[masquerade]]
        out_interface = "ppp0"
        source = "192.168.0.0/33"
        colour = "blue"

        """

    @Test("--check tells every error at once and exits 78; a good file is OK")
    func check() throws {
        let bad = try masqd("--check", "/dev/stdin", input: Self.bad)
        #expect(bad.status == 78)
        #expect(bad.standardError.contains("/dev/stdin:3:10: error: "))
        #expect(bad.standardError.contains("/dev/stdin:4:1: error: "))
        let good = try masqd("--check", "/dev/stdin", input: Scenario.configuration)
        #expect(good.status == 0)
        #expect(good.standardOutput == "configuration OK\n")
    }

    @Test("--print prints a ruleset that nft accepts, and puts nothing into the kernel")
    func print() throws {
        let namespace = try NetworkNamespace()
        let printed = try masqd("--print", "/dev/stdin", input: Scenario.configuration, in: namespace)
        #expect(printed.status == 0)
        #expect(try namespace.nftListing() == "")
        try Command("nft", "-c", "-f", "-").run(in: namespace, input: printed.standardOutput).expectSuccess()
        #expect(printed.standardOutput.contains("masquerade"))
    }

    @Test("A bad file at start exits 78 and leaves no rule")
    func badAtStart() throws {
        let namespace = try NetworkNamespace()
        let masqd = try Masqd(in: namespace, configuration: Self.bad)
        #expect(try masqd.waitForExit() == 78)
        #expect(try masqd.log.contains("masqd.toml:4:1: error: "))
        #expect(try !namespace.hasMasqdTable())
        #expect(try namespace.sysctl("ipv4/ip_forward") == "0")
    }

    @Test(
        "A command line that can't be understood exits 64",
        arguments: [["--colour"], ["--out-interface", "ppp0"], ["--config"], ["--source=10.0.0.0/8"]])
    func misuse(arguments: [String]) throws {
        let output = try Command(Masqd.binary, arguments).run(in: try NetworkNamespace())
        #expect(output.status == 64)
        #expect(!output.standardError.isEmpty)
    }

    private func masqd(
        _ arguments: String..., input: String, in namespace: NetworkNamespace? = nil
    ) throws -> Command.Output {
        try Command(Masqd.binary, arguments).run(in: namespace, input: input)
    }
}
