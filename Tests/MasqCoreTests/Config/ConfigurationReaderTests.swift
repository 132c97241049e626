// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore
import Testing

@Suite struct ConfigurationReaderTests {
    @Test("Every key is read into the configuration")
    func everyKey() throws {
        let text = """
            [gateway]
            ip_forward = "require"

            [[masquerade]]
            out_interface = ["ppp0", "wan*"]
            source = ["192.168.0.0/16", "fd00::/8"]
            exclude = "10.8.0.0/16"
            ports = "1024-65535"
            random = "fully-random"
            persistent = true

            [[masquerade]]
            out_interface = 'eth1'
            source = "10.0.0.1"
            ports = "5000"

            [forward]
            policy = "drop"
            unsolicited = "accept"

            [log]
            drops = "nflog"
            group = 5
            prefix = "gw "
            rate = "2/second burst 7"
            """
        let reading = Configuration.read(text.utf8.span, from: "a.toml")

        var first = OutboundBlock(
            line: 4, outInterfaces: [.name("ppp0"), .prefix("wan")],
            source: [try IPNetwork("192.168.0.0/16"), try IPNetwork("fd00::/8")])
        first.exclude = [try IPNetwork("10.8.0.0/16")]
        first.translation = .masquerade(
            NATOptions(ports: 1024...65535, random: .fullyRandom, persistent: true))
        let second = OutboundBlock(
            line: 12, outInterfaces: [.name("eth1")], source: [try IPNetwork("10.0.0.1/32")],
            translation: .masquerade(NATOptions(ports: 5000...5000)))
        var expected = Configuration(origin: .file("a.toml"), outbound: [first, second])
        expected.gateway.ipForward = .require
        expected.forward.policy = .drop
        expected.forward.policyLine = 18
        expected.forward.unsolicited = .accept
        expected.forward.unsolicitedLine = 19
        expected.log.drops = .nflog
        expected.log.line = 22
        expected.log.group = 5
        expected.log.prefix = "gw "
        expected.log.rate = Rate(2, .second, burst: 7)
        #expect(reading.diagnostics == [])
        #expect(reading.configuration == expected)
    }

    @Test("The shipped file says what the defaults are")
    func shippedFile() throws {
        let root = #filePath.split(separator: "/").dropLast(4).map { "/" + $0 }.joined()
        let golden = GoldenCase(path: root + "/config/masqd")
        let text = try #require(try golden.read(".toml"))
        let reading = Configuration.read(text.span, from: "masqd.toml")

        #expect(reading.diagnostics == [])
        var configuration = try #require(reading.configuration)
        #expect(configuration.forward.policyLine != nil)
        #expect(configuration.forward.unsolicitedLine != nil)
        configuration.forward.policyLine = nil
        configuration.forward.unsolicitedLine = nil
        #expect(configuration.forward.unnamedUplinkLine != nil)
        configuration.forward.unnamedUplinkLine = nil
        #expect(configuration.forward.flowOffloadLine != nil)
        configuration.forward.flowOffloadLine = nil
        #expect(configuration.mss.clampLine != nil)
        configuration.mss.clampLine = nil
        #expect(configuration.policyRouting.marksLine != nil)
        configuration.policyRouting.marksLine = nil
        configuration.forward.markLine = nil
        configuration.clients.line = AccessList().line
        configuration.destinations.line = AccessList().line
        configuration.accounting.line = Accounting().line
        #expect(configuration.conntrack.helpersLine != nil)
        configuration.conntrack.helpersLine = nil
        #expect(configuration.conntrack.timeoutsLine != nil)
        configuration.conntrack.timeoutsLine = nil
        #expect(configuration.log.line != nil)
        configuration.log.line = nil
        configuration.outbound[0].line = 0
        let block = OutboundBlock(
            line: 0, outInterfaces: [.name("ppp0")], source: [try IPNetwork("192.168.0.0/16")])
        #expect(configuration == Configuration(origin: .file("masqd.toml"), outbound: [block]))
    }

