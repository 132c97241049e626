// SPDX-License-Identifier: GPL-3.0-or-later

/// What the doctor says about one step of a packet's way.
public struct Finding: Equatable, Sendable {
    /// How bad it is.
    public enum Severity: String, Sendable {
        /// As it should be.
        case ok
        /// It could not be looked at.
        case unseen = "skip"
        /// Good to know, and nothing is wrong.
        case hint
        /// It works, but not as meant, or not for everything.
        case warning = "warn"
        /// Packets are lost because of it.
        case wrong
    }

    /// How bad it is.
    public var severity: Severity
    /// What is so, and what comes of it: one line without a full stop.
    public var claim: String
    /// What to type, a line each; empty where no command is known to mend it.
    ///
    /// Only what a test types and sees mended, with nothing else broken: people type it at the far end of the line
    /// that it is about.
    public var commands: [String]
    /// What shows more about it and changes nothing, a line each.
    public var questions: [String]

    /// Makes a finding.
    public init(
        _ severity: Severity, _ claim: String, type commands: [String] = [], look questions: [String] = []
    ) {
        self.severity = severity
        self.claim = claim
        self.commands = commands
        self.questions = questions
    }

    /// Whether there is something to do about it.
    public var needsAction: Bool {
        switch severity {
        case .wrong, .warning: true
        case .ok, .unseen, .hint: false
        }
    }
}

extension Finding: CustomStringConvertible {
    /// `wrong ppp0 is down: …`; below it, in lines of their own, what to type and what to look at.
    public var description: String {
        let word = severity.rawValue
        let padding = String(repeating: " ", count: 6 - word.count)
        // Whatever a claim quotes, a line of its own is masqd's to begin.
        let lines =
            [word + padding + claim] + commands.map { "      type: \($0)" }
            + questions.map { "      look: \($0)" }
        return lines.map(\.printableLine).joined(separator: "\n")
    }
}

extension String {
    /// As a shell takes it for one word.
    var shellWord: String {
        isPlainName
            ? self : "'\(split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''"))'"
    }
}
