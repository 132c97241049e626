// SPDX-License-Identifier: GPL-3.0-or-later

extension ConfigurationReader {
    /// Reads `[clients]`, whose limits are the clients' only, or `[destinations]`.
    mutating func accessList(
        _ table: TomlValue, in section: Section, _ limits: inout ClientLimits
    ) -> AccessList {
        var list = AccessList()
        list.line = table.position.line
        var blocked: [IPNetwork] = []
        var allowed: [IPNetwork]?
        for entry in table.entries {
            switch entry.key {
            case "blocked": blocked += listedNetworks(entry)
            case "blocked_file": blocked += networksInFiles(entry)
            case "allowed":
                allowed = (allowed ?? []) + listedNetworks(entry, emptyHint: "\"allowed\" is empty, ")
            case "allowed_file": allowed = (allowed ?? []) + networksInFiles(entry)
            case "max_connections" where section == .clients:
                limits.maximumConnections = integer(entry, in: 1...Int64(UInt32.max)).map(UInt32.init)
            case "new_connections" where section == .clients: limits.newConnections = rate(entry)
            case "max_clients" where section == .clients:
                limits.maximumClients =
                    integer(entry, in: 1...1_000_000).map(UInt32.init) ?? limits.maximumClients
            case "ipv6_prefix" where section == .clients:
                limits.ipv6PrefixLength = integer(entry, in: 1...128).map(Int.init) ?? limits.ipv6PrefixLength
            default: reportUnknown(entry, in: section)
            }
        }
        list.blocked = AccessList.Addresses(blocked)
        list.allowed = allowed.map { AccessList.Addresses($0) }
        return list
    }

    /// Reads `[accounting]`.
    mutating func accounting(_ table: TomlValue) -> Accounting {
        var accounting = Accounting()
        accounting.line = table.position.line
        for entry in table.entries {
            switch entry.key {
            case "blocks": accounting.blocks = boolean(entry) ?? false
            case "clients": accounting.clients = boolean(entry) ?? false
            case "forwards": accounting.forwards = boolean(entry) ?? false
            case "max_clients":
                accounting.maximumClients =
                    integer(entry, in: 1...1_000_000).map(UInt32.init) ?? accounting.maximumClients
            default: reportUnknown(entry, in: .accounting)
            }
        }
        return accounting
    }

    /// A rate, `50/second`, or with a burst, `50/second burst 100`; without one it is the rate's own number.
    mutating func rate(_ entry: TomlEntry) -> Rate? {
        guard let text = entry.value.string else {
            reportWrongType(entry.value, of: entry.key, expected: "a rate, \"50/second\"")
            return nil
        }
        let words = text.split(separator: " ", omittingEmptySubsequences: true)
        let parts = words.first?.split(separator: "/", omittingEmptySubsequences: false) ?? []
        if words.count == 1 || words.count == 3 && words[1] == "burst", parts.count == 2,
            let count = Self.count(parts[0]), let unit = Rate.Unit(rawValue: String(parts[1])),
            let burst = words.count == 3 ? Self.count(words[2]) : count
        {
            let rate = Rate(count, unit, burst: burst)
            if rate.recovery <= Rate.maximumRecovery { return rate }
            let days = (rate.recovery + 86399) / 86400
            diagnostics.add(
                .error, at: place(entry.value.position),
                "\(entry.key.quoted): \(text.quoted): a burst of \(burst) takes \(days) days to be possible again, "
                    + "the most is \(Rate.maximumRecovery / 86400)")
            return nil
        }
        diagnostics.add(
            .error, at: place(entry.value.position),
            "\(entry.key.quoted): \(text.quoted): expected a rate, \"50/second\" or \"50/second burst 100\", "
                + "in \(Suggestion.list(Rate.Unit.allCases.map(\.rawValue)))")
        return nil
    }

    private static func count(_ digits: Substring) -> UInt32? {
        guard digits.utf8.allSatisfy({ $0.decimalDigit != nil }), let count = UInt32(digits), count > 0
        else { return nil }
        return count
    }

    private mutating func listedNetworks(_ entry: TomlEntry, emptyHint: String? = nil) -> [IPNetwork] {
        strings(entry).flatMap { networks($0, emptyHint: emptyHint) }?.merged ?? []
    }

    /// Reads files with a network on each line, one file or an array of them.
    private mutating func networksInFiles(_ entry: TomlEntry) -> [IPNetwork] {
        guard let names = strings(entry) else { return [] }
        var networks: [IPNetwork] = []
        for index in 0..<names.count {
            guard let name = names.string(at: index) else { continue }
            let file = Self.path(of: name, besides: path)
            var diagnostics = diagnostics
            let failure = files(file) { text in
                networks += NetworkFile.networks(in: text, path: file, &diagnostics)
            }
            self.diagnostics = diagnostics
            if let failure { self.diagnostics.add(.error, at: names.place(of: index), failure) }
        }
        return networks
    }

    /// A relative path is one in the configuration's own folder.
    private static func path(of name: String, besides configuration: String) -> String {
        guard !name.hasPrefix("/"), let slash = configuration.utf8.lastIndex(of: UInt8(ascii: "/")) else {
            return name
        }
        return configuration[...slash] + name
    }
}

/// A file with a network on each line; what follows a `#` is a comment.
enum NetworkFile {
    /// Reads the networks, and reports every line that has something else.
    static func networks(
        in text: Span<UInt8>, path: String, _ diagnostics: inout DiagnosticList
    ) -> [IPNetwork] {
        var networks: [IPNetwork] = []
        var (line, start) = (1, 0)
        var refused = 0
        // A file that is no list at all may have millions of such lines, and more than the first are not shown anyway.
        while start < text.count, refused <= DiagnosticList.limit {
            var end = start
            while end < text.count, text[end] != UInt8(ascii: "\n") { end += 1 }
            var (first, last) = (start, start)
            while last < end, text[last] != UInt8(ascii: "#") { last += 1 }
            while first < last, isSpace(text[first]) { first += 1 }
            while last > first, isSpace(text[last - 1]) { last -= 1 }
            if first < last {
                let word = text.extracting(first..<last)
                do throws(IPNetworkSyntaxError) {
                    networks.append(try IPNetwork(word))
                } catch {
                    let place = Place(origin: path, position: .init(line: line, column: first - start + 1))
                    diagnostics.add(.error, at: place, Self.message(error, about: word))
                    refused += 1
                }
            }
            (line, start) = (line + 1, end + 1)
        }
        return networks
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || byte == UInt8(ascii: "\r")
    }

    /// Says what is wrong, and shows only what somebody meant as an address.
    ///
    /// Whoever may write a list need not be root, and may make it a link to a file that only root can read: nothing of
    /// that belongs into the log.
    private static func message(_ error: IPNetworkSyntaxError, about word: Span<UInt8>) -> String {
        guard isMeantAsAddress(word) else {
            return "expected a network on each line, as 192.0.2.0/24, and a comment only behind \"#\""
        }
        let text = word.withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) }
        return "\(text.quoted): \(error)"
    }

    /// Whether it has the characters of an address, a dot or a colon among them, and no more than the longest one.
    private static func isMeantAsAddress(_ word: Span<UInt8>) -> Bool {
        // "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128"
        guard word.count <= 49 else { return false }
        var hasSeparator = false
        for index in word.indices {
            switch word[index] {
            case UInt8(ascii: "."), UInt8(ascii: ":"): hasSeparator = true
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
                UInt8(ascii: "A")...UInt8(ascii: "F"), UInt8(ascii: "/"):
                break
            default: return false
            }
        }
        return hasSeparator
    }
}
