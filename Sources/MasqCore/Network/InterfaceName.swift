// SPDX-License-Identifier: GPL-3.0-or-later

/// The name of an interface as the kernel has it: 1 to 15 bytes, which need not be UTF-8.
///
/// Names are equal if their bytes are; two strings also are where only their composition of accents differs,
/// and all bytes that are no UTF-8 would become the same character in them.
public struct InterfaceName: Hashable, Sendable {
    /// The kernel's field of `IFNAMSIZ` bytes, the first one highest: filled up with zeros, so that order is
    /// the bytes' order.
    private let field: UInt128

    /// How many bytes a name has at most: `IFNAMSIZ` less the NUL behind it (linux/if.h).
    public static let maximumByteCount = 15

    /// Takes the bytes up to a NUL, and no more than a name has.
    public init(_ bytes: some Sequence<UInt8>) {
        var field: UInt128 = 0
        var shift = 120
        for byte in bytes {
            guard byte != 0, shift > 0 else { break }
            field |= UInt128(byte) << UInt128(shift)
            shift -= 8
        }
        self.field = field
    }

    /// The name that a text spells; what is beyond 15 bytes is left out.
    public init(_ text: String) { self.init(text.utf8) }

    /// The bytes, without NUL.
    public var bytes: [UInt8] {
        stride(from: 120, to: 0, by: -8).lazy.map { UInt8(truncatingIfNeeded: self.field >> UInt128($0)) }
            .prefix { $0 != 0 }
    }

    /// Whether the message that it was to be in had none.
    public var isEmpty: Bool { field == 0 }

    /// How many bytes it has.
    public var byteCount: Int { 16 - field.trailingZeroBitCount / 8 }

    /// Whether it begins with all the bytes of another.
    public func hasPrefix(_ other: InterfaceName) -> Bool {
        guard !other.isEmpty else { return true }
        return (field ^ other.field) >> UInt128((16 - other.byteCount) * 8) == 0
    }

    /// The name exactly, where it is UTF-8 that a terminal shows as it is: the only ones that nft's syntax is
    /// written with.
    public var exactText: String? {
        let text = description
        return text.utf8.elementsEqual(bytes) ? text : nil
    }

    /// The name as one word of a POSIX shell's command line, whatever its bytes are.
    public var shellWord: String { shellWord(from: "", to: "") }

    /// One word of a shell's command line with the name inside of it.
    func shellWord(from before: String, to after: String) -> String {
        if let exactText { return (before + exactText + after).shellWord }
        // printf takes three octal digits at most, so that a digit behind them is one of the name's own.
        let octal = bytes.map { byte in
            "\\" + [byte >> 6, byte >> 3 & 7, byte & 7].map { String($0) }.joined()
        }
        return "\"\(before)$(printf '\(octal.joined())')\(after)\""
    }
}

extension InterfaceName: Comparable {
    /// The order of the bytes.
    public static func < (left: InterfaceName, right: InterfaceName) -> Bool { left.field < right.field }
}

extension InterfaceName: ExpressibleByStringLiteral {
    /// The name that a literal spells.
    public init(stringLiteral text: StaticString) {
        self.init(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }
}

extension InterfaceName: CustomStringConvertible {
    /// The name as people are shown it; see `String.init(printing:limit:)`.
    public var description: String { String(printing: bytes) }
}
