// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore
import Testing

/// A golden configuration that is accepted, and the ruleset that stands beside it, from the pure tests' folder.
struct GoldenRuleset: CustomTestStringConvertible, Sendable {
    /// Folder and name: `masquerade/01-howto`.
    let name: String

    var testDescription: String { name }

    /// The `.nft`: what `nft -f` takes.
    var text: String { get throws { try Self.read("\(Self.folder)/\(name).nft") } }

    /// What masqd makes of the `.toml`.
    var ruleset: Ruleset {
        get throws {
            let text = Array(try Self.read("\(Self.folder)/\(name).toml").utf8)
            let fileName = "\(name.split(separator: "/")[1]).toml"
            let topic = name.split(separator: "/")[0]
            let reading = Configuration.read(text.span, from: fileName) { file, body in
                guard let content = try? Self.read("\(Self.folder)/\(topic)/\(file)") else { return "absent" }
                body(Array(content.utf8).span)
                return nil
            }
            return .complete(try #require(reading.configuration))
        }
    }

    /// One that has all kinds of objects: two interfaces, both families, exclusions and two blocks, and more than one of each, so
    /// that there are sets of them.
    static let rich = GoldenRuleset(name: "interfaces/09-two-of-everything")

    /// In the order of their names.
    static let all: [GoldenRuleset] = topics.flatMap { topic in
        files(in: "\(folder)/\(topic)").filter { $0.hasSuffix(".nft") }.sorted()
            .map { GoldenRuleset(name: "\(topic)/\($0.dropLast(".nft".count))") }
    }

    /// The folders, but that of flowtables, which many a kernel lacks.
    private static let topics = files(in: folder).filter { !$0.hasPrefix(".") && $0 != "offload" }.sorted()

    private static let folder =
        #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined() + "/MasqCoreTests/Golden"

    private static func files(in folder: String) -> [String] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var files: [String] = []
        while let entry = readdir(directory) {
            files.append(
                withUnsafeBytes(of: entry.pointee.d_name) {
                    String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
                })
        }
        return files
    }

    private static func read(_ path: String) throws -> String {
        let file = try #require(fopen(path, "r"), "cannot open \(path)")
        defer { fclose(file) }
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { content += chunk[..<count] }
        return String(decoding: content, as: UTF8.self)
    }
}
