// SPDX-License-Identifier: GPL-3.0-or-later

extension String {
    /// The text in double quotes, safe for one line of a terminal or a log, and cut where it is long.
    var quoted: String { "\"\(escaped(limit: 80, alsoQuotes: true))\"" }

    /// The text without anything that moves a cursor, ends a line or turns the direction of writing.
    ///
    /// Such characters become TOML's escapes, `\n` or `\u001B`.
    ///
    /// - Parameters:
    ///   - limit: how many code points of the text are kept; what was left out becomes "…".
    ///   - alsoQuotes: whether quotes and backslashes are escaped too, as inside quotes they must be.
    func escaped(limit: Int, alsoQuotes: Bool) -> String {
        var result = ""
        for (index, scalar) in unicodeScalars.enumerated() {
            if index == limit { return result + "…" }
            switch scalar {
            case "a"..."z", "A"..."Z", "0"..."9": result.unicodeScalars.append(scalar)
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case "\"", "\\":
                if alsoQuotes { result += "\\" }
                result.unicodeScalars.append(scalar)
            default:
                if scalar.isPrintable {
                    result.unicodeScalars.append(scalar)
                } else {
                    result += scalar.escape
                }
            }
        }
        return result
    }
}

extension Unicode.Scalar {
    fileprivate var isPrintable: Bool {
        switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned:
            false
        default: true
        }
    }

    /// TOML's escape for any character, `\u200B` or `\U000E0001`.
    fileprivate var escape: String {
        let digits = String(value, radix: 16, uppercase: true)
        let width = value > 0xFFFF ? 8 : 4
        return (width == 8 ? "\\U" : "\\u") + String(repeating: "0", count: width - digits.count) + digits
    }
}
