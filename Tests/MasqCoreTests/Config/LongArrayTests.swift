// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

/// Arrays of 256 strings and more take another way through CToml than short ones.
@Suite struct LongArrayTests {
    private static let elements = (0..<300).map { "10.\($0 / 256).\($0 % 256).0/24" }

    private static func networks(_ text: String) -> [String]? {
        let text = "[[masquerade]]\nout_interface = \"ppp0\"\nsource = \(text)\n"
        return Configuration.read(text.utf8.span, from: "a.toml").configuration?.outbound[0].source
            .map(\.description)
    }

    @Test(
        "A long array is read the same, however it is laid out",
        arguments: [
            ("[\"", "\",\"", "\"]"), ("[ '", "' , '", "' , ]"), ("[\n\t\"", "\",\n\t\"", "\",\n]"),
            ("[\r\n\"", "\",\r\n\"", "\"\r\n]"), ("[ # \"a\"\n\"", "\" # ]\n, \"", "\" # end\n]"),
            ("[\"", "\",#ü\n\"", "\"]"), ("[\"\\u0031", "\", \"\\u0031", "\"]"),
            ("[\"\"\"", "\"\"\", '''", "\"\"\"]"),
        ])
    func layouts(opening: String, separator: String, closing: String) {
        // With escapes for the first digit, and with three quotes at the ends that differ.
        var elements = Self.elements
        if opening.contains("\\") { elements = elements.map { String($0.dropFirst()) } }
        var text = elements.joined(separator: separator)
        if separator.contains("'''") {
            text = elements.joined(separator: "\"\"\", \"\"\"")
        }
        #expect(Self.networks(opening + text + closing) == Self.elements)
    }

    @Test(
        "A long array that is not TOML is refused",
        arguments: [
            ("[\"", "\",\"", "\""), ("[\"", "\",\"", ""), ("[\"", "\" \"", "\"]"), ("[\"", "\",,\"", "\"]"),
            ("[,\"", "\",\"", "\"]"), ("[\"", "\",\r\"", "\"]"), ("[\"", "\",#\u{1}\n\"", "\"]"),
            ("[\"", "\",\"", "\"] x"), ("[\"", "\",\"", "\"]]"), ("[\"\u{7F}", "\",\"", "\"]"),
            ("[\"", "\",\"", "\n\"]"), ("[\"\" \"", "\",\"", "\"]"), ("['", "','", "\"]"),
        ])
    func notTOML(opening: String, separator: String, closing: String) {
        let array = opening + Self.elements.joined(separator: separator) + closing
        let text = "[[masquerade]]\nout_interface = \"ppp0\"\nsource = \(array)\n"
        let reading = Configuration.read(text.utf8.span, from: "a.toml")
        #expect(reading.diagnostics.map { $0.message.hasPrefix("not TOML: ") } == [true])
    }

    @Test("Several long arrays may stand on one line")
    func oneLine() {
        let list = Self.elements.map { "\"\($0)\"" }.joined(separator: ",")
        let text = "masquerade = [{ source = [\(list)], exclude = [\(list)], out_interface = \"ppp0\" }, 1]"
        let fixed = text.replacing(", 1]", with: "]")
        let block = Configuration.read(fixed.utf8.span, from: "a.toml").configuration?.outbound[0]
        #expect(block?.source.map(\.description) == Self.elements)
        #expect(block?.exclude.map(\.description) == Self.elements)

        let diagnostics = Configuration.read(text.utf8.span, from: "a.toml").diagnostics
        #expect(diagnostics.map { $0.position?.column } == [text.count - 1])
    }

    @Test("Whatever stands behind long arrays keeps its line and column")
    func positions() {
        let list = "[\n" + Self.elements.map { "\"\($0)\"" }.joined(separator: ",\n") + "]"
        let text = """
            [[masquerade]] # é
            "out_interface" = "ppp0" # ]
            source = \(list) # ä
            exclude = \(list)
            nonsense = 1
            [[masquerade]]
            wrong = { a = \(list.replacing("\n", with: "")), b = \(list.replacing("\n", with: "")) }
              worse = ["x", "192.168.0.0/33"]
            """
        let found = Configuration.read(text.utf8.span, from: "a.toml").diagnostics.map {
            "\($0.position?.line ?? 0):\($0.position?.column ?? 0)"
        }
        // Each list has 301 lines: line 3 to 303, and 304 to 604.
        #expect(found == ["605:1", "606:1", "606:1", "607:1", "608:3"])
    }

    @Test("An error in a long array has the position of its string")
    func elementPosition() {
        var elements = Self.elements.map { "\"\($0)\"" }
        elements[299] = "\"10.0.0.0/33\""
        let text =
            "masquerade = [{ out_interface = \"ppp0\", \"ü\" = 1, source = [\(elements.joined(separator: ",\n  "))]}]"
        let found = Configuration.read(text.utf8.span, from: "a.toml").diagnostics.map {
            "\($0.position?.line ?? 0):\($0.position?.column ?? 0)"
        }
        #expect(found == ["1:41", "300:3"])
    }
}
