// SPDX-License-Identifier: GPL-3.0-or-later

/// Collects diagnostics in any order and gives back the first ones in the file's order.
///
/// However many there are, it keeps no more than ``limit`` errors and as many warnings.
struct DiagnosticList {
    /// How many are listed; those beyond are only counted.
    static let limit = 100

    private var errors = Bounded()
    private var warnings = Bounded()

    /// Whether there was an error.
    var hasErrors: Bool { errors.total > 0 }

    /// Takes in one; the message is only made if the diagnostic is among the first.
    mutating func add(
        _ severity: Diagnostic.Severity, at place: Place, _ message: @autoclosure () -> String
    ) {
        let make = {
            Diagnostic(severity, origin: place.origin, position: place.position, message: message())
        }
        switch severity {
        case .error: errors.add(at: place.position, make)
        case .warning: warnings.add(at: place.position, make)
        }
    }

    /// The first ones in the file's order, errors preferred, and last how many there are more.
    func diagnostics(origin: String) -> [Diagnostic] {
        let shownErrors = errors.first
        let shownWarnings = warnings.first.prefix(Self.limit - shownErrors.count)
        var all = shownErrors + shownWarnings
        all.sort { Self.precedes($0.position, $1.position) }
        let more: [(Diagnostic.Severity, Int)] = [
            (.error, errors.total - shownErrors.count), (.warning, warnings.total - shownWarnings.count),
        ]
        for (severity, count) in more where count > 0 {
            let noun = severity.rawValue + (count == 1 ? "" : "s")
            all.append(
                Diagnostic(severity, origin: origin, position: nil, message: "… and \(count) more \(noun)"))
        }
        return all
    }

    /// Without a position, as on the command line, they keep the order in which they were found.
    fileprivate static func precedes(_ left: Diagnostic.Position?, _ right: Diagnostic.Position?) -> Bool {
        guard let left, let right else { return left == nil && right != nil }
        return left < right
    }
}

/// The first diagnostics of one severity, sorted, and the number of all.
private struct Bounded {
    private(set) var first: [Diagnostic] = []
    private(set) var total = 0

    mutating func add(at position: Diagnostic.Position?, _ make: () -> Diagnostic) {
        total += 1
        if first.count == DiagnosticList.limit {
            guard let last = first.last, DiagnosticList.precedes(position, last.position) else { return }
            first.removeLast()
        }
        // Behind its equals; most come in order, so the search from the end is short.
        let index = first.lastIndex { !DiagnosticList.precedes(position, $0.position) }
        first.insert(make(), at: index.map { $0 + 1 } ?? 0)
    }
}

/// Where something is: a file's place, or an option of the command line.
struct Place {
    /// The file's path as it was given, or the option's name.
    let origin: String
    /// Absent on the command line.
    let position: Diagnostic.Position?

    /// Whether it is before another place of the same file.
    func precedes(_ other: Place) -> Bool { DiagnosticList.precedes(position, other.position) }
}
