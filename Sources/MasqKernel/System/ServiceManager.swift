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
    /// How often the watchdog wants to be fed, in milliseconds: half of `$WATCHDOG_USEC`.
    public let watchdogIntervalMilliseconds: Int?

    /// How long a manager that is busy may let masqd wait where it must not miss what it is told.
    private static let limitSeconds = 5

    /// Reads `$NOTIFY_SOCKET`, `$WATCHDOG_USEC` and `$WATCHDOG_PID`.
    public init(variable: (String) -> String? = { getenv($0).map { String(cString: $0) } }) {
        path = variable("NOTIFY_SOCKET") ?? ""
        let isUsable = path.hasPrefix("/") || path.hasPrefix("@")
        socket = isUsable ? Glibc.socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0) : -1
        var limit = timeval(tv_sec: Self.limitSeconds, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let isMeant = variable("WATCHDOG_PID").map { Int32($0) == getpid() } ?? true
        let microseconds = variable("WATCHDOG_USEC").flatMap { Int($0) } ?? 0
        watchdogIntervalMilliseconds = isMeant && microseconds > 2000 ? microseconds / 2000 : nil
    }

    deinit { if socket >= 0 { close(socket) } }

    /// The rules are in the kernel, or what was asked for is done.
    public func ready(status: String) { send("READY=1\n\(Self.line(status))") }

    /// A reload begins; ``ready(status:)`` ends it.
    public func reloading() {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        // systemd compares it with its own clock to tell this reload from an earlier one.
        send("RELOADING=1\nMONOTONIC_USEC=\(now.tv_sec * 1_000_000 + now.tv_nsec / 1000)")
    }

    /// What a status display shows; lost where the manager has not read what it was told before.
    public func status(_ text: String) { send(Self.line(text), flags: CInt(MSG_DONTWAIT)) }

    /// The process is about to end.
    public func stopping() { send("STOPPING=1") }

    /// The process is alive; lost as a status is.
    public func feedWatchdog() { send("WATCHDOG=1", flags: CInt(MSG_DONTWAIT)) }

    private static func line(_ status: String) -> String {
        "STATUS=" + String(status.map { $0.isNewline ? " " : $0 })
    }

    /// A manager that does not listen is no reason to stop routing, so failures are ignored.
    private func send(_ message: String, flags: CInt = 0) {
        guard socket >= 0 else { return }
        withUnixAddress(path) { address, length in
            var message = message + "\n"
            message.withUTF8 {
                _ = sendto(socket, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL) | flags, address, length)
            }
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
