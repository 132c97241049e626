// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc

/// The service manager that started the process and wants to hear how it is; silent where there is none.
///
/// The protocol is one datagram of `KEY=value` lines, described in sd_notify(3) and promised to stay as it is there;
/// libsystemd would cost more memory than the rest of the daemon.
public struct ServiceManager: ~Copyable {
    private let path: String
    private let socket: CInt
    /// Told with the next message, since the manager had no room for it; of several only the last is of interest.
    private var unsaidStatus: String?
    private var owesReady = false
    /// How often the watchdog wants to be fed, in milliseconds: half of `$WATCHDOG_USEC`.
    public let watchdogIntervalMilliseconds: Int?

    /// Reads `$NOTIFY_SOCKET`, `$WATCHDOG_USEC` and `$WATCHDOG_PID`.
    public init(variable: (String) -> String? = { getenv($0).map { String(cString: $0) } }) {
        path = variable("NOTIFY_SOCKET") ?? ""
        let isUsable = path.hasPrefix("/") || path.hasPrefix("@")
        socket = isUsable ? Glibc.socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0) : -1
        if socket >= 0 {
            // What somebody waits for is worth a second of the loop's time, and not more: a manager may itself hang.
            var limit = timeval(tv_sec: 1, tv_usec: 0)
            setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
        let isMeant = variable("WATCHDOG_PID").map { Int32($0) == getpid() } ?? true
        let microseconds = variable("WATCHDOG_USEC").flatMap { Int($0) } ?? 0
        watchdogIntervalMilliseconds = isMeant && microseconds > 2000 ? microseconds / 2000 : nil
    }

    deinit { if socket >= 0 { close(socket) } }

    /// The rules are in the kernel, or what was asked for is done.
    public mutating func ready(status: String) {
        owesReady = true
        unsaidStatus = status
        send("", isAwaited: true)
    }

    /// A reload begins; ``ready(status:)`` ends it.
    public mutating func reloading() {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        // systemd compares it with its own clock to tell this reload from an earlier one.
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1000
        owesReady = false
        send("RELOADING=1\nMONOTONIC_USEC=\(microseconds)\n", isAwaited: true)
    }

    /// What a status display shows.
    public mutating func status(_ text: String) {
        unsaidStatus = text
        send("", isAwaited: false)
    }

    /// The process is about to end.
    public mutating func stopping() { send("STOPPING=1\n", isAwaited: true) }

    /// The process is alive.
    public mutating func feedWatchdog() { send("WATCHDOG=1\n", isAwaited: false) }

    /// The longest status that is told, in bytes: systemd ignores a message of more than 4096, and READY=1 with it
    /// (`NOTIFY_BUFFER_MAX` in src/core/manager.c).
    private static let maximumStatusLength = 2048

    /// A status on one line, cut where it is too long, as that of an uplink with 254 addresses may be.
    private static func line(_ status: String) -> String {
        var line = ""
        for character in status {
            guard line.utf8.count + character.utf8.count <= maximumStatusLength else { return line + "…" }
            line.append(character.isNewline ? " " : character)
        }
        return line
    }

    /// A manager that does not listen is no reason to stop routing: what it has no room for waits for the next message.
    private mutating func send(_ lines: String, isAwaited: Bool) {
        guard socket >= 0 else { return }
        var message = owesReady ? "READY=1\n" : ""
        if let unsaidStatus { message += "STATUS=\(Self.line(unsaidStatus))\n" }
        message += lines
        let flags = CInt(MSG_NOSIGNAL) | (isAwaited ? 0 : CInt(MSG_DONTWAIT))
        let hasRoom = withUnixAddress(path) { address, length in
            message.withUTF8 {
                sendto(socket, $0.baseAddress, $0.count, flags, address, length) >= 0 || errno != EAGAIN
            }
        }
        guard hasRoom else { return }
        owesReady = false
        unsaidStatus = nil
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
