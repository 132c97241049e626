// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore

/// The PPPoE sessions of the calling thread's network namespace, which only /proc tells of.
enum PPPoESessions {
    /// The links that carry sessions; none where the kernel has no PPPoE.
    static func linkNames() -> [InterfaceName] {
        // pppoe_seq_show() in drivers/net/ppp/pppoe.c: "00000001 00:11:22:33:44:55     eth0", below a heading.
        guard let file = fopen("/proc/thread-self/net/pppoe", "re") else { return [] }
        defer { fclose(file) }
        var names: [InterfaceName] = []
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, CInt(line.count), file) != nil {
            let words = line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
                .split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }
            if words.count == 3, !words[0].elementsEqual("Id".utf8) { names.append(InterfaceName(words[2])) }
        }
        return names
    }
}
