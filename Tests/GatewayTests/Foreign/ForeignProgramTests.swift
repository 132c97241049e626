// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport
import Testing

/// ufw and firewalld themselves, where they are installed; their files are copies, and the machine's own are not touched.
@Suite("The real ufw and firewalld")
struct ForeignProgramTests {
    private static let configuration = """
        [[masquerade]]
        out_interface = "ppp0"
        source = "192.168.0.0/16"

        """

    @Test(
        "What ufw drops passes after the printed command",
        .enabled(if: isInstalled("ufw") && isRoot, "ufw is not installed, or this is not root"))
    func ufw() throws {
        let folder = try ProgramFolder()
        try check(
            enter: Self.enterUfw(folder), setUp: "ufw --force enable", claim: "ip filter FORWARD (ufw) drops")
    }

    @Test(
        "What ufw drops is opened, and stays so when it reloads, is disabled and comes back",
        .enabled(if: isInstalled("ufw") && isRoot, "ufw is not installed, or this is not root"))
    func ufwOpened() throws {
        let folder = try ProgramFolder()
        let gateway = try Gateway()
        func ufw(_ command: String) throws {
            try Command("unshare", "-m", "sh", "-ec", Self.enterUfw(folder) + command)
                .run(in: gateway.router, limit: .seconds(90)).expectSuccess()
        }
        try ufw("ufw --force enable")
        #expect(try gateway.isUnanswered(.tcp))
        let masqd = try Masqd(
            in: gateway.router, configuration: Self.configuration + "[forward]\nforeign_drop = \"open\"\n")
        try eventually("it passes") { try gateway.isAnswered(.tcp, limit: .unanswered) }
        let conversation = try Conversation(.tcp, from: gateway.lan, to: Gateway.server)
        #expect(try conversation.ask().address == "203.0.113.7")
        for command in [
            "ufw reload", "ufw --force disable; ufw --force enable",
            "ufw route allow in on dmz0 out on ppp0",
            "iptables-save > saved; iptables-restore < saved; ip6tables-save > saved; ip6tables-restore < saved",
        ] {
            try ufw(command)
            try eventually("one rule at the end after: \(command)") {
                let forward = try Command("iptables-nft", "-S", "FORWARD").run(in: gateway.router)
                let rules = forward.standardOutput.split(separator: "\n").map(String.init)
                let isMasqds = { (rule: String) in rule.contains("--mark 0x1000/0x1000") }
                return rules.count(where: isMasqds) == 1 && rules.last.map(isMasqds) == true
            }
            try eventually("it passes after: \(command)") { try gateway.isAnswered(.tcp, limit: .unanswered) }
            #expect(try conversation.ask().address == "203.0.113.7")
        }
        #expect(try masqd.stop() == 0)
        let left = try Command("iptables-nft", "-S").run(in: gateway.router).expectSuccess().standardOutput
        #expect(!left.contains("mark"))
        #expect(left.contains("-P FORWARD DROP"))
    }

    /// What a shell does first, so that ufw finds copies of its files.
    private static func enterUfw(_ folder: ProgramFolder) -> String {
        """
        set -e
        cd '\(folder.path)'
        for name in /etc/ufw /etc/default /lib/ufw; do
            copy=$(echo "$name" | tr / _)
            [ -e "$copy" ] || cp -a "$name" "$copy"
            mount --bind "$copy" "$name"
        done
        mount -t tmpfs tmpfs /run
        sed -i 's/^IPT_MODULES=.*/IPT_MODULES=/' /etc/default/ufw

        """
    }

