// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport
import Testing

@Suite("What connection tracking is told about new connections")
struct TrackingTests {
    /// FTP's control connection as it leaves the client, and as the server gets it; then the server's own connection.
    @Test("With the helper an FTP server reaches the client at the address and port that it was told")
    func ftp() throws {
        let scenario = try Scenario(
            Scenario.configuration + "[conntrack]\nhelpers = [\"ftp\", \"ftp:2121\"]\n")
        for port in [UInt16(21), 2121] {
            let (told, isReached) = try activeTransfer(scenario.gateway, port: port)
            #expect(told.hasPrefix("PORT 203,0,113,7,"))
            #expect(isReached)
        }
        #expect(try scenario.gateway.leaks() == 0)
        #expect(try scenario.masqd.status.contains("lacks") == false)
    }

    @Test("Without the helper the server is told the private address, and reaches nobody")
    func ftpWithoutHelper() throws {
        let scenario = try Scenario(Scenario.configuration + "[conntrack]\nhelpers = [\"tftp\"]\n")
        let (told, isReached) = try activeTransfer(scenario.gateway, limit: .unanswered)
        #expect(told.hasPrefix("PORT 192,168,1,2,"))
        #expect(!isReached)
    }

    @Test("Where a helper goes at a reload, what it announced before goes on; the next connection has none")
    func reload() throws {
        let scenario = try Scenario(Scenario.configuration + "[conntrack]\nhelpers = \"ftp\"\n")
        #expect(try activeTransfer(scenario.gateway).isReached)
        try scenario.masqd.reload(Scenario.configuration)
        #expect(try activeTransfer(scenario.gateway, limit: .unanswered).isReached == false)
    }

    /// What the server is told to connect to, and whether it can.
    private func activeTransfer(
        _ gateway: Gateway, port: UInt16 = 21, limit: Duration = .seconds(10)
    ) throws -> (told: String, isReached: Bool) {
        let listener = try gateway.wan.run { try Socket(.tcp) }
        try listener.set(Int(SOL_SOCKET), SO_REUSEADDR, to: 1)
        try listener.bind(Endpoint("198.51.100.80", port))
        try listener.listen()
        let data = try gateway.lan.run { try Socket(.tcp) }
        try data.set(Int(SOL_SOCKET), SO_REUSEADDR, to: 1)
        try data.bind(Endpoint("192.168.1.2", 20_000 + port))
        try data.listen()
        let control = try gateway.lan.run { try Socket(.tcp) }
        try control.connect(Endpoint("198.51.100.80", port))
        var accepted: (Socket, Endpoint)?
        try eventually("the server has the control connection") {
            accepted = listener.accept()
            return accepted != nil
        }
        let server = try #require(accepted).0
        // The helper reads lines, and only behind a first one it knows where the next begins.
        try control.send(Array("USER anonymous\r\n".utf8))
        _ = try #require(try server.receive())
        let dataPort = 20_000 + port
        try control.send(Array("PORT 192,168,1,2,\(dataPort >> 8),\(dataPort & 0xff)\r\n".utf8))
        let bytes = try #require(try server.receive()).bytes
        let told = String(decoding: bytes, as: UTF8.self)
        let numbers = told.split { !$0.isNumber }.compactMap { UInt16($0) }
        try #require(numbers.count == 6)
        let address = Endpoint("203.0.113.7", numbers[4] << 8 | numbers[5])
        let back = try gateway.wan.run { try Socket(.tcp) }
        try back.bind(Endpoint("198.51.100.80"))
        guard try answer({ try back.connect(address, limit: limit) }) != nil else { return (told, false) }
        var isReached = false
        try eventually("the client has the data connection") {
            isReached = data.accept() != nil
            return isReached
        }
        return (told, isReached)
    }

