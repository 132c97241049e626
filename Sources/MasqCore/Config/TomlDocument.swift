// SPDX-License-Identifier: GPL-3.0-or-later

import CToml

/// Why a text is not TOML, and where.
struct TomlSyntaxError: Error {
    let position: Diagnostic.Position
    /// In toml++'s words, with whatever the text contains.
    let message: String
}

/// The sole owner of one parsed TOML text.
struct TomlDocument: ~Copyable {
    private let handle: OpaquePointer

    /// A shorter array of strings is not worth lifting it out of the text before toml++ sees that.
    static let shortestLifted = 256

    private init(_ text: UnsafeBufferPointer<UInt8>, liftingFrom length: Int) throws(TomlSyntaxError) {
        handle = text.withMemoryRebound(to: CChar.self) { CToml_parse($0.baseAddress, $0.count, length) }
        var message = CToml_Text()
        var position = CToml_Position()
        if CToml_error(handle, &message, &position) {
            throw TomlSyntaxError(position: .init(position), message: String(message))
        }
    }

    deinit { CToml_free(handle) }

    /// Parses a text and lends out the table that it is.
    ///
    /// - Parameter length: how many strings an array has at least that is lifted; what is read is the same with any.
    /// - Throws: ``TomlSyntaxError`` for the first place that is not TOML 1.0; toml++ can't go on behind it.
    static func read<Result>(
        _ text: Span<UInt8>, liftingFrom length: Int = shortestLifted, _ body: (_ root: TomlValue) -> Result
    ) throws(TomlSyntaxError) -> Result {
        // A closure over typed throws and a `~Copyable` value does not compile in Swift 6.3: hence the two steps.
        let outcome = text.withUnsafeBufferPointer { bytes -> Swift.Result<Result, TomlSyntaxError> in
            do throws(TomlSyntaxError) {
                let document = try TomlDocument(bytes, liftingFrom: length)
                return .success(document.lend(body))
            } catch {
                return .failure(error)
            }
        }
        return try outcome.get()
    }

    private borrowing func lend<Result>(_ body: (TomlValue) -> Result) -> Result {
        body(TomlValue(CToml_root(handle)))
    }
}

/// A value, borrowed from its document: it must not outlive the closure that ``TomlDocument/read(_:_:)`` calls.
struct TomlValue {
    /// TOML's types; the four date and time types are one.
    enum Kind {
        case table, array, string, integer, float, boolean, dateTime
    }

    private let borrowed: CToml_Value

    fileprivate init(_ borrowed: CToml_Value) {
        self.borrowed = borrowed
    }

    var kind: Kind {
        switch borrowed.kind {
        case .table: .table
        case .array: .array
        case .string: .string
        case .integer: .integer
        case .float: .float
        case .boolean: .boolean
        case .dateTime: .dateTime
        }
    }

    /// Where it begins: a string's quote, an array's bracket, a table's header.
    var position: Diagnostic.Position { .init(borrowed.position) }

    /// The content of a boolean.
    var boolean: Bool? { kind == .boolean ? borrowed.integer != 0 : nil }

    /// The content of an integer.
    var integer: Int64? { kind == .integer ? borrowed.integer : nil }

    /// The content of a string; prefer ``withBytes(_:)`` where there may be many.
    var string: String? { kind == .string ? String(borrowed.string) : nil }

    /// Lends out a string's UTF-8; nothing of any other type.
    func withBytes<Result>(_ body: (Span<UInt8>) -> Result) -> Result? {
        guard kind == .string else { return nil }
        let text = borrowed.string
        return UnsafeRawBufferPointer(start: text.bytes, count: text.length).withMemoryRebound(to: UInt8.self)
        {
            body($0.span)
        }
    }

    /// The number of elements of an array or entries of a table.
    var count: Int { kind == .array || kind == .table ? borrowed.count : 0 }

    /// An array's element, in constant time.
    subscript(index: Int) -> TomlValue {
        precondition(kind == .array && index >= 0 && index < count)
        return TomlValue(CToml_element(borrowed, index))
    }

    /// An array's elements, or any other value as the only item.
    var itemCount: Int { kind == .array ? borrowed.count : 1 }

    /// An item, see ``itemCount``.
    func item(_ index: Int) -> TomlValue {
        kind == .array ? self[index] : self
    }

    /// A table's entries in the order of their keys in the text.
    var entries: [TomlEntry] {
        precondition(kind == .table)
        let entries = [CToml_Entry](unsafeUninitializedCapacity: count) { buffer, initialized in
            guard let start = buffer.baseAddress, count > 0 else { return }
            CToml_entries(borrowed, start)
            initialized = count
        }
        return
            entries
            .map { TomlEntry(key: String($0.key), position: .init($0.position), value: TomlValue($0.value)) }
            .sorted { $0.position < $1.position }
    }
}

/// A table's key and its value.
struct TomlEntry {
    let key: String
    /// Where the key is.
    let position: Diagnostic.Position
    let value: TomlValue
}

extension Diagnostic.Position {
    fileprivate init(_ position: CToml_Position) {
        self.init(line: Int(position.line), column: Int(position.column))
    }
}

extension String {
    fileprivate init(_ text: CToml_Text) {
        self.init(decoding: UnsafeRawBufferPointer(start: text.bytes, count: text.length), as: UTF8.self)
    }
}
