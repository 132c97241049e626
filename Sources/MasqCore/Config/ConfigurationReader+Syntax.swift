// SPDX-License-Identifier: GPL-3.0-or-later

extension ConfigurationReader {
    /// Reports why a text is not TOML, in words that help.
    mutating func report(_ error: TomlSyntaxError, in text: Span<UInt8>) {
        if let (offset, message) = Self.encodingProblem(of: text) {
            diagnostics.add(.error, at: place(Self.position(of: offset, in: text)), "not UTF-8: \(message)")
            // toml++ says the same, less precisely, unless it came across another error before.
            if error.message.contains("utf-8") { return }
        }
        var message = error.message.escaped(limit: 300, alsoQuotes: false)
        let redundant = "Error while parsing "
        if message.hasPrefix(redundant) { message.removeFirst(redundant.count) }
        if message.hasSuffix("could not determine value type") { message += ", a string needs quotes" }
        diagnostics.add(.error, at: place(error.position), "not TOML: \(message)")
    }

    /// The first byte that is not UTF-8, and what to say about it.
    private static func encodingProblem(of text: Span<UInt8>) -> (offset: Int, message: String)? {
        guard let offset = text.withUnsafeBufferPointer(firstInvalidByte) else { return nil }
        if offset == 0, text.count > 1, text[0] ^ text[1] == 1, text[0] >= 0xFE {
            return (0, "the file is UTF-16")
        }
        return (offset, "unexpected byte 0x" + String(text[offset], radix: 16, uppercase: true))
    }

    /// Where the first code point begins that is not UTF-8.
    private static func firstInvalidByte(of text: UnsafeBufferPointer<UInt8>) -> Int? {
        var parser = UTF8.ForwardParser()
        var bytes = text.makeIterator()
        var offset = 0
        while true {
            switch parser.parseScalar(from: &bytes) {
            case .valid(let scalar): offset += scalar.count
            case .emptyInput: return nil
            case .error: return offset
            }
        }
    }

    /// The line and column of a byte that has only UTF-8 before it.
    private static func position(of offset: Int, in text: Span<UInt8>) -> Diagnostic.Position {
        var (line, column) = (1, 1)
        let hasByteOrderMark = offset >= 3 && text[0] == 0xEF && text[1] == 0xBB && text[2] == 0xBF
        for index in (hasByteOrderMark ? 3 : 0)..<offset {
            if text[index] == UInt8(ascii: "\n") {
                (line, column) = (line + 1, 1)
            } else if text[index] & 0xC0 != 0x80 {  // not inside a code point
                column += 1
            }
        }
        return Diagnostic.Position(line: line, column: column)
    }
}
