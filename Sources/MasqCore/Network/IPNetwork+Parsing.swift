// SPDX-License-Identifier: GPL-3.0-or-later

/// What is wrong with a text that should be a network.
public enum IPNetworkSyntaxError: Error, Equatable, Sendable {
    /// Neither an IPv4 nor an IPv6 address before the prefix length.
    case notANetwork
    /// An IPv4 address with fewer than four octets; the network that was probably meant.
    case missingOctets(IPNetwork)
    /// An octet or a prefix length begins with a zero.
    case leadingZero
    /// An octet over 255.
    case octetTooLarge
    /// A scoped address, `fe80::1%eth0`.
    case zone
    /// Two addresses with a hyphen between them.
    case addressRange
    /// A space or a tab.
    case whitespace
    /// The prefix length is missing, not a number, or too large for the family.
    case prefixLength(AddressFamily)
    /// A netmask in place of the prefix length; the network that it means.
    case netmask(IPNetwork)
    /// An address in place of the prefix length that no prefix length equals.
    case notANetmask
    /// The address has bits set behind the prefix.
    case hostBits(IPAddress, prefixLength: Int)
}

extension IPNetworkSyntaxError: CustomStringConvertible {
    /// The rest of a sentence that began with the quoted text and a colon.
    public var description: String {
        switch self {
        case .notANetwork:
            "not an IPv4 or IPv6 network"
        case .missingOctets(let network):
            "an IPv4 address has four octets, did you mean \"\(network)\"?"
        case .leadingZero:
            "leading zeros are not allowed, since some programs read them as octal"
        case .octetTooLarge:
            "an octet of an IPv4 address must be 0 to 255"
        case .zone:
            "a network has no zone, write the interface in out_interface"
        case .addressRange:
            "a range of addresses is not a network, write the networks that it consists of"
        case .whitespace:
            "a network can't contain spaces"
        case .prefixLength(let family):
            "prefix length must be 0 to \(family.bitCount)"
        case .netmask(let network):
            "write the prefix length in place of the netmask: \"\(network)\""
        case .notANetmask:
            "neither a prefix length nor a netmask behind the slash"
        case .hostBits(let address, let prefixLength):
            """
            host bits set, did you mean "\(IPNetwork(containing: address, prefixLength: prefixLength))", \
            or "\(address)/\(address.family.bitCount)"?
            """
        }
    }
}

extension IPNetwork {
    /// Reads CIDR notation; an address without a prefix length means that address alone.
    public init(_ text: String) throws(IPNetworkSyntaxError) {
        try self.init(text.utf8.span)
    }

    /// Reads CIDR notation from UTF-8, without allocating where it is right.
    public init(_ text: Span<UInt8>) throws(IPNetworkSyntaxError) {
        let slash = text.indices.last { text[$0] == UInt8(ascii: "/") }
        guard let address = IPAddress(text.extracting(0..<(slash ?? text.count))) else {
            throw Self.whatIsWrong(with: text)
        }
        var prefixLength = address.family.bitCount
        if let slash {
            let behind = text.extracting((slash + 1)..<text.count)
            guard let length = Self.prefixLength(behind, family: address.family) else {
                throw Self.whatIsWrong(withPrefixLength: behind, of: address)
            }
            prefixLength = length
        }
        self.init(containing: address, prefixLength: prefixLength)
        guard self.address == address else { throw .hostBits(address, prefixLength: prefixLength) }
    }

    private static func prefixLength(_ text: Span<UInt8>, family: AddressFamily) -> Int? {
        guard (1...3).contains(text.count) else { return nil }
        var value = 0
        for index in text.indices {
            guard let digit = text[index].decimalDigit, index == 0 || value > 0 else { return nil }
            value = value * 10 + Int(digit)
        }
        return value <= family.bitCount ? value : nil
    }

    private static func whatIsWrong(
        withPrefixLength text: Span<UInt8>, of address: IPAddress
    ) -> IPNetworkSyntaxError {
        if let mask = IPAddress(text) {
            guard mask.family == address.family else { return .notANetmask }
            let length = (0...mask.family.bitCount).first {
                hostMask(of: mask.family, prefixLength: $0) ^ mask.family.maximum == mask.value
            }
            guard let length else { return .notANetmask }
            return .netmask(IPNetwork(containing: address, prefixLength: length))
        }
        if text.indices.contains(where: { isWhitespace(text[$0]) }) { return .whitespace }
        let isLeadingZero =
            text.count > 1 && text[0] == UInt8(ascii: "0")
            && text.indices.allSatisfy { text[$0].decimalDigit != nil }
        return isLeadingZero ? .leadingZero : .prefixLength(address.family)
    }

    private static func whatIsWrong(with text: Span<UInt8>) -> IPNetworkSyntaxError {
        // No right notation is longer; a text of megabytes is not worth a closer look.
        guard text.count <= 100 else { return .notANetwork }
        let bytes = text.indices.map { text[$0] }
        if bytes.contains(where: isWhitespace) { return .whitespace }
        if bytes.contains(UInt8(ascii: "%")) { return .zone }
        if isAddressRange(bytes) { return .addressRange }
        let parts = bytes.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        let octets = parts[0].split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count <= 2, octets.count <= 4, octets.allSatisfy(isDecimalNumber) else {
            return .notANetwork
        }
        if octets.contains(where: { $0.count > 1 && $0.first == UInt8(ascii: "0") }) { return .leadingZero }
        let values = octets.map { $0.reduce(0) { $0 * 10 + UInt128($1.decimalDigit ?? 0) } }
        if values.contains(where: { $0 > 255 }) { return .octetTooLarge }
        // Without a prefix length one number alone may be anything.
        guard values.count < 4, values.count > 1 || parts.count == 2 else { return .notANetwork }
        let value = (values + [0, 0, 0]).prefix(4).reduce(0) { $0 << 8 | $1 }
        let length = parts.count == 2 ? prefixLength(parts[1]) : 8 * values.count
        guard let length else { return .prefixLength(.ipv4) }
        return .missingOctets(
            IPNetwork(containing: IPAddress(family: .ipv4, value: value), prefixLength: length))
    }

    private static func prefixLength(_ bytes: ArraySlice<UInt8>) -> Int? {
        Int(String(decoding: bytes, as: UTF8.self)).flatMap { (0...32).contains($0) ? $0 : nil }
    }

    private static func isWhitespace(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t")
    }

    private static func isDecimalNumber(_ bytes: ArraySlice<UInt8>) -> Bool {
        (1...9).contains(bytes.count) && bytes.allSatisfy { $0.decimalDigit != nil }
    }

    private static func isAddressRange(_ bytes: [UInt8]) -> Bool {
        let ends = bytes.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        return ends.count == 2 && ends.allSatisfy { IPAddress(String(decoding: $0, as: UTF8.self)) != nil }
    }
}
