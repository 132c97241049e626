// SPDX-License-Identifier: GPL-3.0-or-later

/// Something to tell the administrator about a configuration: what is wrong, where, and what was expected.
public struct Diagnostic: Error, Equatable, Sendable {
    /// How bad it is.
    public enum Severity: String, Sendable {
        /// The configuration can't be used.
        case error
        /// It can be used, but something in it is probably not meant.
        case warning
    }

    /// A place in a file; both count from 1, columns in code points.
    public struct Position: Equatable, Comparable, Sendable {
        /// The line, from 1.
        public let line: Int
        /// The column in code points, from 1.
        public let column: Int

        /// Makes a position.
        public init(line: Int, column: Int) {
            self.line = line
            self.column = column
        }

        /// The order of reading.
        public static func < (left: Position, right: Position) -> Bool {
            (left.line, left.column) < (right.line, right.column)
        }
    }

    /// How bad it is.
    public let severity: Severity
    /// The file, or the command line's option.
    public let origin: String
    /// Where in the file; absent for the command line and for a file that could not be read.
    public let position: Position?
    /// One line without a full stop; what comes from the file is quoted.
    public let message: String

    /// Makes a diagnostic.
    public init(_ severity: Severity, origin: String, position: Position?, message: String) {
        self.severity = severity
        self.origin = origin
        self.position = position
        self.message = message
    }
}

extension Diagnostic: CustomStringConvertible {
    /// `file:line:column: error: message`, the form that editors and compilers share.
    public var description: String {
        let place = position.map { ":\($0.line):\($0.column)" } ?? ""
        // A path may be anything too; and the file's text that is quoted in the message is escaped already.
        return "\(origin)\(place): \(severity.rawValue): \(message)".printableLine
    }
}
