// SPDX-License-Identifier: GPL-3.0-or-later

/// What was probably meant by a word that is not one of those allowed.
enum Suggestion {
    /// The allowed word nearest to one that was written, if any is near.
    ///
    /// Near means at most one edit in three letters; case counts for nothing, and a hyphen is an underscore.
    static func nearest(to word: String, among allowed: [String]) -> String? {
        let letters = normalized(word)
        // Longer than any word we know: the distance can't be small, and a huge one must not cost anything.
        guard letters.count <= 40 else { return nil }
        var best: (word: String, distance: Int)?
        for candidate in allowed {
            let limit = max(1, min(candidate.utf8.count, letters.count) / 3)
            guard abs(candidate.utf8.count - letters.count) <= limit else { continue }
            let distance = distance(letters, normalized(candidate))
            if distance <= limit, distance < best?.distance ?? .max { best = (candidate, distance) }
        }
        return best?.word
    }

    /// `"a", "b" or "c"`.
    static func list(_ words: [String], _ conjunction: String = "or") -> String {
        enumeration(words.map(\.quoted), conjunction)
    }

    /// `a, b or c`.
    static func enumeration(_ words: [String], _ conjunction: String = "or") -> String {
        guard let last = words.last, words.count > 1 else { return words.joined() }
        return words.dropLast().joined(separator: ", ") + " \(conjunction) " + last
    }

    private static func normalized(_ word: String) -> [UInt8] {
        word.utf8.prefix(41).map { byte in
            switch byte {
            case UInt8(ascii: "-"): UInt8(ascii: "_")
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): byte + 0x20
            default: byte
            }
        }
    }

    /// How many letters must be inserted, deleted, replaced or swapped with their neighbour.
    private static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var beforePrevious: [Int] = []
        var previous = Array(0...right.count)
        for (row, letter) in left.enumerated() {
            var current = [row + 1]
            for (column, other) in right.enumerated() {
                var best = min(previous[column + 1], current[column]) + 1
                best = min(best, previous[column] + (letter == other ? 0 : 1))
                if row > 0, column > 0, letter == right[column - 1], left[row - 1] == other {
                    best = min(best, beforePrevious[column - 1] + 1)
                }
                current.append(best)
            }
            (beforePrevious, previous) = (previous, current)
        }
        return previous[right.count]
    }
}
