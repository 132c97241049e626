// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import TestSupport
import Testing

@testable import MasqKernel

/// What systemd would hear.
@Suite struct ServiceManagerTests {
    /// systemd's end of the conversation.
    private final class Listener {
        let descriptor: CInt

        init(_ path: String) throws {
            descriptor = socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue), 0)
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) {
                $0.copyBytes(from: Array(path.utf8))
                if path.hasPrefix("@") { $0[0] = 0 }
            }
            // Without the bytes behind the name, which would belong to an abstract one.
            let length = socklen_t(2 + path.utf8.count)
            let result = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
            }
            guard result == 0 else { throw Failure("bind to \(path)", code: errno) }
        }

        deinit { close(descriptor) }

        var message: String? {
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = recv(descriptor, &buffer, buffer.count, CInt(MSG_DONTWAIT))
            return count < 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
        }
    }

    private func manager(_ variables: [String: String]) -> ServiceManager { ServiceManager { variables[$0] } }

    @Test(
        "Every message is one datagram of lines, to a path and to an abstract address",
        arguments: [true, false])
    func speaks(isAbstract: Bool) throws {
        let folder = try ScratchFolder()
        let path = isAbstract ? "@masqd-test-\(getpid())" : "\(folder.path)/notify"
        let listener = try Listener(path)
        var manager = manager(["NOTIFY_SOCKET": path])
        manager.ready(status: "in force: /etc/masqd.toml")
        #expect(listener.message == "READY=1\nSTATUS=in force: /etc/masqd.toml\n")
        manager.status("two\nlines\r\nand READY=1\n")
        #expect(listener.message == "STATUS=two\\nlines\\r\\nand READY=1\\n\n")
        manager.stopping()
        #expect(listener.message == "STOPPING=1\n")
        manager.feedWatchdog()
        #expect(listener.message == "WATCHDOG=1\n")

        let before = microseconds()
        manager.reloading()
        let lines = try #require(listener.message).split(separator: "\n")
        #expect(lines.count == 2 && lines[0] == "RELOADING=1")
        let mark = try #require(lines[1].hasPrefix("MONOTONIC_USEC=") ? Int(lines[1].dropFirst(15)) : nil)
        #expect((before...microseconds()).contains(mark))
    }

    @Test("A status is never so long that systemd ignores the message, and READY with it")
    func longStatus() throws {
        let folder = try ScratchFolder()
        let listener = try Listener("\(folder.path)/notify")
        var manager = manager(["NOTIFY_SOCKET": "\(folder.path)/notify"])
        // NOTIFY_BUFFER_MAX is PIPE_BUF, 4096 bytes; the listener's own buffer cuts there.
        for letter in ["a", "ä", "\u{1F468}"] {
            manager.ready(status: String(repeating: letter, count: 10_000))
            let message = try #require(listener.message)
            #expect(message.hasPrefix("READY=1\nSTATUS=\(letter)"))
            #expect(message.hasSuffix("\(letter)…\n"))
            #expect((1800..<2200).contains(message.utf8.count))
        }
    }

    @Test("A manager that does not listen holds nobody up, and hears the last status when it listens again")
    func isDeaf() throws {
        let folder = try ScratchFolder()
        let listener = try Listener("\(folder.path)/notify")
        var manager = manager(["NOTIFY_SOCKET": "\(folder.path)/notify"])
        // More than any queue holds (net.unix.max_dgram_qlen): a call that waited would wait for ever.
        for number in 0..<2000 { manager.status("status \(number)") }
        manager.feedWatchdog()
        var first: String?
        while let message = listener.message { first = first ?? message }
        #expect(first == "STATUS=status 0\n")
        manager.feedWatchdog()
        #expect(listener.message == "STATUS=status 1999\nWATCHDOG=1\n")
        manager.feedWatchdog()
        #expect(listener.message == "WATCHDOG=1\n")
        #expect(manager.owesAnswer == false)
        // What somebody waits for is not lost, and comes in its order.
        for number in 0..<2000 { manager.status("status \(number)") }
        manager.reloading()
        manager.ready(status: "in force")
        #expect(manager.owesAnswer == true)
        while listener.message != nil { continue }
        manager.feedWatchdog()
        #expect(listener.message?.hasPrefix("RELOADING=1\nMONOTONIC_USEC=") == true)
        #expect(listener.message == "READY=1\nSTATUS=in force\nWATCHDOG=1\n")
        #expect(manager.owesAnswer == false)
    }

    private func microseconds() -> Int {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return now.tv_sec * 1_000_000 + now.tv_nsec / 1000
    }

    @Test(
        "Without a manager, or with one that is gone, nothing is said and nothing fails",
        arguments: [nil, "", "relative/path", "/nowhere/notify", "@masqd-nobody-listens", "vsock:2:1"])
    func isSilent(path: String?) {
        var manager = manager(path.map { ["NOTIFY_SOCKET": $0] } ?? [:])
        manager.ready(status: "x")
        manager.stopping()
        #expect(manager.watchdogIntervalMilliseconds == nil)
    }

    private static let watchdogs: [([String: String], Int?)] = [
        (["WATCHDOG_USEC": "30000000"], 15_000), (["WATCHDOG_USEC": "3000"], 1), ([:], nil),
        (["WATCHDOG_USEC": "0"], nil), (["WATCHDOG_USEC": "soon"], nil),
        (["WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"], nil),
        (["WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "\(getpid())"], 1000),
    ]

    @Test("The watchdog is fed twice in its time, by the process that is meant", arguments: watchdogs)
    func watchdog(variables: [String: String], interval: Int?) {
        let manager = manager(variables)
        #expect(manager.watchdogIntervalMilliseconds == interval)
    }
}
