// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc

/// The sole owner of one file descriptor; closing is automatic.
struct Descriptor: ~Copyable {
    let number: CInt

    /// Takes what a system call returned.
    init(_ result: CInt, _ attempt: String, _ object: String) throws(SystemError) {
        guard result >= 0 else { throw SystemError(attempt, object) }
        number = result
    }

    deinit { close(number) }
}
