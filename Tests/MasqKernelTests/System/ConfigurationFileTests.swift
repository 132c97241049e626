// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport
import Testing

@testable import MasqKernel

@Suite struct ConfigurationFileTests {
    private func error(_ path: String, acceptsPipe: Bool = false) -> SystemError? {
        do throws(SystemError) {
            try ConfigurationFile.read(path, acceptsPipe: acceptsPipe) { _ in }
            return nil
        } catch {
            return error
        }
    }

    private func text(_ path: String) throws -> String {
        try ConfigurationFile.read(path) { span in
            span.withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) }
        }
    }

    @Test("A file is read whole, an empty one too, and one of /proc, whose size is told as 0")
    func reads() throws {
        let folder = try ScratchFolder()
        #expect(try text(folder.file("empty")) == "")
        #expect(try text(folder.file("short", "[gateway]\n")) == "[gateway]\n")
        let long = String(repeating: "# a line of forty bytes, and of no more.\n", count: 5000)
        #expect(try text(folder.file("long", long)) == long)
        #expect(try text("/proc/self/comm").hasSuffix("\n"))
        #expect(try text("/proc/self/maps").utf8.count > 1000)
    }

    @Test("What is no file is refused by name: a directory, a device, something missing")
    func refuses() throws {
        let folder = try ScratchFolder()
        #expect(error(folder.path) == SystemError("read", "\"\(folder.path)\"", code: EISDIR))
        #expect(error("/nowhere/masqd.toml") == SystemError("open", "\"/nowhere/masqd.toml\"", code: ENOENT))
        #expect(error("/dev/zero")?.code == EINVAL)
        #expect(
            error("/dev/zero")?.description.hasPrefix("can't read \"/dev/zero\", which is neither a file")
                == true)
        let path = try folder.file("file")
        #expect(error(path + "/masqd.toml")?.code == ENOTDIR)
    }

    @Test("A file that may not be read is refused")
    func unreadable() throws {
        let folder = try ScratchFolder()
        let path = try folder.file("secret", "[gateway]\n", mode: 0o000)
        // A thread without CAP_DAC_OVERRIDE: root would read it.
        let error = try withoutCapabilities { [self] in self.error(path) }
        #expect(error == SystemError("open", "\"\(path)\"", code: EACCES))
        #expect(error?.description == "can't open \"\(path)\": Permission denied")
    }

    @Test("16 MiB are read, and not a byte more")
    func limit() throws {
        let folder = try ScratchFolder()
        let largest = try folder.file("largest", size: 16 << 20)
        #expect(try ConfigurationFile.read(largest) { $0.count } == 16 << 20)
        let larger = try folder.file("larger", size: (16 << 20) + 1)
        #expect(error(larger) == SystemError("read", "\"\(larger)\"", code: EFBIG))
        #expect(try error(folder.file("huge", size: 1 << 40))?.code == EFBIG)
    }

    @Test("A pipe is read to its end, whatever the pieces, and not for ever")
    func pipe() throws {
        let folder = try ScratchFolder()
        let path = "\(folder.path)/pipe"
        try #require(mkfifo(path, 0o600) == 0)
        let writer = try Command("sh", "-c", "(echo one; echo two; head -c 200000 /dev/zero) > '\(path)'")
            .start()
        #expect(try ConfigurationFile.read(path, acceptsPipe: true) { $0.count } == 200_008)
        try writer.waitForExit()
        // 16 MiB, and one byte more.
        for (size, count) in [(16_777_216, 16_777_216 as Int?), (16_777_217, nil)] {
            let writer = try Command("sh", "-c", "head -c \(size) /dev/zero > '\(path)'").start()
            let found = try? ConfigurationFile.read(path, acceptsPipe: true) { $0.count }
            #expect(found == count)
            try writer.waitForExit()
        }
        let endless = try Command("dd", "if=/dev/zero", "of=\(path)", "bs=65536").start()
        #expect(error(path, acceptsPipe: true)?.code == EFBIG)
        try endless.waitForExit()
    }

    @Test("A pipe that somebody writes to and does not close is given up")
    func open() throws {
        let folder = try ScratchFolder()
        let path = "\(folder.path)/pipe"
        try #require(mkfifo(path, 0o600) == 0)
        // Open for both, it does not wait for a reader, and `error(_:)` returns only where reading ends by
        // itself.
        let writer = Glibc.open(path, O_RDWR | O_CLOEXEC)
        try #require(writer >= 0)
        defer { close(writer) }
        #expect(write(writer, "[gateway]\n", 10) == 10)
        #expect(
            error(path, acceptsPipe: true)
                == SystemError("read", "\"\(path)\", a pipe that nobody closes", code: ETIMEDOUT))
    }

    @Test("A pipe is not waited for where files only are read, and whoever waits for a reader is set free")
    func noPipe() throws {
        let folder = try ScratchFolder()
        let path = "\(folder.path)/pipe"
        try #require(mkfifo(path, 0o600) == 0)
        #expect(error(path) == SystemError("read", "\"\(path)\", which is a pipe and no file", code: EINVAL))
        let writer = try Command("sh", "-c", "exec 2>&-; echo 10.0.0.1 > '\(path)'; exit 0").start()
        try eventually("the writer goes on") {
            _ = error(path)
            return try !writer.isRunning
        }
    }

    @Test("A sparse file of 2^63 - 1 bytes is too large, and neither memory nor time is spent on it")
    func sparse() throws {
        let path = "/dev/shm/masqd-test-\(getpid())"
        let file = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        try #require(file >= 0)
        defer {
            close(file)
            unlink(path)
        }
        try #require(ftruncate(file, off_t.max) == 0)
        #expect(error(path) == SystemError("read", "\"\(path)\"", code: EFBIG))
    }

    @Test(
        "A file on which its owner has a lease is not waited for, and one of the kernel's that has nothing to say"
    )
    func lease() throws {
        let folder = try ScratchFolder()
        let path = try folder.file("leased", "10.0.0.1\n")
        // perl has fcntl; F_SETLEASE is 1024, F_WRLCK 1. SIGIO, which asks it to give the lease back, is
        // ignored.
        let holder = try Command(
            "perl", "-e",
            """
            $SIG{IO} = "IGNORE"; open F, "+<", $ARGV[0]; fcntl(F, 1024, 1) or die $!;
            open G, ">", "$ARGV[0].held"; close G; sleep 60
            """, path
        ).start()
        try eventually("the lease is taken") { access(path + ".held", F_OK) == 0 }
        // Without O_NONBLOCK this takes /proc/sys/fs/lease-break-time, 45 seconds.
        #expect(error(path)?.code == EAGAIN)
        holder.send(SIGKILL)
        // The latter two where this is not the machine's own root.
        let code = try #require(error("/proc/kmsg")?.code)
        #expect([EAGAIN, EPERM, EACCES].contains(code))
    }
}
