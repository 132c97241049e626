// SPDX-License-Identifier: GPL-3.0-or-later

import FuzzTargets
import Glibc
import TestSupport
import Testing

/// The cases of toml-test, the suite that TOML parsers are compared by, as Debian ships them with its Go parser.
@Suite(
    "toml-test",
    .enabled(if: TomlSuite.isInstalled, "golang-github-burntsushi-toml-dev is not installed"))
struct TomlSuiteTests {
    @Test("What is not TOML is refused with its place")
    func invalid() throws {
        let cases = try TomlSuite.files(in: "invalid")
        #expect(cases.count > 200)
        for path in cases {
            let checked = try Command(Masqd.binary, "--check", path).run()
            #expect(checked.status == 78, "\(path): \(checked.standardError)")
            let place = checked.standardError.dropFirst(path.utf8.count).split(separator: " ")
            #expect(checked.standardError.hasPrefix(path), "\(path): \(checked.standardError)")
            // `:LINE:COLUMN: error: not TOML: …`, or `not UTF-8`.
            #expect(
                place.first?.split(separator: ":").allSatisfy { Int($0).map { $0 > 0 } ?? false } == true
                    && place.dropFirst().prefix(2) == ["error:", "not"], "\(path): \(checked.standardError)")
        }
    }

    @Test("What is TOML is read: whatever is wrong with it, that is not")
    func valid() throws {
        let cases = try TomlSuite.files(in: "valid")
        #expect(cases.count > 90)
        for path in cases where !TomlSuite.isBeyondTOML1(path) {
            let checked = try Command(Masqd.binary, "--check", path).run()
            // Not one of them masquerades anything.
            #expect(checked.status == 78)
            #expect(!checked.standardError.contains("error: not "), "\(path): \(checked.standardError)")
        }
    }

    @Test("Lifting arrays out of the text changes nothing about any of them")
    func lifting() throws {
        for path in try TomlSuite.files(in: "valid") + TomlSuite.files(in: "invalid") {
            let text = try FileBytes(path)
            #expect(text.lend(to: .configuration) == nil, "\(path)")
        }
    }
}

enum TomlSuite {
    private static let folder = "/usr/share/gocode/src/github.com/BurntSushi/toml/internal/toml-test/tests"

    static var isInstalled: Bool { access(folder, R_OK) == 0 }

    /// The cases of a kind for TOML 1.0: newer suites list those, since they have cases for 1.1 too.
    static func files(in kind: String) throws -> [String] {
        let found = try Command("find", "\(folder)/\(kind)", "-name", "*.toml", "-type", "f").run()
            .expectSuccess().standardOutput.split(separator: "\n").map(String.init).sorted()
        guard access("\(folder)/files-toml-1.0.0", R_OK) == 0 else { return found }
        let list = try Command("cat", "\(folder)/files-toml-1.0.0").run().expectSuccess().standardOutput
        let listed = Set(list.split(separator: "\n").map { "\(folder)/\($0)" })
        return found.filter { listed.contains($0) }
    }

    /// `\e` in a string came with TOML 1.1.
    static func isBeyondTOML1(_ path: String) -> Bool { path.hasSuffix("/valid/string/escape-esc.toml") }
}
