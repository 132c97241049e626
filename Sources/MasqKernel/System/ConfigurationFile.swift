// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore

/// Reads whole files into memory, of a size that a person could have written or a program generated.
///
/// The files need not be root's: a list of networks is written by whoever keeps it. So nothing but a regular
/// file is opened at all, and reading one never waits for anybody: neither for the holder of a lease, nor at
/// a pipe.
public enum ConfigurationFile {
    /// The largest file that is read: room for some 800 000 networks.
    public static let maximumSize = 16 << 20

    /// How long a pipe may take to its end.
    private static let pipeLimit = Duration.seconds(5)

    /// Reads a regular file and hands the bytes to the caller.
    ///
    /// - Parameter acceptsPipe: whether a pipe is read too, to its end, for which it has five seconds.
    /// - Throws: ``SystemError``: `EISDIR` for a directory, `EINVAL` for other kinds of files, `EFBIG` beyond
    ///   ``maximumSize``, `EAGAIN` for a file with a lease or one of the kernel's that has nothing to read
    ///   yet, `ETIMEDOUT` for a pipe that does not end.
    public static func read<Result>(
        _ path: String, acceptsPipe: Bool = false, _ body: (Span<UInt8>) -> Result
    ) throws(SystemError) -> Result {
        let bytes = try contents(path, acceptsPipe: acceptsPipe)
        defer { bytes.deallocate() }
        return bytes.withMemoryRebound(to: UInt8.self) { body($0.span) }
    }

    /// The bytes of a file, which the caller deallocates.
    private static func contents(
        _ path: String, acceptsPipe: Bool
    ) throws(SystemError) -> UnsafeRawBufferPointer {
        let quoted = "\"\(path.printableLine)\""
        let opened = try Opened(path, quoted, acceptsPipe: acceptsPipe)
        // One byte more than fstat says, so that the end is found without growing; a pipe's size is 0.
        var capacity = max(opened.size + 1, 65536)
        var storage = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 1)
        var isComplete = false
        defer { if !isComplete { storage.deallocate() } }
        var count = 0
        let end = ContinuousClock.now + pipeLimit
        while true {
            // Without a writer, at the beginning, a read would be the end already.
            if opened.isPipe, !isReadable(opened.file.number, until: end) {
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
            let result = Glibc.read(opened.file.number, storage + count, capacity - count)
            if result < 0, errno == EINTR || errno == EAGAIN && opened.isPipe { continue }
            guard result >= 0 else { throw SystemError("read", quoted) }
            if result == 0 { break }
            count += result
        }
        isComplete = true
        return UnsafeRawBufferPointer(start: storage, count: count)
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
    /// - Throws: ``SystemError``, as ``read(_:acceptsPipe:_:)`` does.
    public static func text(_ path: String) throws(SystemError) -> String {
        try read(path) { bytes in bytes.withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) } }
    }
}

/// An open file of a kind that is read, and no other: opening a device may already do something.
private struct Opened: ~Copyable {
    let file: Descriptor
    let isPipe: Bool
    /// What fstat says; at most ``ConfigurationFile/maximumSize``, and 0 for a pipe.
    let size: Int

    private init(file: consuming Descriptor, isPipe: Bool, size: Int) {
        self.file = file
        self.isPipe = isPipe
        self.size = size
    }

    init(_ path: String, _ quoted: String, acceptsPipe: Bool) throws(SystemError) {
        // Names the file, and neither opens it nor waits for it (O_PATH in open(2)).
        let place = try Descriptor(open(path, __O_PATH | O_CLOEXEC), "open", quoted)
        var status = stat()
        guard fstat(place.number, &status) == 0 else { throw SystemError("examine", quoted) }
        switch status.st_mode & S_IFMT {
        case S_IFREG:
            // One that grows while it is read is found out there.
            guard status.st_size <= ConfigurationFile.maximumSize else {
                throw SystemError("read", quoted, code: EFBIG)
            }
        case S_IFDIR: throw SystemError("read", quoted, code: EISDIR)
        case S_IFIFO: break
        default: throw SystemError("read", "\(quoted), which is neither a file nor a pipe", code: EINVAL)
        }
        // The same file, whatever the path leads to by now. A pipe that nobody writes to, and a file that its
        // owner has a lease on (F_SETLEASE in fcntl(2)), would be waited for without O_NONBLOCK.
        let flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK
        let file = try Descriptor(open("/proc/self/fd/\(place.number)", flags), "open", quoted)
        let isPipe = status.st_mode & S_IFMT == S_IFIFO
        // Refused only now: whoever waits for a reader learns that there will be none.
        guard acceptsPipe || !isPipe else {
            throw SystemError("read", "\(quoted), which is a pipe and no file", code: EINVAL)
        }
        self.init(file: file, isPipe: isPipe, size: isPipe ? 0 : Int(status.st_size))
    }
}
