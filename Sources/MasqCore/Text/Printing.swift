// SPDX-License-Identifier: GPL-3.0-or-later

// Names of interfaces, tables, chains, processes and units, the content of files: all of it may be chosen by
// somebody who wants to forge a line of the log, or to move the cursor of the terminal that shows it. Two
// things keep that out. By construction: bytes from outside become text through `init(printing:)`, and the
// names of links are a type whose description does so (`InterfaceName`). At the doors: whatever leaves masqd
// for people (log, status, diagnostics, the doctor) passes `printableLine` last, so that text which was
// forgotten is still one line without effects.

extension String {
    /// The text as one line without anything that a terminal, the journal or a reader's eye would act on.
    ///
    /// What moves a cursor, ends a line, turns the direction of writing or can't be seen becomes TOML's
    /// escape: `\n`, `\u001B`. Printable text stays as it is, backslashes and quotes too, so that a second
    /// pass changes nothing.
    public var printableLine: String {
        // Nearly every line is ASCII, and has nothing to escape.
        if utf8.allSatisfy({ (0x20..<0x7F).contains($0) }) { return self }
        return escaped(limit: .max, alsoQuotes: false)
    }

    /// A name from outside, as a person is shown it.
    ///
    /// Printable UTF-8 stays as it is. Bytes that are no UTF-8 become `\xFF`, other characters what
    /// ``printableLine`` makes of them, and a backslash becomes two, so that two different names are never
    /// shown alike.
    ///
    /// - Parameter limit: how many code points are kept; what was left out becomes "…".
    public init(printing bytes: some Sequence<UInt8>, limit: Int = 80) {
        var text = ""
        var rest = Array(bytes)[...]
        var count = 0
        while !rest.isEmpty {
            if count == limit {
                text += "…"
                break
            }
            count += 1
            if let (scalar, length) = Unicode.Scalar.first(of: rest) {
                text += scalar == "\\" ? "\\\\" : scalar.printed(isFirst: text.isEmpty)
                rest = rest.dropFirst(length)
            } else if let byte = rest.popFirst() {
                text += "\\x" + hexadecimal(UInt32(byte), digits: 2)
            }
        }
        self = text
    }

    /// The text in double quotes, safe for one line of a terminal or a log, and cut where it is long.
    var quoted: String { "\"\(escaped(limit: 80, alsoQuotes: true))\"" }

    /// The text without anything that is not printable; see ``printableLine``.
    ///
    /// - Parameters:
    ///   - limit: how many code points of the text are kept; what was left out becomes "…".
    ///   - alsoQuotes: whether quotes and backslashes are escaped too, as inside quotes they must be.
    func escaped(limit: Int, alsoQuotes: Bool) -> String {
        var result = ""
        for (index, scalar) in unicodeScalars.enumerated() {
            if index == limit { return result + "…" }
            if alsoQuotes, scalar == "\"" || scalar == "\\" { result += "\\" }
            result += scalar.printed(isFirst: index == 0)
        }
        return result
    }

    /// The beginning of the text that fits into so many bytes of UTF-8, with "…" as the last of them if it is
    /// cut.
    public func prefix(byteCount limit: Int) -> String {
        guard utf8.count > limit else { return self }
        let mark = "…"
        var result = ""
        var count = mark.utf8.count
        for scalar in unicodeScalars {
            count += UTF8.width(scalar)
            if count > limit { break }
            result.unicodeScalars.append(scalar)
        }
        return result + mark
    }
}

extension Unicode.Scalar {
    /// The character, or its escape.
    ///
    /// - Parameter isFirst: whether it begins a text: then a mark would be drawn over what stands before it.
    fileprivate func printed(isFirst: Bool) -> String {
        switch self {
        case "\n": "\\n"
        case "\r": "\\r"
        case "\t": "\\t"
        case " "..."~": String(self)
        default: isPrintable(isFirst: isFirst) ? String(self) : escape
        }
    }

    /// Whether it is seen, and as what it is.
    func isPrintable(isFirst: Bool = false) -> Bool {
        // Hangul fillers, variation selectors and others that are letters or marks, and drawn as nothing.
        if properties.isDefaultIgnorableCodePoint { return false }
        switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned:
            return false
        case .spaceSeparator: return self == " "
        case .nonspacingMark, .enclosingMark, .spacingMark: return !isFirst
        default: return self != "\u{2800}"  // a Braille cell without dots
        }
    }

    /// TOML's escape for any character, `\u200B` or `\U000E0001`.
    private var escape: String {
        value > 0xFFFF ? "\\U" + hexadecimal(value, digits: 8) : "\\u" + hexadecimal(value, digits: 4)
    }

    /// The first character of bytes, and how many of them it takes; nothing where they begin with no UTF-8.
    fileprivate static func first(of bytes: ArraySlice<UInt8>) -> (Unicode.Scalar, Int)? {
        var decoder = UTF8()
        var source = bytes.makeIterator()
        guard case .scalarValue(let scalar) = decoder.decode(&source) else { return nil }
        return (scalar, UTF8.width(scalar))
    }
}

/// A number in capital hexadecimal digits, with leading zeros.
private func hexadecimal(_ value: UInt32, digits: Int) -> String {
    let text = String(value, radix: 16, uppercase: true)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
}