    @Test("The preset gives UDP two minutes and TCP two hours, and leaves DNS queries alone")
    func preset() throws {
        let scenario = try Scenario(Scenario.configuration + "[conntrack]\ntimeouts = \"rfc\"\n")
        let gateway = scenario.gateway
        let tcp = try Conversation(.tcp, from: gateway.lan, to: Gateway.server)
        #expect(try tcp.ask().address == "203.0.113.7")
        #expect(try gateway.seenSource(.udp).address == "203.0.113.7")
        let query = try Conversation(.udp, from: gateway.lan, to: Endpoint("198.51.100.80", 53))
        try query.socket.send([0])
        #expect(try (7380...7440).contains(secondsLeft(gateway, "tcp", port: AddressServer.port)))
        #expect(try (60...120).contains(secondsLeft(gateway, "udp", port: AddressServer.port)))
        #expect(try (1...30).contains(secondsLeft(gateway, "udp", port: 53)))
        #expect(try gateway.leaks() == 0)
    }

    @Test("What the file does not say of a protocol's timeouts is as the sysctls say when it is read")
    func sysctls() throws {
        let scenario = try Scenario()
        let gateway = scenario.gateway
        try gateway.router.setSysctl("netfilter/nf_conntrack_tcp_timeout_established", to: "5000")
        try gateway.router.setSysctl("netfilter/nf_conntrack_udp_timeout", to: "600")
        try scenario.masqd.reload(Scenario.configuration + "[conntrack]\ntcp_timeout_fin_wait = 30\n")
        let tcp = try Conversation(.tcp, from: gateway.lan, to: Gateway.server)
        #expect(try tcp.ask().address == "203.0.113.7")
        #expect(try gateway.seenSource(.udp).address == "203.0.113.7")
        #expect(try (4900...5000).contains(secondsLeft(gateway, "tcp", port: AddressServer.port)))
        #expect(try (500...600).contains(secondsLeft(gateway, "udp", port: AddressServer.port)))
        let listing = try gateway.router.nftListing("ct timeout inet masqd timeout_tcp")
        // nft 1.1 splits seconds: 1h23m20s.
        #expect(listing.contains(#/established\s*:\s*(5000|1h23m20s)/#))
        #expect(listing.contains(#/fin_wait\s*:\s*30/#))
    }

    @Test("Single values, in either direction; the gateway's own connections keep the kernel's")
    func values() throws {
        let scenario = try Scenario(
            Scenario.configuration + "[conntrack]\nudp_timeout = 1000\n[forward]\nunsolicited = \"accept\"\n")
        let gateway = scenario.gateway
        let server = try AddressServer(in: gateway.lan, addresses: ["192.168.1.2"])
        defer { withExtendedLifetime(server) {} }
        try gateway.wan.ip("route replace 192.168.0.0/16 dev isp-ppp0")
        let inside = Endpoint("192.168.1.2", AddressServer.port)
        #expect(try Conversation(.udp, from: gateway.wan, to: inside).ask().address == "203.0.113.1")
        #expect(try (900...1000).contains(secondsLeft(gateway, "udp", port: AddressServer.port)))
        let own = try Conversation(.udp, from: gateway.router, to: Endpoint("198.51.100.80", 4000))
        try own.socket.send([0])
        #expect(try (1...30).contains(secondsLeft(gateway, "udp", port: 4000)))
    }

    /// How long the kernel will remember the connection to this port, in seconds.
    private func secondsLeft(_ gateway: Gateway, _ transport: String, port: UInt16) throws -> Int {
        // nf_conntrack_ftp… "ipv4 2 udp 17 119 src=… dport=7777 …"
        let table = try Command("cat", "/proc/net/nf_conntrack").run(in: gateway.router).expectSuccess()
        let line = table.standardOutput.split(separator: "\n").first { line in
            let original = line.split(separator: " ").prefix {
                !$0.hasPrefix("[") && !$0.hasPrefix("packets")
            }
            return line.contains(" \(transport) ") && original.contains("dport=\(port)")
        }
        let words = try #require(line, "no connection").split { $0 == " " }
        return try #require(Int(words[4]))
    }
}
