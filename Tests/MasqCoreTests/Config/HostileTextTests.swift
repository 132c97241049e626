// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

@Suite struct HostileTextTests {
    @Test(
        "Two megabytes of anything are refused, and neither crash nor hang",
        arguments: [
            "[", "a = [", "a.", "[a.", "a . ", "\"a\".", "a = {a=", "{a=[", "\"", "'", "a = \"\"\"", "#",
            "\n", "\r",
            "\0", "\u{FEFF}", "\\", "a = \"\\", "1", "=", "[]", "[[a]]\n", "[a]\n", "a = [\n",
            "a = [\"b\",\n",
        ])
    func repeated(piece: String) {
        let text = String(repeating: piece, count: 2_000_000 / piece.utf8.count)
        let reading = Configuration.read(text.utf8.span, from: "a.toml")
        #expect(reading.configuration == nil)
        #expect(reading.diagnostics.isEmpty == false)
    }

    @Test(
        "Many small tables are refused before they take quadratic time",
        arguments: ["[[t?]]\n", "t?.a = 1\n", "[t?.a]\n"])
    func manyTables(piece: String) {
        let text = (0..<100_000).map { piece.replacing("?", with: String($0)) }.joined()
        let reading = Configuration.read(text.utf8.span, from: "a.toml")
        #expect(
            reading.diagnostics.map(\.message).last
                == "not TOML: the file has more than 32768 tables and dotted names")
    }

    @Test("50 000 tables of one name are no burden")
    func manyForwards() {
        let forwards = (1...50_000).map { "[[port_forward]]\nport = \($0)\nto = \"10.0.0.9\"\n" }.joined()
        let text = "[[masquerade]]\nout_interface = \"ppp0\"\nsource = \"10.0.0.0/8\"\n" + forwards
        let reading = Configuration.read(text.utf8.span, from: "a.toml")
        #expect(reading.diagnostics == [])
        #expect(reading.configuration?.portForwards.count == 50_000)
    }

    @Test(
        "What toml++ 3.3.0 would abort on, or calls unreachable, is an error with a position",
        arguments: [
            ("[=]", "1:2"), ("[[[a]]]", "1:3"), ("[.a]", "1:2"), ("[ ä]", "1:3"), ("[a ä]", "1:4"),
            ("a = 1979-05-27T'''07:32:00Z", "1:16"), ("a = \"\"\"\\\n  ä\"\"\" ö", "2:8"),
        ])
    func toleratesAssertions(text: String, position: String) {
        let found = Configuration.read(text.utf8.span, from: "a.toml").diagnostics.map {
            "\($0.position?.line ?? 0):\($0.position?.column ?? 0)"
        }
        #expect(found == [position])
    }

    @Test("Every single byte of a file may be replaced by any of the nasty ones")
    func nastyBytes() {
        let text = Array(
            """
            [[masquerade]]
            out_interface = ["ppp0"]  # é
            source = ["192.168.0.0/16", 'fd00::/8']
            ports = "1024-65535"
            """.utf8)
        var refused = 0
        for index in text.indices {
            for byte: UInt8 in [0, 0x0A, 0x0D, 0x22, 0x27, 0x5B, 0x5D, 0x5C, 0x7F, 0x80, 0xC3, 0xFF] {
                var mutated = text
                mutated[index] = byte
                let reading = Configuration.read(mutated.span, from: "a.toml")
                let hasError = reading.diagnostics.contains { $0.severity == .error }
                #expect(hasError == (reading.configuration == nil))
                // One line each, with nothing that a terminal would act on.
                let scalars = reading.diagnostics.flatMap { $0.description.unicodeScalars }
                #expect(scalars.allSatisfy { $0.value >= 0x20 && !(0x7F...0x9F).contains($0.value) })
                refused += hasError ? 1 : 0
            }
        }
        #expect(refused > text.count)
    }
}
