// SPDX-License-Identifier: GPL-3.0-or-later

import TestSupport
import Testing

@testable import MasqCore

@Suite struct InterfaceNameTests {
    @Test("Names are equal if their bytes are, and not if only a reader would take them for the same")
    func equality() {
        #expect(InterfaceName([0x6C, 0xFF]) != InterfaceName([0x6C, 0xFE]))
        // é as one character, and as e with an accent: as strings they are equal.
        #expect(InterfaceName("\u{E9}") != InterfaceName("e\u{301}"))
        #expect(InterfaceName("ppp0") == "ppp0")
        #expect(InterfaceName([0x70, 0, 0x71]) == "p")
        #expect(InterfaceName("abcdefghijklmnopq") == "abcdefghijklmno")
        #expect(InterfaceName([]).isEmpty)
    }

    @Test("A beginning is one of bytes, and the order is that of the bytes")
    func prefixes() {
        var random = SplitMix64(seed: 12)
        for _ in 0..<5000 {
            let bytes = (0..<Int(random.next() % 16)).map { _ in
                UInt8(truncatingIfNeeded: random.next() | 1)
            }
            let name = InterfaceName(bytes)
            #expect(name.bytes == bytes)
            #expect(name.byteCount == bytes.count)
            for count in 0...bytes.count { #expect(name.hasPrefix(InterfaceName(bytes.prefix(count)))) }
            let other = InterfaceName([UInt8(truncatingIfNeeded: random.next() | 1), 3])
            #expect(name.hasPrefix(other) == bytes.starts(with: other.bytes))
            #expect((name < other) == bytes.lexicographicallyPrecedes(other.bytes))
        }
    }

    @Test("A pattern of the file means the links whose bytes it has, also beside bytes that are no UTF-8")
    func patterns() throws {
        let glob = try InterfacePattern("ppp*")
        #expect(glob.matches(InterfaceName(Array("ppp".utf8) + [0xFF, 0xFE])))
        #expect(!glob.matches(InterfaceName([0x70, 0x70, 0xFF])))
        // "\xC3\xA9" begins with the byte of "\xC3"; a pattern is whole characters.
        #expect(try InterfacePattern("é*").matches(InterfaceName([0xC3, 0xA9, 0xFF])))
        #expect(throws: InterfacePatternSyntaxError.invisible("\u{202E}")) {
            try InterfacePattern("ppp\u{202E}abc")
        }
        #expect(
            InterfacePatternSyntaxError.invisible("\u{202E}").description
                == "masqd does not support an interface name that contains U+202E, which is not seen")
    }

    @Test(
        "A shell takes the word for exactly the name",
        arguments: [
            [0x70, 0x70, 0x70, 0x30], Array("ppp$(id)".utf8), Array("p'x".utf8), [0x6C, 0xFF, 0x31],
            [0x1B, 0x5B], Array("ppp%s%n".utf8), Array("a\\b".utf8), [0xE2, 0x80, 0xAE, 0x61],
        ] as [[UInt8]])
    func shell(bytes: [UInt8]) throws {
        let word = InterfaceName(bytes).shellWord
        #expect(word.isOnePrintableLine)
        let shown = try Command("sh", "-c", "printf %s \(word) | od -An -v -tu1").run().expectSuccess()
        #expect(shown.standardOutput.split(whereSeparator: \.isWhitespace).compactMap { UInt8($0) } == bytes)
    }

    @Test("A set that follows the links has an element for each, exactly its bytes")
    func elements() throws {
        let address = try #require(IPAddress("10.0.0.1"))
        let names = [[0x6C, 0xFF], [0x6C, 0xFE], Array("lan0".utf8)] as [[UInt8]]
        let links = Links(
            names.enumerated().map {
                Link(index: Int32($0 + 1), name: InterfaceName($1), isUp: true, addresses: [address])
            })
        guard case .entries(let entries) = LinkSource.linksBesideThemselves(but: []).elements(links) else {
            Issue.record("no entries")
            return
        }
        var keys: [[UInt8]] = []
        entries.forEach { keys.append(Array($0.key)) }
        let expected = names.map { $0 + [UInt8](repeating: 0, count: 16 - $0.count) }.map { $0 + $0 }
        #expect(Set(keys) == Set(expected))
    }
}
