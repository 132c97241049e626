// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

@Suite struct InterfacePatternParsingTests {
    @Test(
        "A name is a name, and an asterisk behind it makes it a beginning",
        arguments: [
            ("ppp0", InterfacePattern.name("ppp0")), ("ppp*", .prefix("ppp")), ("wan@1", .name("wan@1")),
            ("eth0.100", .name("eth0.100")), ("...", .name("...")),
            ("fifteen-bytes-0", .name("fifteen-bytes-0")),
            ("fifteen-bytes-*", .prefix("fifteen-bytes-")), ("ü", .name("ü")), ("a+b", .name("a+b")),
        ])
    func reads(text: String, expected: InterfacePattern) throws {
        #expect(try InterfacePattern(text) == expected)
    }

    @Test(
        "What the kernel or nft could not name is refused",
        arguments: [
            ("", InterfacePatternSyntaxError.empty), ("sixteen-bytes-00", .tooLong(byteCount: 16)),
            ("sixteen-bytes-0*", .tooLong(byteCount: 16)), (".", .dots), ("..", .dots),
            ("a/b", .separator("/")),
            ("eth0:1", .separator(":")), ("a b", .whitespace), ("a\0", .whitespace), ("a\u{7F}", .whitespace),
            ("à", .whitespace), ("a\"", .quote("\"")), ("a\\*", .quote("\\")), ("*", .everyInterface),
            ("+", .everyInterface), ("p*p", .innerAsterisk), ("ppp*\u{301}", .innerAsterisk),
            ("ppp+", .plus("ppp*")),
        ])
    func refuses(text: String, error: InterfacePatternSyntaxError) {
        #expect(throws: error) { try InterfacePattern(text) }
    }
}
