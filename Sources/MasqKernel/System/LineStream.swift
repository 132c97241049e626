// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// A descriptor that takes lines, whole and without anybody being waited for.
///
/// Whoever reads the other end may be slow, stopped or gone, and the file system full: none of it may hold up
/// a gateway. `O_NONBLOCK` belongs to the open file description, which a standard error shares with other
/// processes; it is never set there. A socket is told with each message not to wait. A pipe and a terminal
/// are opened a second time, which makes a description of masqd's own.
public struct LineStream: ~Copyable {
    /// The most bytes of a line, the newline included: so many a pipe takes in one piece or not at all
    /// (pipe(7)).
    ///
    /// `PIPE_BUF` in linux/limits.h.
    public static let maximumByteCount = 4096

    private let descriptor: CInt
    /// A description of its own, to be closed.
    private let isOwn: Bool
    private let kind: Kind
    /// The end of a line of which only the beginning was taken.
    private var unfinished: [UInt8] = []

    private enum Kind {
        case socket
        /// It does not wait, since it was opened so.
        case nonblocking
        /// A pipe or terminal that can't be opened a second time, as that of another user's.
        case shared
        /// A regular file, or a device that takes everything.
        case file
    }

    /// Takes a descriptor that stays the caller's, and stays open as long as this.
    public init(_ descriptor: CInt) {
        let kind = Self.kind(of: descriptor)
        // Without O_NOCTTY a terminal would become the controlling one.
        let flags = O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC
        let own = kind == .shared ? open("/proc/self/fd/\(descriptor)", flags) : -1
        self.init(
            descriptor: own >= 0 ? own : descriptor, isOwn: own >= 0, kind: own >= 0 ? .nonblocking : kind)
    }

    private init(descriptor: CInt, isOwn: Bool, kind: Kind) {
        self.descriptor = descriptor
        self.isOwn = isOwn
        self.kind = kind
    }

    deinit { if isOwn { close(descriptor) } }

    private static func kind(of descriptor: CInt) -> Kind {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return .file }
        switch status.st_mode & S_IFMT {
        case S_IFSOCK: return .socket
        case S_IFIFO: return .shared
        case S_IFCHR: return isatty(descriptor) == 1 ? .shared : .file
        default: return .file
        }
    }

    /// Writes one line and its newline, or nothing of it; one that is too long is cut.
    ///
    /// - Parameter text: without a newline.
    /// - Returns: whether it was taken. One that nobody can ever read, since the other end is closed, counts
    ///   as taken.
    public mutating func write(_ text: String) -> Bool {
        guard finish() else { return false }
        let line = Array(text.prefix(byteCount: Self.maximumByteCount - 1).utf8) + [UInt8(ascii: "\n")]
        let count = send(line)
        guard count > 0 else { return count == 0 }
        // A terminal, or the last bytes of a disk: the rest comes first the next time.
        unfinished = Array(line[count...])
        return true
    }

    /// Writes the rest of the line before, if there is one; says whether it is whole now.
    private mutating func finish() -> Bool {
        guard !unfinished.isEmpty else { return true }
        let count = send(unfinished)
        guard count >= 0 else { return false }
        unfinished = count == 0 ? [] : Array(unfinished[count...])
        return unfinished.isEmpty
    }

    /// - Returns: how many bytes were taken, 0 if nobody will ever want them, -1 if there is no room now.
    private func send(_ bytes: [UInt8]) -> Int {
        // Where there is room for something, a pipe has a free page (`pipe_poll` in fs/pipe.c), enough for a
        // line.
        if kind == .shared, !hasRoom { return -1 }
        while true {
            let count =
                kind == .socket
                ? Glibc.send(descriptor, bytes, bytes.count, CInt(MSG_DONTWAIT) | CInt(MSG_NOSIGNAL))
                : Glibc.write(descriptor, bytes, bytes.count)
            if count > 0 { return count }
            switch errno {
            case EINTR: continue
            // Full: the reader, the kernel's memory or the file system; other errors are for good.
            case EAGAIN, ENOBUFS, ENOMEM, ENOSPC, EDQUOT: return -1
            default: return 0
            }
        }
    }

    private var hasRoom: Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        return poll(&entry, 1, 0) > 0
    }
}
