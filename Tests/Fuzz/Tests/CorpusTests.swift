// SPDX-License-Identifier: GPL-3.0-or-later

import FuzzTargets
import Glibc
import TestSupport
import Testing

/// Every input in the corpora, fed to its target as libFuzzer does: what once broke something is kept there.
@Suite("The fuzz targets' corpora")
struct CorpusTests {
    @Test("No input breaks its target", arguments: FuzzTarget.allCases)
    func corpus(target: FuzzTarget) throws {
        let paths = try Command("find", "\(Self.folder)/\(target.rawValue)", "-type", "f").run()
            .expectSuccess()
            .standardOutput.split(separator: "\n").map(String.init)
        #expect(paths.isEmpty == false)
        for path in paths {
            let bytes = try FileBytes(path)
            #expect(bytes.lend(to: target) == nil, "\(path)")
            // A listing may end anywhere.
            for eighth in 0..<8 {
                let length = bytes.count * eighth / 8 + eighth
                #expect(
                    bytes.lend(to: target, first: min(length, bytes.count)) == nil,
                    "\(path), its first \(length) bytes")
            }
        }
    }

    private static let folder =
        #filePath.split(separator: "/").dropLast(2).map { "/" + $0 }.joined() + "/Corpus"
}

/// A file's content in a piece of memory of exactly its size, so that AddressSanitizer sees what reads beyond.
final class FileBytes {
    private let bytes: UnsafeMutableRawBufferPointer

    init(_ path: String) throws {
        let file = try #require(fopen(path, "r"), "cannot open \(path)")
        defer { fclose(file) }
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { content += chunk[..<count] }
        bytes = .allocate(byteCount: content.count, alignment: 16)
        bytes.copyBytes(from: content)
    }

    deinit { bytes.deallocate() }

    var count: Int { bytes.count }

    /// Feeds the content, or its beginning, to a target.
    func lend(to target: FuzzTarget, first length: Int? = nil) -> String? {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: length ?? count, alignment: 16)
        defer { copy.deallocate() }
        copy.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<(length ?? count)]))
        return target.breach(in: UnsafeRawBufferPointer(copy))
    }
}
