// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc

/// What another process may do, from /proc.
enum ProcessPrivilege {
    /// Whether we may know what another process may do; without privileges one knows that of one's own only.
    static func isVisible(_ process: Int32) -> Bool {
        var status = stat()
        return stat("/proc/\(process)/ns/user", &status) == 0
    }

    /// Whether a process has CAP_NET_ADMIN in our own user namespace, and so could be a masqd under any user.
    ///
    /// Nothing is known of a process that hides or has ended: then it has not.
    static func isNetworkAdministrator(_ process: Int32) -> Bool {
        // In a user namespace of his own anybody has every capability.
        var own = stat()
        var other = stat()
        guard stat("/proc/self/ns/user", &own) == 0, stat("/proc/\(process)/ns/user", &other) == 0,
            own.st_ino == other.st_ino, own.st_dev == other.st_dev
        else { return false }
        guard let file = fopen("/proc/\(process)/status", "re") else { return false }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 512)
        while fgets(&line, CInt(line.count), file) != nil {
            let bytes = line.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }
            let words = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace)
            guard words.count == 2, words[0] == "CapEff:", let set = UInt64(words[1], radix: 16) else {
                continue
            }
            return set & 1 << 12 != 0  // CAP_NET_ADMIN in linux/capability.h
        }
        return false
    }
}
