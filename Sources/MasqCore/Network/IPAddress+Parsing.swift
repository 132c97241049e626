// SPDX-License-Identifier: GPL-3.0-or-later

extension IPAddress {
    /// Reads dotted decimal or RFC 4291's notation, or nothing of anything else.
    ///
    /// Strict: four octets without leading zeros (which some programs take for octal), no zone, no brackets.
    public init?(_ text: String) {
        self.init(text.utf8.span)
    }

    /// Reads an address from UTF-8, without allocating.
    public init?(_ text: Span<UInt8>) {
        if let value = Self.ipv4(text) {
            self.init(family: .ipv4, value: UInt128(value))
        } else if let value = Self.ipv6(text) {
            self.init(family: .ipv6, value: value)
        } else {
            return nil
        }
    }

    private static func ipv4(_ text: Span<UInt8>) -> UInt32? {
        guard (7...15).contains(text.count) else { return nil }
        var value: UInt32 = 0
        var octet: UInt32 = 0
        var digits = 0
        var dots = 0
        for index in text.indices {
            let byte = text[index]
            if let digit = byte.decimalDigit {
                guard digits == 0 || octet > 0 else { return nil }
                octet = octet * 10 + UInt32(digit)
                digits += 1
                guard octet <= 255 else { return nil }
            } else {
                guard byte == UInt8(ascii: "."), digits > 0, dots < 3 else { return nil }
                value = value << 8 | octet
                (octet, digits) = (0, 0)
                dots += 1
            }
        }
        return dots == 3 && digits > 0 ? value << 8 | octet : nil
    }

    private static func ipv6(_ text: Span<UInt8>) -> UInt128? {
        let colon = UInt8(ascii: ":")
        // "0000:0000:0000:0000:0000:ffff:255.255.255.255" is the longest.
        guard (2...45).contains(text.count) else { return nil }
        var value: UInt128 = 0
        var groups = 0
        var groupsBeforeGap: Int?
        var index = 0
        if text[0] == colon {
            guard text[1] == colon else { return nil }
            groupsBeforeGap = 0
            index = 2
        }
        while index < text.count {
            let start = index
            var group: UInt128 = 0
            while index < text.count, let digit = text[index].hexadecimalDigit {
                group = group << 4 | UInt128(digit)
                index += 1
                guard index - start <= 4 else { return nil }
            }
            guard index > start else { return nil }
            if index < text.count, text[index] == UInt8(ascii: ".") {
                guard let embedded = ipv4(text.extracting(start..<text.count)) else { return nil }
                value = value << 32 | UInt128(embedded)
                groups += 2
                break
            }
            value = value << 16 | group
            groups += 1
            guard groups <= 8 else { return nil }
            if index == text.count { break }
            guard text[index] == colon, index + 1 < text.count else { return nil }
            index += 1
            if text[index] == colon {
                guard groupsBeforeGap == nil else { return nil }
                groupsBeforeGap = groups
                index += 1
            }
        }
        guard let groupsBeforeGap else { return groups == 8 ? value : nil }
        // RFC 4291, 2.2: "::" stands for one or more groups of zeros.
        guard groups <= 7 else { return nil }
        let bitsBehindGap = UInt128(16 * (groups - groupsBeforeGap))
        let behindGap = value & ((1 << bitsBehindGap) - 1)
        return (value >> bitsBehindGap) << UInt128(16 * (8 - groupsBeforeGap)) | behindGap
    }
}

extension UInt8 {
    /// The value of an ASCII digit.
    var decimalDigit: UInt8? {
        let value = self &- UInt8(ascii: "0")
        return value <= 9 ? value : nil
    }

    fileprivate var hexadecimalDigit: UInt8? {
        if let decimalDigit { return decimalDigit }
        // ASCII's small letters differ from the capitals in bit 5.
        let value = (self | 0x20) &- UInt8(ascii: "a")
        return value <= 5 ? value + 10 : nil
    }
}
