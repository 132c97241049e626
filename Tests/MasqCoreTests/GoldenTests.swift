// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore
import Testing

/// Every `Golden/**/*.toml` with what stands beside it under the same name:
///
/// - `.error`: it is refused, with exactly these diagnostics;
/// - `.warning`: it is accepted, with exactly these diagnostics;
/// - without either it is accepted in silence, and must have a `.nft` beside it;
/// - `.nft`: its ruleset, exactly in this text.
///
/// `MASQD_REGENERATE_GOLDEN=1` in the environment rewrites the expected files; review the difference.
@Suite struct GoldenTests {
    @Test("A golden file is read with the diagnostics that stand beside it", arguments: GoldenCase.all)
    func diagnostics(golden: GoldenCase) throws {
        let text = try #require(try golden.read(".toml"))
        let reading = golden.reading(text)
        let found = reading.diagnostics.map { "\($0)\n" }.joined()
        #expect((reading.configuration == nil) == reading.diagnostics.contains { $0.severity == .error })

        if GoldenCase.regenerates {
            let isRefused = reading.configuration == nil
            try golden.write(".error", isRefused ? found : nil)
            try golden.write(".warning", isRefused || found.isEmpty ? nil : found)
        }
        let error = try golden.read(".error").map { String(decoding: $0, as: UTF8.self) }
        let warning = try golden.read(".warning").map { String(decoding: $0, as: UTF8.self) }
        let hasRuleset = try golden.read(".nft") != nil
        #expect(
            error != nil || warning != nil || hasRuleset || GoldenCase.regenerates,
            "nothing stands beside \(golden.fileName)")
        #expect((error != nil) == (reading.configuration == nil))
        #expect(found == error ?? warning ?? "")
    }

    @Test("A golden file makes the ruleset that stands beside it", arguments: GoldenCase.all)
    func ruleset(golden: GoldenCase) throws {
        let text = try #require(try golden.read(".toml"))
        let reading = golden.reading(text)
        let ruleset = reading.configuration.map { Ruleset.complete($0).text }
        var expected = try golden.read(".nft").map { String(decoding: $0, as: UTF8.self) }

        if GoldenCase.regenerates, expected != nil || reading.diagnostics.isEmpty {
            try golden.write(".nft", ruleset)
            expected = ruleset
        }
        if let expected { #expect(ruleset == expected) }
    }

    @Test("The golden folders hold the cases that the suite is there for")
    func areFound() throws {
        #expect(GoldenCase.all.count { $0.path.contains("/errors/") } >= 50)
        #expect(GoldenCase.all.count { $0.path.contains("/warnings/") } >= 5)
        #expect(try GoldenCase.all.count { try $0.read(".nft") != nil } >= 25)
    }
}

/// A `.toml` in the golden folders.
struct GoldenCase: CustomTestStringConvertible, Sendable {
    /// Without the extension.
    let path: String

    /// The file's name as diagnostics show it.
    var fileName: String { String(path.split(separator: "/").last ?? "") + ".toml" }

    /// Reads the configuration, and the files in its folder that it names.
    func reading(_ text: [UInt8]) -> Configuration.Reading {
        Configuration.read(text.span, from: fileName) { name, body in
            let folder = path.split(separator: "/").dropLast().map { "/" + $0 }.joined()
            guard let file = fopen(folder + "/" + name, "r") else { return "there is no \(name)" }
            defer { fclose(file) }
            var content = [UInt8](repeating: 0, count: 65536)
            content.removeLast(content.count - fread(&content, 1, content.count, file))
            body(content.span)
            return nil
        }
    }

    var testDescription: String { path.split(separator: "/").suffix(2).joined(separator: "/") }

    static let regenerates = getenv("MASQD_REGENERATE_GOLDEN").map { String(cString: $0) } == "1"

    /// In the order of their paths.
    static let all: [GoldenCase] = {
        let folder = #filePath.split(separator: "/").dropLast().map { "/" + $0 }.joined() + "/Golden"
        return tomlFiles(in: folder).sorted().map { GoldenCase(path: String($0.dropLast(".toml".count))) }
    }()

    private static func tomlFiles(in folder: String) -> [String] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var files: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasPrefix(".") { continue }
            if name.hasSuffix(".toml") { files.append(folder + "/" + name) }
            if entry.pointee.d_type == DT_DIR { files += tomlFiles(in: folder + "/" + name) }
        }
        return files
    }

    /// The content of the sibling with this extension, or nothing if there is none.
    func read(_ suffix: String) throws -> [UInt8]? {
        guard let file = fopen(path + suffix, "r") else {
            try #require(errno == ENOENT)
            return nil
        }
        defer { fclose(file) }
        var content: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while case let count = fread(&buffer, 1, buffer.count, file), count > 0 {
            content += buffer[..<count]
        }
        return content
    }

    /// Replaces the sibling with this extension; nothing removes it.
    func write(_ suffix: String, _ content: String?) throws {
        guard let content else {
            try #require(unlink(path + suffix) == 0 || errno == ENOENT)
            return
        }
        let file = try #require(fopen(path + suffix, "w"))
        fputs(content, file)
        try #require(fclose(file) == 0)
    }
}
