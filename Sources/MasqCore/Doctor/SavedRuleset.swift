// SPDX-License-Identifier: GPL-3.0-or-later

/// A file of nft's that is loaded at boot, as far as it is about the own table.
public struct SavedRuleset: Equatable, Sendable {
    /// Where it was read.
    public var path: String
    /// The lines of each `table inet masqd { … }`, from 1, both ends included.
    public var copies: [ClosedRange<Int>]

    /// Makes one.
    public init(path: String, copies: [ClosedRange<Int>]) {
        self.path = path
        self.copies = copies
    }

    /// Looks for the own table in a text in nft's syntax.
    ///
    /// Comments and what stands in quotes are no words. A copy that the file never closes ends with the file.
    public init(path: String, text: String) {
        var reader = Reader()
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            reader.read(line, number: number + 1)
        }
        reader.finish()
        self.init(path: path, copies: reader.copies)
    }

    /// Goes through a text word by word.
    private struct Reader {
        private(set) var copies: [ClosedRange<Int>] = []
        private var lastWords: [String] = []
        private var depth = 0
        private var start: Int?
        private var lastLine = 1

        mutating func read(_ line: Substring, number: Int) {
            lastLine = number
            var word = ""
            var isQuoted = false
            for character in line {
                if isQuoted {
                    isQuoted = character != "\""
                    continue
                }
                switch character {
                case "#":
                    end(&word, at: number)
                    return
                case "\"": isQuoted = true
                case "{":
                    end(&word, at: number)
                    open(at: number)
                case "}":
                    end(&word, at: number)
                    close(at: number)
                case ";", " ", "\t", "\r": end(&word, at: number)
                default: word.append(character)
                }
            }
            end(&word, at: number)
        }

        mutating func finish() {
            if let start { copies.append(start...lastLine) }
        }

        private var tableLine = 1

        private mutating func end(_ word: inout String, at line: Int) {
            guard !word.isEmpty else { return }
            if word == "table" { tableLine = line }
            lastWords = lastWords.suffix(2) + [word]
            word = ""
        }

        private mutating func open(at line: Int) {
            if depth == 0, lastWords == ["table", "inet", Ruleset.tableName] { start = tableLine }
            lastWords = []
            depth += 1
        }

        private mutating func close(at line: Int) {
            depth -= 1
            guard depth <= 0 else { return }
            depth = 0
            lastWords = []
            if let start { copies.append(start...line) }
            start = nil
        }
    }
}
