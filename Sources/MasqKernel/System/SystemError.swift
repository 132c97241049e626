// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc

/// A system call that failed: what was attempted, on what, and the errno.
public struct SystemError: Error, Equatable {
    /// What was attempted, as a verb: `read`.
    public let attempt: String
    /// The file or the object.
    public let object: String
    /// The errno, positive.
    public let code: CInt

    /// Makes an error; without a code, of the present `errno`, which must be read at once.
    public init(_ attempt: String, _ object: String, code: CInt = errno) {
        self.attempt = attempt
        self.object = object
        self.code = code
    }
}

extension SystemError: CustomStringConvertible {
    /// `can't read "/etc/masqd.toml": Permission denied`.
    public var description: String { "can't \(attempt) \(object): \(String(cString: strerror(code)))" }
}