    @Test(
        "What firewalld rejects passes after the printed commands",
        .enabled(
            if: isInstalled("firewalld") && isInstalled("dbus-daemon") && isRoot,
            "firewalld or dbus-daemon is not installed, or this is not root"))
    func firewalld() throws {
        let folder = try ProgramFolder()
        let bus = """
            <!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
             "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
            <busconfig>
              <listen>unix:path=\(folder.path)/bus</listen>
              <policy context="default">
                <allow own="*"/> <allow send_destination="*"/> <allow receive_sender="*"/> <allow user="*"/>
              </policy>
            </busconfig>

            """
        try Command("tee", "\(folder.path)/bus.conf").run(input: bus).expectSuccess()
        let gateway = try Gateway()
        let environment = ["DBUS_SYSTEM_BUS_ADDRESS": "unix:path=\(folder.path)/bus"]
        let broker = try Command(
            "dbus-daemon", "--nofork", "--nopidfile", "--config-file=\(folder.path)/bus.conf"
        )
        .start(in: gateway.router)
        try eventually("the bus is there", within: .seconds(30)) { access("\(folder.path)/bus", F_OK) == 0 }
        let daemon = try Command(
            "firewalld",
            [
                "--nofork", "--nopid", "--system-config=\(folder.path)/etc",
                "--log-file=\(folder.path)/firewalld.log",
            ], environment: environment
        ).start(in: gateway.router)
        try eventually("firewalld answers", within: .seconds(90)) {
            try Command("firewall-cmd", ["--state"], environment: environment).run(in: gateway.router).status
                == 0
        }
        let masqd = try Masqd(in: gateway.router, configuration: Self.configuration)
        try masqd.waitForStatus(containing: "drops masqueraded traffic")
        let line = try #require(try masqd.line(with: "to permit it: "))
        #expect(line.contains("inet firewalld filter_FORWARD (firewalld) drops"))
        #expect(try gateway.isUnanswered(.tcp))
        let advice = try #require(line.advice)
        try Command("sh", ["-ec", advice], environment: environment).run(
            in: gateway.router, limit: .seconds(90)
        ).expectSuccess()
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
        try eventually("masqd has noticed") { try masqd.log.contains("masqueraded traffic no more") }
        #expect(try daemon.isRunning)
        #expect(try broker.isRunning)
    }

    private func check(enter: String, setUp: String, claim: String) throws {
        let gateway = try Gateway()
        try Command("unshare", "-m", "sh", "-ec", enter + setUp).run(in: gateway.router, limit: .seconds(90))
            .expectSuccess()
        let masqd = try Masqd(in: gateway.router, configuration: Self.configuration)
        try masqd.waitForStatus(containing: "drops masqueraded traffic")
        let line = try #require(try masqd.line(with: "to permit it: "))
        #expect(line.contains(claim))
        #expect(try gateway.isUnanswered(.tcp))
        let advice = try #require(line.advice)
        try Command("unshare", "-m", "sh", "-ec", enter + advice).run(in: gateway.router, limit: .seconds(90))
            .expectSuccess()
        #expect(try gateway.seenSource(.tcp).address == "203.0.113.7")
        try eventually("masqd has noticed") { try masqd.log.contains("masqueraded traffic no more") }
    }

    /// Root outside of a user namespace: they want other users, and files that only root may bind over.
    private static let isRoot =
        getuid() == 0
        && (try? Command("cat", "/proc/self/uid_map").run().standardOutput)?.contains("4294967295") == true

    private static func isInstalled(_ program: String) -> Bool {
        ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].contains { access("\($0)/\(program)", X_OK) == 0 }
    }
}

/// A folder for a program's files, gone with this object.
private final class ProgramFolder {
    let path: String

    init() throws {
        let made = try Command("mktemp", "-d").run().expectSuccess().standardOutput
        path = String(made.prefix { $0 != "\n" })
    }

    deinit {
        // What is left is in the folder for such things.
        _ = try? Command("rm", "-rf", path).run()
    }
}

extension Masqd {
    fileprivate func line(with text: String) throws -> String? {
        try log.split(separator: "\n").map(String.init).first { $0.contains(text) }
    }
}

extension String {
    fileprivate var advice: String? {
        firstRange(of: "to permit it: ").map { String(self[$0.upperBound...]) }
    }
}
