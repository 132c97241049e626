// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore

/// Reads whole files into memory, of a size that a person could have written or a program generated.
public enum ConfigurationFile {
    /// The largest file that is read: room for some 800 000 networks.
    public static let maximumSize = 16 << 20

    /// How long a pipe may take to its end: the daemon stands still meanwhile.
    private static let pipeLimit = Duration.seconds(5)

    /// Reads a regular file, or a pipe to its end, and hands the bytes to the caller.
    ///
    /// - Throws: ``SystemError``: `EISDIR` for a directory, `EFBIG` beyond ``maximumSize``, `ETIMEDOUT` for a pipe that does
    ///   not end.
    public static func read<Result>(
        _ path: String, _ body: (Span<UInt8>) -> Result
    ) throws(SystemError) -> Result {
        let quoted = "\"\(path)\""
        // Not to wait for a pipe that nobody writes to: the daemon would stand still.
        let file = try Descriptor(open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), "open", quoted)
        var status = stat()
        guard fstat(file.number, &status) == 0 else { throw SystemError("examine", quoted) }
        var isPipe = false
        switch status.st_mode & S_IFMT {
        case S_IFDIR: throw SystemError("read", quoted, code: EISDIR)
        case S_IFREG: break
        case S_IFIFO: isPipe = true
        default: throw SystemError("read", "\(quoted), which is neither a file nor a pipe", code: EINVAL)
        }

        // One byte more than fstat says, so that the end is found without growing; a pipe's size is 0.
        var capacity = min(max(Int(status.st_size) + 1, 65536), maximumSize + 1)
        var storage = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 1)
        defer { storage.deallocate() }
        var count = 0
        let end = ContinuousClock.now + pipeLimit
        while true {
            // Without a writer, at the beginning, a read would be the end already.
            if isPipe, !isReadable(file.number, until: end) {
                let reason = count == 0 ? "that nobody writes to" : "that nobody closes"
                throw SystemError("read", "\(quoted), a pipe \(reason)", code: ETIMEDOUT)
            }
            if count == capacity {
                guard capacity <= maximumSize else { throw SystemError("read", quoted, code: EFBIG) }
                capacity = min(capacity * 2, maximumSize + 1)
                let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 1)
                larger.copyMemory(from: storage, byteCount: count)
                storage.deallocate()
                storage = larger
            }
            let result = Glibc.read(file.number, storage + count, capacity - count)
            if result < 0, errno == EINTR || errno == EAGAIN { continue }
            guard result >= 0 else { throw SystemError("read", quoted) }
            if result == 0 { break }
            count += result
        }
        return UnsafeRawBufferPointer(start: storage, count: count).withMemoryRebound(to: UInt8.self) {
            body($0.span)
        }
    }

    /// Waits until a read would not wait: for bytes, or the end.
    private static func isReadable(_ descriptor: CInt, until end: ContinuousClock.Instant) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while true {
            let left = max(.zero, ContinuousClock.now.duration(to: end)) / Duration.milliseconds(1)
            let result = poll(&entry, 1, CInt(left.rounded(.up)))
            if result < 0, errno == EINTR { continue }
            return result == 1
        }
    }

    /// Reads a file as UTF-8; bytes that are none are replaced.
    ///
    /// - Throws: ``SystemError``, as ``read(_:_:)`` does.
    public static func text(_ path: String) throws(SystemError) -> String {
        try read(path) { bytes in bytes.withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) } }
    }
}
