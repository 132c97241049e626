// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc

/// The real daemon in a network namespace, with a configuration file and a $NOTIFY_SOCKET of its own.
///
/// It is killed with this object; what it has put into the kernel stays with the namespace.
public final class Masqd {
    private let folder: TemporaryFolder
    private let socket: NotifySocket
    private let process: ChildProcess
    /// The first message that no wait has passed yet.
    private var cursor = 0

    /// The file that the daemon reads.
    public var configurationPath: String { "\(folder.path)/masqd.toml" }

    /// Where the daemon's program is: beside the tests in the build folder, or $MASQD_BINARY.
    public static var binary: String {
        if let path = getenv("MASQD_BINARY") { return String(cString: path) }
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = max(0, readlink("/proc/self/exe", &buffer, buffer.count))
        let path = String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
        let folder = path.split(separator: "/", omittingEmptySubsequences: false).dropLast()
        return (folder + ["masqd"]).joined(separator: "/")
    }

    /// Starts the daemon; it is ready only after ``waitForReady(limit:)``.
    ///
    /// - Parameters:
    ///   - configuration: what is in the file that it reads.
    ///   - arguments: given instead of `--config` and the file.
    ///   - environment: added to the tests' own, such as WATCHDOG_USEC.
    public init(
        in namespace: NetworkNamespace, configuration: String = "", arguments: [String]? = nil,
        environment: [String: String] = [:]
    ) throws {
        folder = try TemporaryFolder()
        try folder.write(configuration, to: "masqd.toml")
        socket = try NotifySocket(path: "\(folder.path)/notify")
        let environment = environment.merging(["NOTIFY_SOCKET": socket.path]) { given, _ in given }
        let arguments = arguments ?? ["--config", "\(folder.path)/masqd.toml"]
        process = try Command(Self.binary, arguments, environment: environment).start(in: namespace)
    }

    /// The daemon's pid.
    public var pid: pid_t { process.pid }

    /// What it has logged so far.
    public var log: String { get throws { try process.standardError } }

    /// Whether it has not ended yet.
    public var isRunning: Bool { get throws { try process.isRunning } }

    /// Every message to the service manager so far, each a datagram's lines.
    public var messages: [[String]] {
        get throws {
            try socket.drain()
            return socket.messages
        }
    }

    /// The last STATUS= it has told; empty before the first.
    public var status: String {
        get throws {
            try socket.drain()
            return socket.status
        }
    }

    /// Waits until the rules are in the kernel (READY=1).
    public func waitForReady(limit: Duration = .seconds(20)) throws {
        try waitForMessage("READY=1", limit: limit) { $0 == "READY=1" }
    }

    /// Waits until the last STATUS= contains `text`; a status told earlier counts, if it is still the last.
    public func waitForStatus(containing text: String, limit: Duration = .seconds(20)) throws {
        let deadline = Deadline(in: limit)
        while try !status.contains(text) { try wait(for: "a STATUS with \"\(text)\"", until: deadline) }
    }

    /// Waits for the next message with a line that starts with `prefix`, such as `STOPPING=1`.
    public func waitForMessage(startingWith prefix: String, limit: Duration = .seconds(20)) throws {
        try waitForMessage(prefix, limit: limit) { $0.hasPrefix(prefix) }
    }

    /// Writes another file into the configuration's folder.
    public func write(_ text: String, besideConfiguration name: String) throws {
        try folder.write(text, to: name)
    }

    /// Writes the configuration file without telling the daemon.
    public func write(configuration: String) throws { try folder.write(configuration, to: "masqd.toml") }

    /// Replaces the configuration, sends SIGHUP and waits until the reload is over, done or refused.
    ///
    /// - Returns: the STATUS= that the reload ended with.
    @discardableResult
    public func reload(_ configuration: String, limit: Duration = .seconds(20)) throws -> String {
        try write(configuration: configuration)
        try socket.drain()
        cursor = socket.messages.count
        send(SIGHUP)
        try waitForMessage("RELOADING=1", limit: limit) { $0 == "RELOADING=1" }
        try waitForReady(limit: limit)
        return socket.status
    }

    /// Keeps the daemon from opening anything more, or lets it again (RLIMIT_NOFILE).
    public func limitDescriptors(_ isLimited: Bool) throws {
        // The limit is a number that no new descriptor may have; those that are open stay.
        try Command("prlimit", "--pid=\(pid)", "--nofile=\(isLimited ? 1 : 1024):").run().expectSuccess()
    }

    /// Sends a signal.
    public func send(_ signal: CInt) { process.send(signal) }

    /// Sends a signal and waits for the end: the exit status, or 128 and the signal that ended it.
    @discardableResult
    public func stop(_ signal: CInt = SIGTERM, limit: Duration = .seconds(20)) throws -> CInt {
        send(signal)
        return try waitForExit(limit: limit)
    }

    /// Waits for the end: the exit status, or 128 and the number of the signal that ended it.
    @discardableResult
    public func waitForExit(limit: Duration = .seconds(20)) throws -> CInt {
        try process.waitForExit(limit: limit)
    }

    /// A number of `/proc/PID/status`, such as `VmRSS`, `RssAnon` (both in KiB) or `Threads`.
    public func processStatus(_ key: String) throws -> Int {
        for line in try read("/proc/\(pid)/status").split(separator: "\n") where line.hasPrefix("\(key):") {
            if let number = line.dropFirst(key.count + 1).split(whereSeparator: \.isWhitespace).first.flatMap(
                { Int($0) })
            {
                return number
            }
        }
        throw Failure("/proc/\(pid)/status has no \(key)")
    }

    private func waitForMessage(_ what: String, limit: Duration, _ matches: (String) -> Bool) throws {
        let deadline = Deadline(in: limit)
        while true {
            try socket.drain()
            while cursor < socket.messages.count {
                cursor += 1
                if socket.messages[cursor - 1].contains(where: matches) { return }
            }
            try wait(for: what, until: deadline)
        }
    }

    /// Waits for the next message; throws what the daemon has logged when it ends instead, or time is over.
    private func wait(for what: String, until deadline: Deadline) throws {
        guard try deadline.waitReadable(socket.descriptor, process.endDescriptor) else {
            throw Failure(
                "masqd did not tell \(what); its last status is \"\(socket.status)\"; its log:\n\(try log)")
        }
        let count = socket.messages.count
        try socket.drain()
        if try socket.messages.count == count && !process.isRunning {
            throw Failure(
                "masqd ended before \(what), with status \(try waitForExit()); its log:\n\(try log)")
        }
    }
}
