// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport
import Testing

@Suite("Start, stop, and what others own")
struct LifecycleTests {
    /// What an administrator may have: rules in both tables' families, a set, a NAT chain.
    private static let foreign = """
        table inet foreign {
            set friends {
                type ipv4_addr
                elements = { 198.51.100.1, 198.51.100.2 }
            }
            chain forward {
                type filter hook forward priority filter; policy accept;
                ip saddr @friends accept comment "not masqd's"
            }
        }
        table ip nat {
            chain POSTROUTING {
                type nat hook postrouting priority srcnat; policy accept;
                oifname "tun0" masquerade
            }
        }

        """

    @Test(
        "SIGTERM and SIGINT leave nothing behind, and what others own as it was",
        arguments: [SIGTERM, SIGINT])
    func stop(signal: CInt) throws {
        let gateway = try Gateway()
        try gateway.router.nft(Self.foreign)
        let before = try Command("nft", "-a", "list", "ruleset").run(in: gateway.router).standardOutput
        let masqd = try Masqd(in: gateway.router, configuration: Scenario.configuration)
        try masqd.waitForReady()
        #expect(try gateway.router.sysctl("ipv4/ip_forward") == "1")
        #expect(try gateway.router.sysctl("ipv6/conf/all/forwarding") == "1")
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
        masqd.send(signal)
        try masqd.waitForMessage(startingWith: "STOPPING=1")
        #expect(try masqd.waitForExit() == 0)
        #expect(try Command("nft", "-a", "list", "ruleset").run(in: gateway.router).standardOutput == before)
        #expect(try gateway.router.sysctl("ipv4/ip_forward") == "0")
        #expect(try gateway.router.sysctl("ipv6/conf/all/forwarding") == "0")
    }

    @Test("Start, reload and stop change nothing in anybody else's tables")
    func foreignTables() throws {
        let gateway = try Gateway()
        try gateway.router.nft(Self.foreign)
        func listing() throws -> [String] {
            try [["inet", "foreign"], ["ip", "nat"]].map {
                try Command("nft", ["-a", "list", "table"] + $0).run(in: gateway.router).expectSuccess()
                    .standardOutput
            }
        }
        let before = try listing()
        let masqd = try Masqd(in: gateway.router, configuration: Scenario.configuration)
        try masqd.waitForReady()
        #expect(try listing() == before)
        try masqd.reload(Scenario.configuration("exclude = \"10.8.0.0/16\""))
        #expect(try listing() == before)
        #expect(try masqd.stop() == 0)
        #expect(try listing() == before)
    }

    @Test("kill -9 and a restart under traffic: nothing leaves untranslated, nothing is made anew")
    func killed() throws {
        let scenario = try Scenario()
        let gateway = scenario.gateway
        let table = try gateway.router.masqdTable()
        let traffic = try Traffic(through: gateway, seenAs: "203.0.113.7")
        try traffic.waitForProgress()
        #expect(try scenario.masqd.stop(SIGKILL) == 128 + SIGKILL)
        try traffic.waitForProgress()
        let counted = try #require(try gateway.router.packets(counter: "masquerade_1"))
        let next = try Masqd(in: gateway.router, configuration: Scenario.configuration)
        try next.waitForReady()
        try traffic.waitForProgress()
        #expect(traffic.stop().failures == [])
        #expect(try gateway.leaks() == 0)
        #expect(try gateway.router.masqdTable() == table)
        #expect(try #require(try gateway.router.packets(counter: "masquerade_1")) > counted)
        #expect(try next.stop() == 0)
        #expect(try gateway.router.sysctl("ipv4/ip_forward") == "0")
    }

    @Test("What was done to the table while masqd was dead is undone at the next start")
    func mended() throws {
        let configuration = Scenario.configuration.replacing("/16\"", with: "/16\", \"10.0.0.0/8\"")
        let scenario = try Scenario(configuration)
        let router = scenario.gateway.router
        let table = try router.nftListing("table", "inet", "masqd")
        try scenario.masqd.stop(SIGKILL)
        try router.nft(
            """
            add rule inet masqd forward accept
            insert rule inet masqd postrouting accept
            add element inet masqd masquerade_1_source { 172.20.0.0/16 }
            add chain inet masqd stray { type filter hook forward priority 10; policy drop; }

            """)
        let next = try Masqd(in: router, configuration: configuration)
        try next.waitForReady()
        #expect(try router.nftListing("table", "inet", "masqd") == table)
        #expect(try scenario.gateway.seenSource(.tcp).address == "203.0.113.7")
    }

