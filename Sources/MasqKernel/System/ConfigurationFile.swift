// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc

/// Reads whole files into memory, of a size that a person could have written or a program generated.
public enum ConfigurationFile {
    /// The largest file that is read: room for some 800 000 networks.
    public static let maximumSize = 16 << 20

    /// How long a pipe may stay without a writer, in milliseconds.
    private static let pipeLimitMilliseconds: CInt = 5000

    /// Reads a regular file, or a pipe to its end, and hands the bytes to the caller.
    ///
    /// - Throws: ``SystemError``: `EISDIR` for a directory, `EFBIG` beyond ``maximumSize``.
    public static func read<Result>(
        _ path: String, _ body: (Span<UInt8>) -> Result
    ) throws(SystemError) -> Result {
        let quoted = "\"\(path)\""
        // Not to wait for a pipe that nobody writes to: the daemon would stand still.
        let file = try Descriptor(open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), "open", quoted)
        var status = stat()
        guard fstat(file.number, &status) == 0 else { throw SystemError("examine", quoted) }
        switch status.st_mode & S_IFMT {
        case S_IFDIR: throw SystemError("read", quoted, code: EISDIR)
        case S_IFREG: break
        case S_IFIFO:
            var writer = pollfd(fd: file.number, events: Int16(POLLIN), revents: 0)
            guard poll(&writer, 1, pipeLimitMilliseconds) == 1 else {
                throw SystemError("read", "\(quoted), a pipe that nobody writes to", code: ETIMEDOUT)
            }
            _ = fcntl(file.number, F_SETFL, 0)
        default: throw SystemError("read", "\(quoted), which is neither a file nor a pipe", code: EINVAL)
        }

        // One byte more than fstat says, so that the end is found without growing; a pipe's size is 0.
        var capacity = min(max(Int(status.st_size) + 1, 65536), maximumSize + 1)
        var storage = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 1)
        defer { storage.deallocate() }
        var count = 0
        while true {
            if count == capacity {
                guard capacity <= maximumSize else { throw SystemError("read", quoted, code: EFBIG) }
                capacity = min(capacity * 2, maximumSize + 1)
                let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 1)
                larger.copyMemory(from: storage, byteCount: count)
                storage.deallocate()
                storage = larger
            }
            let result = Glibc.read(file.number, storage + count, capacity - count)
            if result < 0, errno == EINTR { continue }
            guard result >= 0 else { throw SystemError("read", quoted) }
            if result == 0 { break }
            count += result
        }
        return body(RawSpan(_unsafeStart: storage, byteCount: count)._unsafeView(as: UInt8.self))
    }

    /// Reads a file as UTF-8; bytes that are none are replaced.
    ///
    /// - Throws: ``SystemError``, as ``read(_:_:)`` does.
    public static func text(_ path: String) throws(SystemError) -> String {
        try read(path) { bytes in bytes.withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) } }
    }
}
