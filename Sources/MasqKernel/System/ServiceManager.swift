// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// The service manager that started the process and wants to hear how it is; silent where there is none.
///
/// The protocol is one datagram of `KEY=value` lines, described in sd_notify(3) and promised to stay as it is
/// there; libsystemd would cost more memory than the rest of the daemon.
public struct ServiceManager: ~Copyable {
    private let path: String
    private let socket: CInt
    /// Said with the next message, since the manager had no room for them; of several only the last is of
    /// interest.
    private var unsaidStatus: String?
    private var unsaidReload: String?
    private var owesReady = false
    /// How often the watchdog wants to be fed, in milliseconds: half of `$WATCHDOG_USEC`.
    public let watchdogIntervalMilliseconds: Int?

    /// Reads `$NOTIFY_SOCKET`, `$WATCHDOG_USEC` and `$WATCHDOG_PID`.
    public init(variable: (String) -> String? = { getenv($0).map { String(cString: $0) } }) {
        path = variable("NOTIFY_SOCKET") ?? ""
        let isUsable = path.hasPrefix("/") || path.hasPrefix("@")
        socket = isUsable ? Glibc.socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0) : -1
        let isMeant = variable("WATCHDOG_PID").map { Int32($0) == getpid() } ?? true
        let microseconds = variable("WATCHDOG_USEC").flatMap { Int($0) } ?? 0
        watchdogIntervalMilliseconds = isMeant && microseconds > 2000 ? microseconds / 2000 : nil
    }

    deinit { if socket >= 0 { close(socket) } }

    /// Whether somebody waits for what could not be said yet: then ``feedWatchdog()`` or any other message
    /// says it.
    public var owesAnswer: Bool { owesReady || unsaidReload != nil }

    /// The rules are in the kernel, or what was asked for is done.
    public mutating func ready(status: String) {
        owesReady = true
        unsaidStatus = status
        send("")
    }

    /// A reload begins; ``ready(status:)`` ends it.
    public mutating func reloading() {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        // systemd compares it with its own clock to tell this reload from an earlier one.
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1000
        owesReady = false
        unsaidReload = "RELOADING=1\nMONOTONIC_USEC=\(microseconds)\n"
        send("")
    }

    /// What a status display shows.
    public mutating func status(_ text: String) {
        unsaidStatus = text
        send("")
    }

    /// The process is about to end.
    public mutating func stopping() { send("STOPPING=1\n") }

    /// The process is alive.
    public mutating func feedWatchdog() { send("WATCHDOG=1\n") }

    /// The longest status that is told, in bytes: systemd ignores a message of more than 4096, and READY=1
    /// with it (`NOTIFY_BUFFER_MAX` in src/core/manager.c).
    private static let maximumStatusLength = 2048

    /// Says what is still to be said, and then the lines.
    ///
    /// The manager's socket is open to every user of the machine, so its queue may be full for as long as
    /// somebody likes: no message waits for room.
    private mutating func send(_ lines: String) {
        guard socket >= 0 else { return }
        // A message of its own: of RELOADING=1 and READY=1 in one, systemd would take the reload for one that
        // goes on.
        if let unsaidReload {
            guard hasSent(unsaidReload) else { return }
            self.unsaidReload = nil
        }
        var message = owesReady ? "READY=1\n" : ""
        if let unsaidStatus {
            message += "STATUS=\(unsaidStatus.printableLine.prefix(byteCount: Self.maximumStatusLength))\n"
        }
        message += lines
        guard message.isEmpty || hasSent(message) else { return }
        owesReady = false
        unsaidStatus = nil
    }

    /// - Returns: whether it was sent, or nobody is there to hear it: that is no reason to stop routing.
    private func hasSent(_ message: String) -> Bool {
        let bytes = Array(message.utf8)
        let flags = CInt(MSG_NOSIGNAL) | CInt(MSG_DONTWAIT)
        return withUnixAddress(path) { address, length in
            sendto(socket, bytes, bytes.count, flags, address, length) >= 0
                || ![EAGAIN, ENOBUFS, ENOMEM, EINTR].contains(errno)
        }
    }
}

/// Makes the address of a unix socket; a path that begins with `@` is in the abstract name space.
func withUnixAddress<Result>(
    _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
) -> Result {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let name = Array(path.utf8.prefix(MemoryLayout.size(ofValue: address.sun_path) - 1))
    withUnsafeMutableBytes(of: &address.sun_path) { bytes in
        bytes.copyBytes(from: name)
        if name.first == UInt8(ascii: "@") { bytes[0] = 0 }
    }
    let length = MemoryLayout<sa_family_t>.size + name.count + (path.hasPrefix("@") ? 0 : 1)
    return withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(length)) }
    }
}