    @Test("SIGUSR1 hands over: the rules stay in force and the next masqd adopts them")
    func handOver() throws {
        let scenario = try Scenario()
        let gateway = scenario.gateway
        let conversation = try Conversation(.tcp, from: gateway.lan, to: Gateway.server)
        #expect(try conversation.ask().address == "203.0.113.7")
        try eventually("IPv6 sources are the uplink's own") { try usesOwnSources(gateway) }
        let table = try gateway.router.masqdTable()
        #expect(try scenario.masqd.stop(SIGUSR1) == 0)
        #expect(try gateway.router.masqdTable() == table)
        #expect(try gateway.router.sysctl("ipv4/ip_forward") == "1")
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
        let next = try Masqd(in: gateway.router, configuration: Scenario.configuration)
        try next.waitForReady()
        #expect(try gateway.router.masqdTable() == table)
        #expect(try conversation.ask().address == "203.0.113.7")
        // It also inherits the duty to put the switches back.
        #expect(try next.stop() == 0)
        #expect(try gateway.router.sysctl("ipv4/ip_forward") == "0")
        #expect(try !usesOwnSources(gateway))
    }

    private func usesOwnSources(_ gateway: Gateway) throws -> Bool {
        try gateway.router.sysctl("ipv6/conf/ppp0/use_oif_addrs_only") == "1"
    }

    @Test("What somebody else had set for an uplink before masqd came stays, also behind a killed masqd")
    func othersSetting() throws {
        let gateway = try Gateway()
        try gateway.router.setSysctl("ipv6/conf/ppp0/use_oif_addrs_only", to: "1")
        let first = try Masqd(in: gateway.router, configuration: Scenario.configuration)
        try first.waitForReady()
        try eventually("nothing is remembered of it") {
            try !gateway.router.masqdTable().contains("use_oif_addrs_only_was_off")
        }
        #expect(try first.stop(SIGKILL) != 0)
        let next = try Masqd(in: gateway.router, configuration: Scenario.configuration)
        try next.waitForReady()
        #expect(try next.stop() == 0)
        #expect(try usesOwnSources(gateway))
    }

    @Test("A masqd that finds a large table does not end because others commit all the time")
    func disturbedStart() throws {
        let gateway = try Gateway()
        let many = (0..<10_000).map { "\"10.\($0 >> 8).\($0 & 255).1\"" }.joined(separator: ", ")
        let configuration = Scenario.configuration + "[clients]\nblocked = [\(many)]\n"
        let first = try Masqd(in: gateway.router, configuration: configuration)
        try first.waitForReady()
        #expect(try first.stop(SIGKILL) != 0)
        let somebody = try Command(
            "sh", "-c", "while :; do nft add table ip race; nft delete table ip race; done"
        ).start(in: gateway.router)
        let next = try Masqd(in: gateway.router, configuration: configuration)
        try eventually("it was disturbed, or was not", within: .seconds(120)) {
            try next.log.contains("can't list") || next.messages.contains { $0.contains("READY=1") }
        }
        somebody.send(SIGKILL)
        try somebody.waitForExit()
        try next.waitForReady(limit: .seconds(60))
        #expect(try gateway.seenSource(.udp).address == "203.0.113.7")
    }

    @Test("A second masqd refuses to start and names the first one's pid")
    func second() throws {
        let scenario = try Scenario()
        let table = try scenario.gateway.router.masqdTable()
        let second = try Masqd(in: scenario.gateway.router, configuration: Scenario.configuration)
        #expect(try second.waitForExit() == 69)
        #expect(try second.log.contains("\(scenario.masqd.pid)"))
        #expect(try scenario.gateway.router.masqdTable() == table)
        #expect(try scenario.masqd.isRunning)
    }

    @Test("Two network namespaces have a masqd each")
    func twoNamespaces() throws {
        let (first, second) = (try NetworkNamespace(), try NetworkNamespace())
        let daemons = try [first, second].map { try Masqd(in: $0, configuration: Scenario.configuration) }
        for daemon in daemons { try daemon.waitForReady() }
        #expect(try daemons[0].stop() == 0)
        #expect(try second.hasMasqdTable())
        #expect(try !first.hasMasqdTable())
    }

