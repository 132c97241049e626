// SPDX-License-Identifier: GPL-3.0-or-later

extension ConfigurationReader {
    /// Reads `[log]`.
    mutating func dropLog(_ table: TomlValue) -> DropLog {
        var log = DropLog()
        for entry in table.entries {
            switch entry.key {
            case "drops":
                log.drops = choice(entry) ?? log.drops
                log.line = entry.position.line
            case "group":
                log.group = integer(entry, in: 0...Int64(UInt16.max)).map { UInt16($0) } ?? log.group
            case "prefix": log.prefix = logPrefix(entry) ?? log.prefix
            case "rate": log.rate = rate(entry) ?? log.rate
            default: reportUnknown(entry, in: .log)
            }
        }
        if log.line == nil, !table.entries.isEmpty {
            diagnostics.add(
                .warning, at: place(table.position),
                "[log] without \"drops\", which says who is told: nothing is logged")
        }
        return log
    }

    /// A text that the kernel, a line of a log and nft's quotes can hold.
    private mutating func logPrefix(_ entry: TomlEntry) -> String? {
        guard let text = entry.value.string else {
            reportWrongType(entry.value, of: entry.key, expected: "a string, \"masqd drop: \"")
            return nil
        }
        // nft takes a dollar for the begin of a variable's name, and has no escapes.
        let isPlain = text.unicodeScalars.allSatisfy {
            (" "..."~").contains($0) && $0 != "\"" && $0 != "\\" && $0 != "$"
        }
        let problem: String
        if !isPlain {
            problem = "expected printable ASCII without quotes, backslashes and dollar signs"
        } else if text.utf8.count > DropLog.maximumPrefixLength {
            problem = "has \(text.utf8.count) bytes, a prefix has at most \(DropLog.maximumPrefixLength)"
        } else {
            return text
        }
        diagnostics.add(
            .error, at: place(entry.value.position), "\(entry.key.quoted): \(text.quoted): \(problem)")
        return nil
    }
}