    @Test("The command line makes one block with the defaults")
    func commandLine() throws {
        let reading = Configuration.read(
            outInterfaces: ["ppp0", "ppp1"], sources: ["192.168.0.0/16", "fd00::/8"])

        let block = OutboundBlock(
            line: 0, outInterfaces: [.name("ppp0"), .name("ppp1")],
            source: [try IPNetwork("192.168.0.0/16"), try IPNetwork("fd00::/8")])
        #expect(reading.diagnostics == [])
        #expect(reading.configuration == Configuration(origin: .commandLine, outbound: [block]))
    }

    @Test("Diagnostics of the command line name the option, errors first")
    func commandLineDiagnostics() {
        let reading = Configuration.read(
            outInterfaces: ["ppp+", "ppp0", "ppp0"], sources: ["192.168.0.0/33", "10.0.0.0/8", "10.0.0.5/8"])

        #expect(reading.configuration == nil)
        #expect(
            reading.diagnostics.map(\.description) == [
                "--out-interface: error: \"ppp+\": the wildcard is \"*\" here, not iptables' \"+\", did you mean \"ppp*\"?",
                "--source: error: \"192.168.0.0/33\": prefix length must be 0 to 32",
                "--source: error: \"10.0.0.5/8\": host bits set, did you mean \"10.0.0.0/8\", or \"10.0.0.5/32\"?",
                "--out-interface: warning: \"ppp0\" is listed twice",
            ])
    }

    @Test("An option that is missing is an error")
    func commandLineEmpty() {
        let reading = Configuration.read(outInterfaces: [], sources: [])

        #expect(reading.configuration == nil)
        #expect(
            reading.diagnostics.map(\.description) == [
                "--out-interface: error: name at least one interface",
                "--source: error: name at least one network",
            ])
    }

    @Test("Networks within others of their list are left out, the rest keeps its order")
    func merged() throws {
        let text = """
            [[masquerade]]
            out_interface = ["ppp1", "ppp0", "ppp1"]
            source = ["192.168.5.0/24", "10.0.0.0/8", "fd00:1::/32", "192.168.0.0/16", "10.0.0.0/8", "fd00::/16"]
            """
        let reading = Configuration.read(text.utf8.span, from: "a.toml")

        let block = try #require(reading.configuration?.outbound.first)
        #expect(block.source.map(\.description) == ["10.0.0.0/8", "192.168.0.0/16", "fd00::/16"])
        #expect(block.outInterfaces == [.name("ppp1"), .name("ppp0")])
        #expect(reading.diagnostics.count == 4)
    }

    @Test("Networks that only touch do not overlap")
    func touching() {
        let text = """
            [[masquerade]]
            out_interface = "ppp0"
            source = ["10.0.0.0/24", "10.0.1.0/24", "255.255.255.255", "::", "0.0.0.0"]
            [[masquerade]]
            out_interface = "ppp*"
            source = ["10.0.2.0/24", "9.255.255.255", "::1"]
            """
        #expect(Configuration.read(text.utf8.span, from: "a.toml").diagnostics == [])
    }

    @Test("Every block that loses to an earlier one is told so, through any number of nested networks")
    func nestedBlocks() {
        let sources = ["10.0.0.0/8", "10.0.0.0/24", "10.0.0.0/16"]
        let text = sources.map { "[[masquerade]]\nout_interface = \"ppp0\"\nsource = \"\($0)\"\n" }.joined()
        let reading = Configuration.read(text.utf8.span, from: "a.toml")

        let pairs = reading.diagnostics.map { diagnostic in
            let line = diagnostic.message.split(separator: "line ").last?.prefix { $0.isNumber } ?? ""
            return "\(diagnostic.position?.line ?? 0) loses to \(line)"
        }
        #expect(pairs.sorted() == ["6 loses to 1", "9 loses to 1", "9 loses to 4"])
    }

    @Test("An error in the file's last line is still listed when a hundred warnings come before it")
    func errorsBeforeWarnings() {
        let networks = String(repeating: "\"10.0.0.0/8\", ", count: 150)
        let text = "[[masquerade]]\nout_interface = \"ppp0\"\nsource = [\(networks)]\npersistent = 1\n"
        let reading = Configuration.read(text.utf8.span, from: "a.toml")

        #expect(reading.diagnostics.count == 101)
        #expect(reading.diagnostics[99].description.hasPrefix("a.toml:4:14: error:"))
        #expect(reading.diagnostics[100].description == "a.toml: warning: … and 50 more warnings")
    }
}
