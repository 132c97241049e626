// SPDX-License-Identifier: GPL-3.0-or-later

/// What is wrong with a text that should name an interface.
public enum InterfacePatternSyntaxError: Error, Equatable, Sendable {
    case empty
    /// Longer than the kernel's names, with its length in bytes.
    case tooLong(byteCount: Int)
    /// `.` or `..`, which the kernel refuses.
    case dots
    /// A slash or a colon, which the kernel refuses.
    case separator(Character)
    /// A space, a control character, or byte 0xA0, which the kernel counts as a space.
    case whitespace
    /// A double quote or a backslash, which nft can't write.
    case quote(Character)
    /// A character that is not seen, or changes how others are seen.
    case invisible(Unicode.Scalar)
    /// An asterisk that is not the last character.
    case innerAsterisk
    /// An asterisk alone.
    case everyInterface
    /// iptables' wildcard; the pattern that was meant.
    case plus(String)
}

extension InterfacePatternSyntaxError: CustomStringConvertible {
    /// The rest of a sentence that began with the quoted text and a colon.
    public var description: String {
        switch self {
        case .empty: "an interface name can't be empty"
        case .tooLong(let byteCount): "has \(byteCount) bytes, an interface name has at most 15"
        case .dots: "not a name that an interface can have"
        case .separator(let character): "an interface name can't contain \"\(character)\""
        case .whitespace: "an interface name can't contain spaces or control characters"
        case .quote(let character): "masqd does not support an interface name that contains \(character)"
        case .invisible(let scalar):
            """
            masqd does not support an interface name that contains U+\(String(scalar.value, radix: 16, uppercase: true)), \
            which is not seen
            """
        case .innerAsterisk: "\"*\" may only be the last character"
        case .everyInterface:
            "would masquerade into the private network too, name the interfaces of the uplink"
        case .plus(let pattern):
            "the wildcard is \"*\" here, not iptables' \"+\", did you mean \"\(pattern)\"?"
        }
    }
}

extension InterfacePattern {
    /// Reads a name, or a beginning with an asterisk behind it.
    ///
    /// The rules are those of `dev_valid_name` in net/core/dev.c, and of what nft's syntax can write.
    public init(_ text: String) throws(InterfacePatternSyntaxError) {
        let bytes = text.utf8
        guard !bytes.isEmpty else { throw .empty }
        if text == "." || text == ".." { throw .dots }
        for scalar in text.unicodeScalars {
            switch scalar {
            case "/", ":": throw .separator(Character(scalar))
            case "\"", "\\": throw .quote(Character(scalar))
            case "\0"..." ", "\u{7F}": throw .whitespace
            default:
                // Of such a character people would see something else than what is there, in nft's listing too.
                guard scalar.isPrintable(isFirst: scalar == text.unicodeScalars.first) else {
                    throw .invisible(scalar)
                }
            }
        }
        if bytes.contains(0xA0) { throw .whitespace }
        // IFNAMSIZ is 16 with the terminating NUL, and nft gives the asterisk a byte of it.
        guard bytes.count <= 15 else { throw .tooLong(byteCount: bytes.count) }
        if text == "*" || text == "+" { throw .everyInterface }
        // By bytes: a combining character behind the asterisk would make another Character of it.
        if bytes.dropLast().contains(UInt8(ascii: "*")) { throw .innerAsterisk }
        let beginning = String(decoding: bytes.dropLast(), as: UTF8.self)
        switch bytes.last {
        case UInt8(ascii: "*"): self = .prefix(InterfaceName(beginning))
        case UInt8(ascii: "+"): throw .plus(beginning + "*")
        default: self = .name(InterfaceName(text))
        }
    }
}
