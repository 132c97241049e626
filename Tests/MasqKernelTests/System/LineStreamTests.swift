// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import TestSupport
import Testing

@testable import MasqKernel

/// A line that waited for a reader would never come back: these tests then end by their limit.
@Suite(.timeLimit(.minutes(2))) struct LineStreamTests {
    private final class Pipe {
        let (reader, writer): (CInt, CInt)

        init() throws {
            var ends: [CInt] = [0, 0]
            try #require(pipe(&ends) == 0)
            (reader, writer) = (ends[0], ends[1])
        }

        deinit {
            close(reader)
            close(writer)
        }

        /// What can be read now.
        func read(_ count: Int = 1 << 20) -> String {
            var bytes = [UInt8](repeating: 0, count: count)
            var entry = pollfd(fd: reader, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, 0) > 0 else { return "" }
            let length = Glibc.read(reader, &bytes, count)
            return String(decoding: bytes[..<max(0, length)], as: UTF8.self)
        }
    }

    private static func line(_ letter: Character) -> String { String(repeating: letter, count: 100_000) }

    @Test(
        "A pipe that nobody reads is filled line by line, and waited for never; each line is whole or not there"
    )
    func fullPipe() throws {
        let pipe = try Pipe()
        var stream = LineStream(pipe.writer)
        var taken = 0
        while stream.write("line \(taken) " + Self.line("x")) { taken += 1 }
        #expect(taken > 0)
        #expect(stream.write("short") == false)
        // The description that masqd shares with others still waits.
        #expect(fcntl(pipe.writer, F_GETFL) & O_NONBLOCK == 0)
        let first = pipe.read(4096)
        #expect(first.hasPrefix("line 0 xxx") && first.hasSuffix("x…\n") && first.utf8.count == 4096)
        #expect(stream.write("after one page") == true)
        var rest = ""
        while case let more = pipe.read(), !more.isEmpty { rest += more }
        let lines = rest.split(separator: "\n")
        #expect(lines.count == taken && lines.last == "after one page")
        #expect(lines.dropLast().allSatisfy { $0.utf8.count == 4095 && $0.hasSuffix("x…") })
    }

    @Test("A pipe of another user, which can't be opened again, is not waited for either")
    func foreignPipe() throws {
        let pipe = try Pipe()
        // Not even its owner may open it; a thread without capabilities is bound by that.
        try #require(fchmod(pipe.writer, 0) == 0)
        let writer = pipe.writer
        let taken = try withoutCapabilities { () -> Int in
            var stream = LineStream(writer)
            var taken = 0
            while stream.write(Self.line("x")) { taken += 1 }
            return taken
        }
        #expect(taken > 0)
        #expect(pipe.read(4096).utf8.count == 4096)
    }

    @Test("A pipe that nobody will read any more takes everything, and ends nothing")
    func closedPipe() throws {
        signal(SIGPIPE, SIG_IGN)
        var ends: [CInt] = [0, 0]
        try #require(pipe(&ends) == 0)
        defer { close(ends[1]) }
        var stream = LineStream(ends[1])
        close(ends[0])
        for _ in 0..<100 { #expect(stream.write(Self.line("x")) == true) }
    }

    @Test("A socket that nobody reads, as the journal's, is not waited for; a closed one takes everything")
    func fullSocket() throws {
        var ends: [CInt] = [0, 0]
        let stream = CInt(SOCK_STREAM.rawValue)
        try #require(socketpair(AF_UNIX, stream, 0, &ends) == 0)
        defer { close(ends[1]) }
        var lines = LineStream(ends[1])
        var taken = 0
        while lines.write(Self.line("x")) { taken += 1 }
        #expect(taken > 10)
        #expect(fcntl(ends[1], F_GETFL) & O_NONBLOCK == 0)
        close(ends[0])
        for _ in 0..<100 { #expect(lines.write(Self.line("x")) == true) }
    }

    @Test("A terminal that is stopped (^S) is not waited for, and goes on where it was stopped")
    func stoppedTerminal() throws {
        let master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        try #require(master >= 0)
        defer { close(master) }
        // TIOCSPTLCK and TIOCGPTN in asm-generic/ioctls.h: what unlockpt(3) and ptsname(3) do.
        var (lock, number): (CInt, CUnsignedInt) = (0, 0)
        try #require(ioctl(master, 0x4004_5431, &lock) == 0 && ioctl(master, 0x8004_5430, &number) == 0)
        let terminal = open("/dev/pts/\(number)", O_RDWR | O_NOCTTY | O_CLOEXEC)
        try #require(terminal >= 0)
        defer { close(terminal) }
        var stream = LineStream(terminal)
        #expect(stream.write("before") == true)
        #expect(tcflow(terminal, TCOOFF) == 0)
        #expect(stream.write("while it is stopped") == false)
        #expect(tcflow(terminal, TCOON) == 0)
        // Until nobody has read for too long.
        var taken = 0
        while stream.write("\(taken) " + Self.line("x")) { taken += 1 }
        var text = ""
        var bytes = [UInt8](repeating: 0, count: 65536)
        try eventually("the terminal shows all lines") {
            var entry = pollfd(fd: master, events: Int16(POLLIN), revents: 0)
            while poll(&entry, 1, 0) > 0, case let count = read(master, &bytes, bytes.count), count > 0 {
                text += String(decoding: bytes[..<count], as: UTF8.self)
            }
            return stream.write("behind") && text.contains("behind")
        }
        let lines = text.split(separator: "\r\n")
        #expect(lines.first == "before")
        #expect(lines[1..<(1 + taken)].allSatisfy { $0.utf8.count == 4095 })
        #expect(lines.dropFirst(1 + taken).allSatisfy { $0 == "behind" })
    }

    @Test("A full disk loses lines and nothing else")
    func fullDisk() throws {
        let descriptor = open("/dev/full", O_WRONLY | O_CLOEXEC)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        var stream = LineStream(descriptor)
        #expect(stream.write("a line") == false)
    }

    @Test("A closed descriptor takes everything")
    func closed() {
        var stream = LineStream(-1)
        #expect(stream.write("a line") == true)
    }
}
