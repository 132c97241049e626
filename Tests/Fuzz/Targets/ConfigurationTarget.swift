// SPDX-License-Identifier: GPL-3.0-or-later

@testable import MasqCore
@testable import MasqKernel

extension FuzzTarget {
    func configurationBreach(in bytes: UnsafeRawBufferPointer) -> String? {
        bytes.withMemoryRebound(to: UInt8.self) { configurationBreach(in: $0.span) }
    }

    private func configurationBreach(in text: Span<UInt8>) -> String? {
        let lifted = TomlOutline(text, liftingFrom: 1)
        let whole = TomlOutline(text, liftingFrom: .max)
        // In a text that is not UTF-8 toml++ finds the one error or the other first, as its blocks of 32 bytes fall.
        let isUTF8 = text.withUnsafeBufferPointer { String(validating: $0, as: UTF8.self) } != nil
        guard isUTF8 ? lifted == whole : lifted.isError && whole.isError else {
            return "lifting arrays out of the text makes a difference:\n\(lifted)\n\(whole)"
        }
        let reading = Configuration.read(text, from: "a.toml")
        let hasErrors = reading.diagnostics.contains { $0.severity == .error }
        guard hasErrors == (reading.configuration == nil) else {
            return "there is a configuration if and only if there is no error"
        }
        let end = Self.end(of: text)
        for diagnostic in reading.diagnostics {
            if let position = diagnostic.position {
                // What ends too early may be missed behind the last byte, and behind a line's end on the next line.
                guard position.line >= 1, position.column >= 1,
                    position <= end || position == .init(line: end.line + 1, column: 1)
                else { return "\(position) is not in the text, which ends at \(end)" }
            }
            let isPrintable = diagnostic.description.unicodeScalars.allSatisfy {
                $0.value >= 0x20 && !(0x7F...0x9F).contains($0.value)
            }
            guard isPrintable else {
                return "a diagnostic has a control character: \(diagnostic.description)"
            }
        }
        if let configuration = reading.configuration { return Self.breach(of: configuration) }
        return nil
    }

    /// The ruleset can be printed, lowered and written.
    private static func breach(of configuration: Configuration) -> String? {
        let ruleset = Ruleset.desired(configuration)
        guard ruleset.text.utf8.allSatisfy({ $0 >= 0x20 || $0 == 0x0A || $0 == 0x09 }) else {
            return "the ruleset's text has a control character"
        }
        let snapshot = Snapshot(lowering: ruleset)
        guard Difference.changes(from: snapshot, to: snapshot).isEmpty else {
            return "a ruleset differs from itself"
        }
        write(Difference.changes(from: Snapshot(), to: snapshot))
        return nil
    }

    /// Writes a batch and forgets it.
    static func write(_ changes: [Change]) {
        var batch = Batch(firstSequence: 1, generation: 1, for: changes)
        for change in changes { batch.append(change) }
        batch.finish()
    }

    /// The place behind the last byte, with every byte counted as a column.
    private static func end(of text: Span<UInt8>) -> Diagnostic.Position {
        var (line, column) = (1, 1)
        for index in text.indices {
            (line, column) = text[index] == UInt8(ascii: "\n") ? (line + 1, 1) : (line, column + 1)
        }
        return .init(line: line, column: column)
    }
}

/// Everything that a TOML text says, or why it says nothing, with all positions.
struct TomlOutline: Equatable {
    private var lines: [String] = []
    /// Whether it is why the text says nothing.
    private(set) var isError = false

    init(_ text: Span<UInt8>, liftingFrom length: Int) {
        do throws(TomlSyntaxError) {
            lines = try TomlDocument.read(text, liftingFrom: length) { root in
                var outline = TomlOutline()
                outline.append(root)
                return outline.lines
            }
        } catch {
            isError = true
            lines = ["\(error)"]
        }
    }

    private init() {}

    private mutating func append(_ value: TomlValue) {
        let content = value.boolean.map { "\($0)" } ?? value.string ?? ""
        lines.append("\(value.position) \(value.kind) \(value.count) \(content)")
        switch value.kind {
        case .array:
            for index in 0..<value.count { append(value[index]) }
        case .table:
            for entry in value.entries {
                lines.append("\(entry.position) \(entry.key)")
                append(entry.value)
            }
        case .string, .integer, .float, .boolean, .dateTime: break
        }
    }
}
