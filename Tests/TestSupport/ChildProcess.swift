// SPDX-License-Identifier: GPL-3.0-or-later

import CTestSupport
import Glibc

/// A program in the background; it is killed when this object or this process goes.
public final class ChildProcess {
    /// The process's id; it is not used again by the kernel before this object has seen the end.
    public let pid: pid_t
    /// Readable once the process has ended (a pidfd).
    let endDescriptor: CInt
    private let name: String
    private let output: CInt
    private let error: CInt
    private var status: CInt?

    init(pid: pid_t, name: String, output: CInt, error: CInt) throws {
        self.pid = pid
        self.name = name
        endDescriptor = try check(CTestSupport_openProcess(pid), "pidfd_open")
        self.output = try check(fcntl(output, F_DUPFD_CLOEXEC, 3), "fcntl")
        self.error = try check(fcntl(error, F_DUPFD_CLOEXEC, 3), "fcntl")
    }

    deinit {
        if status == nil {
            Glibc.kill(pid, SIGKILL)
            waitpid(pid, nil, 0)
        }
        close(endDescriptor)
        close(output)
        close(error)
    }

    /// What it has written to descriptor 1 so far.
    public var standardOutput: String { get throws { try Self.text(of: output) } }

    /// What it has written to descriptor 2 so far.
    public var standardError: String { get throws { try Self.text(of: error) } }

    /// Whether it has not ended yet.
    public var isRunning: Bool {
        get throws { try status == nil && !Deadline(in: .zero).waitReadable(endDescriptor) }
    }

    /// Sends a signal; nothing happens when the process has ended.
    public func send(_ signal: CInt) {
        if status == nil { Glibc.kill(pid, signal) }
    }

    /// Waits for the end: the exit status, or 128 and the number of the signal that ended it.
    ///
    /// Throws, with what the program wrote, and kills it, when it still runs after `limit`.
    @discardableResult
    public func waitForExit(limit: Duration = .seconds(20)) throws -> CInt {
        if let status { return status }
        let isOver = try Deadline(in: limit).waitReadable(endDescriptor)
        if !isOver { Glibc.kill(pid, SIGKILL) }
        var raw: CInt = 0
        try check(waitpid(pid, &raw, 0), "waitpid")
        let signal = raw & 0x7f  // WTERMSIG, a macro that Swift doesn't import
        let status = signal == 0 ? (raw >> 8) & 0xff : 128 + signal
        self.status = status
        guard isOver else {
            throw Failure("`\(name)` did not end within \(limit): \(try standardOutput)\(try standardError)")
        }
        return status
    }

    private static func text(of file: CInt) throws -> String {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = try check(pread(file, &chunk, chunk.count, off_t(bytes.count)), "pread")
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes += chunk[..<count]
        }
    }
}
