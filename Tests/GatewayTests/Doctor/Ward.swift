// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport

/// A gateway with a masqd that is ready, and a doctor who sees an /etc of its own.
final class Ward: Sendable {
    nonisolated(unsafe) let gateway: Gateway
    nonisolated(unsafe) let masqd: Masqd
    nonisolated(unsafe) private let etc: TemporaryFolder
    /// What masqd was started with.
    let configuration: String

    /// Every network behind the router.
    static let configuration = """
        [[masquerade]]
        out_interface = ["ppp0", "ppp1*"]
        source = ["192.168.0.0/16", "172.20.0.0/24", "10.9.0.0/24", "fd00:1::/64"]

        """

    /// The same without IPv6.
    static let ipv4 = configuration.replacing(", \"fd00:1::/64\"", with: "")

    init(configuration: String = Ward.configuration, more: String = "") throws {
        self.configuration = configuration + more
        gateway = try Gateway()
        for name in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            try gateway.router.setSysctl(name, to: "1")
        }
        etc = try TemporaryFolder()
        masqd = try Masqd(in: gateway.router, configuration: self.configuration)
        try masqd.waitForReady()
    }

    /// What the doctor says.
    func examine(through wrapper: [String] = []) throws -> Report {
        let words = wrapper + [Masqd.binary, "--doctor", masqd.configurationPath]
        return try Report(inOwnEtc(words).run(in: gateway.router), masqd.configurationPath)
    }

    /// Types a command of the doctor's.
    ///
    /// - Parameter editor: what stands in for the editor of the file.
    func type(_ command: String, editor: String = "false") throws {
        let words = ["env", "EDITOR=\(editor)", "sh", "-ec", "PATH=\(Self.folder):$PATH; \(command)"]
        // Debian's iptables is a link into /etc, so all else gets the real one.
        let isAboutEtc = command.contains("/etc/")
        try (isAboutEtc ? inOwnEtc(words) : Command("env", words)).run(in: gateway.router).expectSuccess()
    }

    /// Types a command that does not end.
    func start(_ command: String) throws -> ChildProcess {
        let words = ["PATH=\(Self.folder):$PATH; exec \(command)"]
        return try Command("sh", ["-ec"] + words).start(in: gateway.router)
    }

    /// Where the program is.
    private static let folder = Masqd.binary.split(separator: "/", omittingEmptySubsequences: false)
        .dropLast()
        .joined(separator: "/")

    /// Writes the file that is loaded at boot.
    func saveRuleset(_ text: String) throws { try etc.write(text, to: "nftables.conf") }

    /// A command that finds the folder in the place of /etc.
    private func inOwnEtc(_ words: [String]) -> Command {
        let script = "mount --bind \"$0\" /etc; exec \"$@\""
        return Command("unshare", ["--mount", "sh", "-ec", script, etc.path] + words)
    }

    /// The doctor's words, line by line.
    struct Report {
        let status: CInt
        /// A line for each step.
        let lines: [String]
        /// What is wrong, with what to type; the configuration's path is PATH.
        let complaints: [(line: String, commands: [String])]
        let summary: String

        init(_ output: Command.Output, _ path: String = "") throws {
            status = output.status
            let all = output.standardOutput.split(separator: "\n").map(String.init)
            guard output.standardError.isEmpty, let last = all.last else {
                throw Failure("the doctor said: \(output.standardOutput)\(output.standardError)")
            }
            summary = last
            let introduction = "      type: "
            lines = all.dropLast().filter { !$0.hasPrefix(introduction) && !$0.hasPrefix("      look: ") }
            var complaints: [(line: String, commands: [String])] = []
            var isComplaint = false
            for line in all.dropLast() {
                if line.hasPrefix(introduction) {
                    if isComplaint {
                        complaints[complaints.count - 1].commands.append(
                            String(line.dropFirst(introduction.count)))
                    }
                    continue
                }
                if line.hasPrefix("      look: ") { continue }
                isComplaint = line.hasPrefix("warn ") || line.hasPrefix("wrong ")
                if isComplaint {
                    complaints.append((path.isEmpty ? line : line.replacing(path, with: "PATH"), []))
                }
            }
            self.complaints = complaints
        }
    }
}
