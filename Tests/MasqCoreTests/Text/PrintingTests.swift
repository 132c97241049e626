// SPDX-License-Identifier: GPL-3.0-or-later

import TestSupport
import Testing

@testable import MasqCore

@Suite struct PrintingTests {
    @Test(
        "Text with effects is shown by escapes",
        arguments: [
            ("\u{1B}[31mRED", "\\u001B[31mRED"), ("a\nmasqd: FORGED", "a\\nmasqd: FORGED"),
            ("a\r\u{7}\u{7F}\u{9B}", "a\\r\\u0007\\u007F\\u009B"),
            ("\u{202E}abc\u{2069}\u{200F}", "\\u202Eabc\\u2069\\u200F"),
            ("\u{FEFF}\u{2028}\u{2029}\u{AD}", "\\uFEFF\\u2028\\u2029\\u00AD"),
            // A tag, a Hangul filler, a variation selector, a wide space, a Braille cell without dots.
            ("\u{E0041}\u{3164}\u{FE0F}\u{3000}\u{2800}", "\\U000E0041\\u3164\\uFE0F\\u3000\\u2800"),
            // A mark that would be drawn over what stands before it.
            ("\u{336}ab\u{301}", "\\u0336ab\u{301}"),
            ("plain \"text\" \\ é … 中", "plain \"text\" \\ é … 中"), ("", ""),
        ])
    func escapes(text: String, shown: String) {
        #expect(Array(text.printableLine.unicodeScalars) == Array(shown.unicodeScalars))
    }

    @Test(
        "Bytes that are no UTF-8 are shown one by one",
        arguments: [
            ([0x6C, 0xFF], "l\\xFF"), ([0x6C, 0xFE], "l\\xFE"), ([0xC3], "\\xC3"), ([0xC3, 0xA9], "é"),
            ([0xED, 0xA0, 0x80], "\\xED\\xA0\\x80"), ([0xC0, 0x80], "\\xC0\\x80"),
            ([0xE2, 0x80, 0xAE, 0x61], "\\u202Ea"), ([0x5C, 0x78, 0x46, 0x46], "\\\\xFF"), ([0], "\\u0000"),
        ] as [([UInt8], String)])
    func bytes(bytes: [UInt8], shown: String) { #expect(String(printing: bytes) == shown) }

    @Test("Whatever bytes come from outside, what is shown is one printable line, and no two are shown alike")
    func randomBytes() {
        var random = SplitMix64(seed: 10)
        var seen: [[UInt8]: [UInt8]] = [:]
        for _ in 0..<50_000 {
            let bytes = Self.bytes(using: &random)
            let text = String(printing: bytes, limit: 1000)
            #expect(text.isOnePrintableLine, "\(bytes)")
            #expect(text.printableLine == text, "\(bytes)")
            #expect(seen.updateValue(bytes, forKey: Array(text.utf8)) ?? bytes == bytes)
            let repaired = String(decoding: bytes, as: UTF8.self).printableLine
            #expect(repaired.isOnePrintableLine, "\(bytes)")
            #expect(repaired.printableLine == repaired, "\(bytes)")
            // Two strings that look alike may be equal: the bytes decide.
            let name = InterfaceName(bytes)
            #expect(name.description.isOnePrintableLine)
            #expect(InterfaceName(name.bytes) == name)
        }
    }

    @Test(
        "Whatever a file has where an interface, a network or a key should be, each diagnostic is one printable line"
    )
    func diagnostics() {
        var random = SplitMix64(seed: 11)
        for _ in 0..<3000 {
            let noise = Self.bytes(using: &random)
            let quoted = noise.flatMap { byte -> [UInt8] in
                byte == 0x22 || byte == 0x5C || byte == 0x0A ? [0x5C, byte == 0x0A ? 0x6E : byte] : [byte]
            }
            let text =
                Array("\"".utf8) + quoted + Array("\" = 1\n[[masquerade]]\nout_interface = \"".utf8) + quoted
                + Array("\"\nsource = \"".utf8) + quoted + Array("\"\n[clients]\nblocked_file = \"x\"\n".utf8)
            let reading = text.withUnsafeBufferPointer { bytes in
                Configuration.read(bytes.span, from: String(decoding: noise, as: UTF8.self)) { _, body in
                    body(noise.span)
                    return nil
                }
            }
            #expect(!reading.diagnostics.isEmpty)
            for diagnostic in reading.diagnostics {
                #expect(diagnostic.description.isOnePrintableLine, "\(noise)")
            }
        }
    }

    @Test("Of a list's lines only what was meant as an address is ever shown")
    func lists() {
        let secret = "root:$6$x1ab.:19000\n5f4dcc3b5aa765d61d8327deb882cf99\nswordfish\n10.0.0.300\nfe80::g\n"
        let text =
            "[[masquerade]]\nout_interface = \"ppp0\"\nsource = \"10.0.0.0/8\"\n[clients]\nblocked_file = \"x\"\n"
        let reading = Configuration.read(text.utf8.span, from: "a.toml") { _, body in
            body(secret.utf8.span)
            return nil
        }
        let hint = "error: expected a network on each line, as 192.0.2.0/24, and a comment only behind \"#\""
        #expect(
            reading.diagnostics.map(\.description) == [
                "x:1:1: \(hint)", "x:2:1: \(hint)", "x:3:1: \(hint)",
                "x:4:1: error: \"10.0.0.300\": an octet of an IPv4 address must be 0 to 255",
                "x:5:1: \(hint)",
            ])
    }

    @Test("A finding of the doctor's has no more lines than it has commands, whatever it quotes")
    func findings() {
        let finding = Finding(.wrong, "ppp0\nok    all is well", type: ["true\nrm -rf /", "\u{1B}[2J"])
        #expect(
            finding.description
                == "wrong ppp0\\nok    all is well\n      type: true\\nrm -rf /\n      type: \\u001B[2J")
    }

    @Test(
        "A text is cut between code points, and says so",
        arguments: [("abcdef", 6, "abcdef"), ("abcdef", 5, "ab…"), ("äöü", 5, "ä…"), ("", 0, "")])
    func cut(text: String, count: Int, result: String) { #expect(text.prefix(byteCount: count) == result) }

    /// Up to 20 bytes, mostly pieces that do something.
    private static func bytes(using random: inout SplitMix64) -> [UInt8] {
        let pieces: [[UInt8]] = [
            [0x1B, 0x5B], [0x0A], [0x0D], Array("<0>".utf8), [0xE2, 0x80, 0xAE], [0xE2, 0x80, 0x8B],
            [0xEF, 0xBB, 0xBF], [0xFF], [0xC3], [0x7F], [0xC2, 0x9B], [0x22], [0x5C], Array("10.0.0.1".utf8),
            [0xE2, 0x80, 0xA8], [0xCC, 0xB6], [0xF0, 0x9F, 0x91, 0xA8], Array("%s%n".utf8), [0], [0x25],
        ]
        return (0..<Int(random.next() % 6)).flatMap { _ in
            Bool.random(using: &random)
                ? pieces.randomElement(using: &random) ?? [] : [UInt8(truncatingIfNeeded: random.next())]
        }
    }
}

extension String {
    /// Whether it has neither a line's end nor anything that is not seen as what it is.
    var isOnePrintableLine: Bool {
        !unicodeScalars.contains { scalar in
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .surrogate, .unassigned:
                true
            case .spaceSeparator: scalar != " "
            default: scalar.properties.isDefaultIgnorableCodePoint
            }
        }
    }
}
