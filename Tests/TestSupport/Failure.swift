// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc

/// Why the scenery of a test could not be built, or what did not happen in time.
public struct Failure: Error, CustomStringConvertible {
    /// One sentence, or a sentence and the output of what failed.
    public let description: String
    /// The errno of the system call that failed; nil where there was none.
    public let code: CInt?

    /// A failure in plain words.
    public init(_ description: String) {
        self.description = description
        code = nil
    }

    /// A failed system call: `what` and the text of `code`, an errno.
    public init(_ what: String, code: CInt) {
        description = "\(what): \(String(cString: strerror(code)))"
        self.code = code
    }
}

extension Failure {
    /// Whether a question stayed without an answer, for whatever reason of the network's: not in time, refused, no way there.
    public var isSilence: Bool {
        guard let code else { return false }
        return [ETIMEDOUT, ECONNREFUSED, ECONNRESET, EHOSTUNREACH, ENETUNREACH, EACCES].contains(code)
    }
}

/// The answer, or nothing where the network gave none; whatever else goes wrong is thrown.
public func answer<Answer>(_ question: () throws -> Answer) throws -> Answer? {
    do {
        return try question()
    } catch let failure as Failure where failure.isSilence {
        return nil
    }
}

/// Throws the text of `errno` unless `result` is 0 or more.
@discardableResult
func check<Result: BinaryInteger>(_ result: Result, _ what: @autoclosure () -> String) throws -> Result {
    let code = errno
    guard result >= 0 else { throw Failure(what(), code: code) }
    return result
}
