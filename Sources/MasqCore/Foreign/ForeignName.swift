// SPDX-License-Identifier: GPL-3.0-or-later

/// The name of somebody else's table or chain: any bytes but NUL, compared as bytes.
///
/// nf_tables takes whatever it is given, UTF-8 or not, and a text would not do: two texts are equal that are written with
/// different bytes (a letter with an accent, or a letter and an accent), and bytes that are no UTF-8 are lost in one.
public struct ForeignName: Hashable, Sendable {
    /// The bytes, without a NUL.
    public let bytes: [UInt8]

    /// Takes what the kernel calls something, as far as a NUL.
    public init(_ bytes: some Sequence<UInt8>) { self.bytes = Array(bytes.prefix { $0 != 0 }) }

    /// Takes a text's bytes.
    public init(_ text: String) { self.init(text.utf8) }

    /// Whether it begins with these bytes.
    func hasPrefix(_ text: String) -> Bool { bytes.starts(with: text.utf8) }

    /// The text, where the bytes are one.
    var text: String? { String(validating: bytes, as: UTF8.self) }

    /// Whether it may stand in a command as it is.
    var isPlainName: Bool { text?.isPlainName ?? false }

    /// For people: as it is where it is a plain name, else quoted, since it may be anything; bytes that are no UTF-8 are
    /// `\xFF`.
    var printable: String {
        guard let text else { return "\"\(String(printing: bytes))\"" }
        return text.isPlainName ? text : text.quoted
    }
}

extension ForeignName: ExpressibleByStringLiteral, CustomStringConvertible {
    /// Takes a text's bytes.
    public init(stringLiteral text: String) { self.init(text) }

    /// As people are shown it.
    public var description: String { printable }
}

extension ForeignName: Comparable {
    /// By the bytes.
    public static func < (one: ForeignName, other: ForeignName) -> Bool {
        one.bytes.lexicographicallyPrecedes(other.bytes)
    }
}