    @Test("An idle masqd is a single thread")
    func threads() throws {
        let scenario = try Scenario()
        #expect(try scenario.masqd.processStatus("Threads") == 1)
    }

    @Test("Where switches can't be read masqd goes on, looks again later, and can be stopped all the same")
    func unreadable() throws {
        let scenario = try Scenario()
        let router = scenario.gateway.router
        try scenario.masqd.limitDescriptors(true)
        try router.setSysctl("ipv4/ip_forward", to: "0")
        try eventually("masqd says what it can't read") { try scenario.masqd.log.contains("can't open") }
        try scenario.masqd.limitDescriptors(false)
        try eventually("masqd sets it again") { try router.sysctl("ipv4/ip_forward") == "1" }
        try eventually("masqd says so") { try scenario.masqd.log.contains("are read again") }

        try scenario.masqd.limitDescriptors(true)
        #expect(try scenario.masqd.stop() == 0)
        #expect(try !router.hasMasqdTable())
    }

    @Test("Who changes the table all the time is mended at once twenty times, and then ever more rarely")
    func fight() throws {
        let scenario = try Scenario()
        let router = scenario.gateway.router
        // More than it gets done in that time; each line is a transaction.
        let script = String(repeating: "flush chain inet masqd guard\n", count: 100_000) + "quit\n"
        let foe = try Command("nft", "-i").start(in: router, input: script)
        let masqd = scenario.masqd
        try eventually("masqd is tired of it") { try masqd.log.contains("each repair waits longer") }
        // Two windows with delays of 100 ms and 200 ms, and whatever was under way.
        let before = try masqd.log.split(separator: "\n").count { $0.contains("restored in") }
        poll(nil, 0, 2000)
        let after = try masqd.log.split(separator: "\n").count { $0.contains("restored in") }
        foe.send(SIGKILL)
        #expect(after - before <= 20, "\(after - before) repairs in two seconds")
    }

    @Test("A log that nobody reads does not hold masqd up, and tells later how much is missing")
    func unreadLog() throws {
        let namespace = try NetworkNamespace()
        let folder = try TemporaryFolder()
        let pipe = "\(folder.path)/log"
        let script = """
            mkfifo "$0" && exec 3<>"$0"
            dd if=/dev/zero of="$0" bs=4096 count=1000 oflag=nonblock status=none
            exec "$@" 2>&3
            """
        let masqd = try Command(
            "sh", "-c", script, pipe, Masqd.binary, "--out-interface=ppp0", "--source=192.168.0.0/16"
        ).start(in: namespace)
        try eventually("the rules are there") { try namespace.hasMasqdTable() }
        // Until nothing is left, which dd calls an error.
        let read = { try Command("dd", "if=\(pipe)", "bs=65536", "iflag=nonblock").run().standardOutput }
        #expect(try !read().contains("masqd"))
        masqd.send(SIGHUP)
        var log = ""
        try eventually("the log goes on") {
            log += try read()
            return log.contains("is in force")
        }
        #expect(log.contains("of the log are missing here"))
        masqd.send(SIGTERM)
        #expect(try masqd.waitForExit() == 0)
    }

    @Test("The watchdog is fed at least twice in its time")
    func watchdog() throws {
        let namespace = try NetworkNamespace()
        let masqd = try Masqd(
            in: namespace, configuration: Scenario.configuration, environment: ["WATCHDOG_USEC": "2000000"])
        try masqd.waitForReady()
        try masqd.waitForMessage(startingWith: "WATCHDOG=1", limit: .milliseconds(1500))
        try masqd.waitForMessage(startingWith: "WATCHDOG=1", limit: .milliseconds(1500))
    }

    @Test("Without CAP_NET_ADMIN it says so, and exits 77")
    func notPermitted() throws {
        let namespace = try NetworkNamespace()
        let output = try Command(
            "setpriv",
            ["--bounding-set=-net_admin", "--inh-caps=-net_admin", Masqd.binary] + [
                "--out-interface=ppp0", "--source=192.168.0.0/16",
            ]
        ).run(in: namespace)
        #expect(output.status == 77)
        #expect(output.standardError.contains("CAP_NET_ADMIN"))
        #expect(try !namespace.hasMasqdTable())
    }
}
