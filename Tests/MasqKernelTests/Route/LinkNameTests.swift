// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import TestSupport
import Testing

@testable import MasqKernel

@Suite struct LinkNameTests {
    /// Names that `dev_valid_name` in net/core/dev.c takes.
    private static let names: [[UInt8]] = [
        [0x6C, 0xFF], [0x6C, 0xFE], Array("lan\u{1B}[7m".utf8), Array("\u{202E}abc".utf8),
        Array("p'\"\\$".utf8),
        Array("a*b".utf8), [0xFF] + [UInt8](repeating: 0x80, count: 14),
    ]

    /// A namespace with links of these names, each with an address.
    private func namespace() throws -> NetworkNamespace {
        let namespace = try NetworkNamespace()
        for (number, name) in Self.names.enumerated() {
            let octal = name.map { byte in
                "\\" + [byte >> 6, byte >> 3 & 7, byte & 7].map { String($0) }.joined()
            }
            let script = """
                name=$(printf '\(octal.joined())')
                ip link add name "$name" type veth peer name peer\(number)
                ip link set "$name" up && ip address add 10.0.\(number).1/24 dev "$name"
                """
            try Command("sh", "-ec", script).run(in: namespace).expectSuccess()
        }
        return namespace
    }

    @Test("Links are known by the bytes of their names, whatever these are")
    func listing() throws {
        let namespace = try namespace()
        var routes = try namespace.run { try RouteConnection() }
        let links = try routes.links()
        for (number, name) in Self.names.enumerated() {
            let link = try #require(links.named(InterfaceName(name)))
            #expect(link.name.bytes == name)
            #expect(link.addresses.contains { $0.description == "10.0.\(number).1" })
            let settings = namespace.run { Sysctl.settings(ofLink: link.name) }
            #expect(settings.isForwarding != nil)
        }
    }

    @Test("A set that follows links of any names is in the kernel as it should be, and nothing is repaired")
    func elements() throws {
        let namespace = try namespace()
        var routes = try namespace.run { try RouteConnection() }
        let reading = Configuration.read(
            """
            [[masquerade]]
            out_interface = "ppp0"
            source = "10.0.0.0/8"
            [[port_forward]]
            port = 80
            to = "10.0.0.9"
            """.utf8.span, from: "a.toml")
        var ruleset = Ruleset.desired(try #require(reading.configuration))
        ruleset.follow(try routes.links())
        var table = try namespace.kernelTable()
        #expect(try !table.apply(ruleset).isEmpty)
        #expect(try namespace.snapshot() == Snapshot(lowering: ruleset))
        let generation = try namespace.generation()
        #expect(try table.apply(ruleset).isEmpty)
        // A link that goes takes its element along, and no other's.
        try namespace.ip("link delete peer0")
        ruleset.follow(try routes.links())
        #expect(try table.apply(ruleset).count == 1)
        #expect(try namespace.snapshot() == Snapshot(lowering: ruleset))
        #expect(try namespace.generation() > generation)
    }
}
