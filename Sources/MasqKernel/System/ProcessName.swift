// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore

/// Who a process is, for people who want to know which program changed their ruleset.
public enum ProcessName {
    /// `nft (pid 4711, unit nftables.service)`; the unit only as long as the process lives.
    ///
    /// - Parameter name: the kernel's name for it, used as it is.
    public static func describe(process: UInt32, name: String) -> String {
        guard process != 0 else { return "somebody" }
        let unit = unit(of: process).map { ", unit \($0)" } ?? ""
        // TASK_COMM_LEN is 16.
        let shown = name.isEmpty ? "a process" : String(printing: name.utf8, limit: 16)
        return "\(shown) (pid \(process)\(unit))"
    }

    /// The systemd unit that a process's cgroup belongs to: the last component that ends like one.
    static func unit(of process: UInt32) -> String? {
        guard let file = fopen("/proc/\(process)/cgroup", "re") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 4096)
        var unit: String?
        while fgets(&line, CInt(line.count), file) != nil {
            let bytes = line.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }
            let components = String(decoding: bytes, as: UTF8.self).split(separator: "/")
            let found = components.last { $0.hasSuffix(".service") || $0.hasSuffix(".scope") }
            // As systemd writes it, with its own backslashes.
            unit = unit ?? found.map { String($0).printableLine.prefix(byteCount: 255) }
        }
        return unit
    }
}
