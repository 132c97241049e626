// SPDX-License-Identifier: GPL-3.0-or-later

extension ConfigurationReader {
    /// One of an enumeration's words.
    mutating func choice<Choice>(_ entry: TomlEntry) -> Choice?
    where Choice: RawRepresentable<String> & CaseIterable {
        let allowed = Choice.allCases.map(\.rawValue)
        guard let word = entry.value.string else {
            reportWrongType(entry.value, of: entry.key, expected: Suggestion.list(allowed))
            return nil
        }
        if let choice = Choice(rawValue: word) { return choice }
        let hint = Suggestion.nearest(to: word, among: allowed).map { ", did you mean \($0.quoted)?" } ?? ""
        diagnostics.add(
            .error, at: place(entry.value.position),
            "\(entry.key.quoted): expected \(Suggestion.list(allowed)), not \(word.quoted)\(hint)")
        return nil
    }

    /// A boolean.
    mutating func boolean(_ entry: TomlEntry) -> Bool? {
        if let boolean = entry.value.boolean { return boolean }
        reportWrongType(entry.value, of: entry.key, expected: "true or false")
        return nil
    }

    /// One bit of a packet's mark.
    mutating func markBit(_ entry: TomlEntry) -> UInt32? {
        let expected = "an integer with exactly one of 32 bits set, 0x1000"
        guard let value = entry.value.integer else {
            reportWrongType(entry.value, of: entry.key, expected: expected)
            return nil
        }
        if let bit = UInt32(exactly: value), bit.nonzeroBitCount == 1 { return bit }
        let sign = value < 0 ? "-" : ""
        diagnostics.add(
            .error, at: place(entry.value.position),
            "\(entry.key.quoted): expected \(expected), not \(sign)0x\(String(value.magnitude, radix: 16))")
        return nil
    }

    /// A whole number within limits; `unit` is what it counts, with a space before it.
    mutating func integer(_ entry: TomlEntry, in range: ClosedRange<Int64>, unit: String = "") -> Int64? {
        let expected = "a whole number\(unit) from \(range.lowerBound) to \(range.upperBound)"
        guard let number = entry.value.integer else {
            reportWrongType(entry.value, of: entry.key, expected: expected)
            return nil
        }
        if range.contains(number) { return number }
        diagnostics.add(
            .error, at: place(entry.value.position),
            "\(entry.key.quoted): expected \(expected), not \(number)")
        return nil
    }

    /// A port, or two with a hyphen between them.
    ///
    /// - Parameter expected: what a value of another type should have been.
    mutating func ports(
        _ entry: TomlEntry, expected: String = "a string with a port or a range, \"1024-65535\""
    ) -> ClosedRange<UInt16>? {
        guard let text = entry.value.string else {
            reportWrongType(entry.value, of: entry.key, expected: expected)
            return nil
        }
        return ports(text, of: entry)
    }

    /// A port or a range in a part of an entry's text.
    mutating func ports(_ text: String, of entry: TomlEntry) -> ClosedRange<UInt16>? {
        let ends = text.split(separator: "-", maxSplits: 2, omittingEmptySubsequences: false)
        let isNumeric = ends.allSatisfy { end in
            !end.isEmpty && end.utf8.allSatisfy { $0.decimalDigit != nil }
        }
        let problem: String
        if ends.count > 2 || !isNumeric {
            problem = "expected a port or a range, \"1024-65535\""
        } else {
            // Digits that are too many for the type are out of range too.
            let numbers = ends.map { UInt16($0) ?? 0 }
            let (low, high) = (numbers[0], numbers[numbers.count - 1])
            if low == 0 || high == 0 {
                problem = "ports must be 1 to 65535"
            } else if low > high {
                problem = "the lower port comes first, did you mean \"\(high)-\(low)\"?"
            } else {
                return low...high
            }
        }
        diagnostics.add(
            .error, at: place(entry.value.position), "\(entry.key.quoted): \(text.quoted): \(problem)")
        return nil
    }

    /// What `[mss] clamp` may be: a word, or a number of bytes.
    mutating func clamp(_ entry: TomlEntry) -> Configuration.Mss.Clamp? {
        let range = Configuration.Mss.Clamp.range
        let expected = "\"pmtu\", \"off\" or a number from \(range.lowerBound) to \(range.upperBound)"
        switch entry.value.kind {
        case .string where entry.value.string == "pmtu": return .pathMTU
        case .string where entry.value.string == "off": return .off
        case .integer:
            if let bytes = entry.value.integer.flatMap({ UInt16(exactly: $0) }), range.contains(bytes) {
                return .fixed(bytes)
            }
            let number = entry.value.integer ?? 0
            diagnostics.add(
                .error, at: place(entry.value.position),
                "\(entry.key.quoted): expected \(expected), not \(number)")
        case .string:
            let word = entry.value.string ?? ""
            let isNumber = !word.isEmpty && word.utf8.allSatisfy { $0.decimalDigit != nil }
            let hint = isNumber ? ", a number has no quotes" : ""
            diagnostics.add(
                .error, at: place(entry.value.position),
                "\(entry.key.quoted): expected \(expected), not \(word.quoted)\(hint)")
        default:
            reportWrongType(entry.value, of: entry.key, expected: expected)
        }
        return nil
    }

    /// A string or an array of strings, with whatever else is in it reported.
    mutating func strings(_ entry: TomlEntry) -> StringList? {
        guard entry.value.kind == .string || entry.value.kind == .array else {
            reportWrongType(entry.value, of: entry.key, expected: "a string or an array of strings")
            return nil
        }
        let list = StringList(value: entry.value, path: path)
        for index in 0..<list.count where entry.value.item(index).kind != .string {
            reportWrongType(entry.value.item(index), of: entry.key, expected: "a string in the array")
        }
        return list
    }

    func elements(_ array: TomlValue) -> [TomlValue] {
        (0..<array.count).map { array[$0] }
    }

    /// Says what was expected in place of a value.
    mutating func reportWrongType(_ value: TomlValue, of key: String, expected: String) {
        diagnostics.add(
            .error, at: place(value.position), "\(key.quoted): expected \(expected), not \(value.kind.noun)")
    }
}

extension TomlValue.Kind {
    /// With its article, for messages.
    fileprivate var noun: String {
        switch self {
        case .table: "a table"
        case .array: "an array"
        case .string: "a string"
        case .integer: "an integer"
        case .float: "a float"
        case .boolean: "a boolean"
        case .dateTime: "a date or time"
        }
    }
}
