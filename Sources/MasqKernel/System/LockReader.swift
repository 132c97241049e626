// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore

/// Finds out from /proc who has the lock of the calling thread's network namespace.
///
/// Root sees who has the group. Everybody sees the netlink sockets, and which of them bears the lock's mark; whose they
/// are only root may see, but the lock's port is its process's pid where nobody has taken that port.
struct LockReader {
    let group: UInt16
    let markGroup: UInt32

    private static let folder = "/proc/thread-self/net"

    /// One line of /proc/net/netlink.
    private struct Socket {
        var port: UInt32
        var inode: String
    }

    func holder() -> LockHolder? {
        let marked = markedSockets()
        if let port = portOfGroup() {
            let socket = marked.first { $0.port == port } ?? Socket(port: port, inode: "")
            return holder(socket, ofProcess: process(of: socket))
        }
        // The file is there for root alone, and with the module. Without either the mark is all that there is to see.
        for socket in marked {
            // `nft monitor trace` bears the mark too.
            guard let process = process(of: socket), Self.name(of: process) == "masqd" else { continue }
            return holder(socket, ofProcess: process)
        }
        return nil
    }

    private func holder(_ socket: Socket, ofProcess process: Int32?) -> LockHolder {
        LockHolder(process: process, unit: process.flatMap { ProcessName.unit(of: UInt32($0)) })
    }

    /// The port that the group belongs to; `seq_show` in nfnetlink_log.c begins with the group and the port.
    private func portOfGroup() -> UInt32? {
        for line in Self.lines("\(Self.folder)/netfilter/nfnetlink_log") {
            let words = line.split(whereSeparator: \.isWhitespace)
            if words.count > 1, UInt16(words[0]) == group { return UInt32(words[1]) }
        }
        return nil
    }

    /// sk, Eth, Pid, Groups, Rmem, Wmem, Dump, Locks, Drops, Inode (`netlink_native_seq_show` in af_netlink.c).
    private func markedSockets() -> [Socket] {
        Self.lines("\(Self.folder)/netlink").compactMap { line in
            let words = line.split(whereSeparator: \.isWhitespace)
            guard words.count >= 10, words[1] == "12",  // NETLINK_NETFILTER
                let port = UInt32(words[2]), let groups = UInt32(words[3], radix: 16),
                groups & 1 << (markGroup - 1) != 0
            else { return nil }
            return Socket(port: port, inode: String(words[9]))
        }
    }

    /// The process that a socket belongs to, where it can be known.
    private func process(of socket: Socket) -> Int32? {
        if let likely = Int32(exactly: socket.port), likely > 0 {
            switch Self.has(likely, socket.inode) {
            case true?: return likely
            case nil where Self.name(of: likely) == "masqd": return likely
            default: break
            }
        }
        guard getuid() == 0, let folder = opendir("/proc") else { return nil }
        defer { closedir(folder) }
        while let entry = readdir(folder) {
            if let process = Int32(Self.name(of: entry)), Self.has(process, socket.inode) == true {
                return process
            }
        }
        return nil
    }

    /// Whether a process has a socket open; nothing where it can't be seen.
    private static func has(_ process: Int32, _ inode: String) -> Bool? {
        guard let folder = opendir("/proc/\(process)/fd") else { return nil }
        defer { closedir(folder) }
        var target = [CChar](repeating: 0, count: 64)
        while let entry = readdir(folder) {
            let path = "/proc/\(process)/fd/\(name(of: entry))"
            let count = readlink(path, &target, target.count)
            guard count > 0 else { continue }
            let text = String(decoding: target.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if text == "socket:[\(inode)]" { return true }
        }
        return false
    }

    private static func name(of entry: UnsafeMutablePointer<dirent>) -> String {
        withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
    }

    private static func name(of process: Int32) -> String? { lines("/proc/\(process)/comm").first }

    /// The lines of a file of the kernel's; none where it can't be read.
    private static func lines(_ path: String) -> [String] {
        guard let file = fopen(path, "re") else { return [] }
        defer { fclose(file) }
        var lines: [String] = []
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, CInt(line.count), file) != nil {
            let bytes = line.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }
            lines.append(String(decoding: bytes, as: UTF8.self))
        }
        return lines
    }
}
