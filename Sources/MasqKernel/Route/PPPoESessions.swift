// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc

/// The PPPoE sessions of the calling thread's network namespace, which only /proc tells of.
enum PPPoESessions {
    /// The links that carry sessions; none where the kernel has no PPPoE.
    static func linkNames() -> [String] {
        // pppoe_seq_show() in drivers/net/ppp/pppoe.c: "00000001 00:11:22:33:44:55     eth0", below a heading.
        guard let file = fopen("/proc/thread-self/net/pppoe", "re") else { return [] }
        defer { fclose(file) }
        var names: [String] = []
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, CInt(line.count), file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            let words = text.split { $0 == " " || $0 == "\n" }
            if words.count == 3, words[0] != "Id" { names.append(String(words[2])) }
        }
        return names
    }
}
