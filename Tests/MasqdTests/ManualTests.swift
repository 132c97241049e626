// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import Testing

@testable import MasqCore
@testable import masqd

/// The man pages name what there is, and nothing else.
@Suite struct ManualTests {
    /// The lines of a page in docs/man, and its name.
    private func page(_ name: String) throws -> [Substring] {
        let root = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined()
        let path = "\(root)/docs/man/\(name)"
        let file = try #require(fopen(path, "r"), "\(path): \(String(cString: strerror(errno)))")
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes[..<count], as: UTF8.self).split(separator: "\n")
    }

    @Test("masqd(8) describes the options of --help, and its synopsis names no other")
    func options() throws {
        // "  -c, --config FILE          the configuration": the words before the description.
        let help = Set(
            Arguments.help.split(separator: "\n").filter { $0.hasPrefix("  ") && $0.contains(" -") }
                .flatMap { line in
                    line.split(separator: " ").prefix { $0.hasPrefix("-") }
                        .map { $0.hasSuffix(",") ? String($0.dropLast()) : String($0) }
                })
        let lines = try page("masqd.8")
        // ".It Fl c Ar FILE , Fl -config Ar FILE": a word behind each Fl, less its first hyphen.
        let described = Set(lines.filter { $0.hasPrefix(".It ") }.flatMap(flags))
        let synopsis = Set(lines.filter { !$0.hasPrefix(".It ") }.flatMap(flags))

        #expect(help.contains("--config"), "the help's lines are not as this test reads them")
        for option in help.subtracting(described).sorted() {
            Issue.record(
                "--help has \(option), docs/man/masqd.8 does not: describe it under OPTIONS as \".It Fl …\"")
        }
        for option in described.subtracting(help).sorted() {
            Issue.record("docs/man/masqd.8 describes \(option), which --help does not have: remove it")
        }
        for option in synopsis.subtracting(help).sorted() {
            Issue.record("the synopsis of docs/man/masqd.8 has \(option), which --help does not have")
        }
    }

    private func flags(_ line: Substring) -> [String] {
        let words = line.split(whereSeparator: { " .".contains($0) })
        return zip(words, words.dropFirst()).filter { $0.0 == "Fl" }.map { "-\($0.1)" }
    }

    @Test("masqd.toml(5) describes the tables and keys that are read")
    func keys() throws {
        let known = Set(
            ConfigurationReader.Section.allCases.flatMap { section in
                section.keys.map { "\(section.header) \($0)" } + [section.header]
            })
        var described: Set<String> = []
        var header = ""
        for line in try page("masqd.toml.5") {
            // ".Ss [gateway]", and ".It Ic ip_forward" below it.
            let words = line.split(separator: " ")
            if words.first == ".Ss" || words.first == ".Sh" {
                header = words.dropFirst().joined(separator: " ")
                if words.first == ".Ss" { described.insert(header) }
            } else if words.starts(with: [".It", "Ic"]) {
                described.insert("\(header) \(words[2])")
            }
        }
        for key in known.subtracting(described).sorted() {
            Issue.record(
                "masqd reads \(key), docs/man/masqd.toml.5 does not have it: a table is \".Ss\", a key \".It Ic\""
            )
        }
        for key in described.subtracting(known).sorted() {
            Issue.record("docs/man/masqd.toml.5 describes \(key), which masqd does not read: remove it")
        }
    }
}
