// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc

/// Whether a read would not wait.
func isReadable(_ descriptor: CInt) -> Bool {
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&entry, 1, 0) == 1
}
