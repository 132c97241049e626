// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport
import Testing

@testable import MasqKernel

/// One masqd for each network namespace.
@Suite struct NamespaceLockTests {
    private func refusal(_ namespace: NetworkNamespace, _ directory: String) -> NamespaceLock.Refusal? {
        namespace.run {
            do throws(NamespaceLock.Refusal) {
                _ = try NamespaceLock(fallbackDirectory: directory)
                return nil
            } catch {
                return error
            }
        }
    }

    /// A program that another test starts at that moment has the lock's descriptor too, from fork(2) until exec(2).
    private func expectFree(_ namespace: NetworkNamespace, _ directory: String) throws {
        try eventually("nobody has the lock") { refusal(namespace, directory) == nil }
    }

    @Test("The second taker is refused with the first one's pid; another namespace has a lock of its own")
    func refuses() throws {
        let (namespace, other) = (try NetworkNamespace(), try NetworkNamespace())
        let folder = try ScratchFolder()
        let lock = try namespace.run { try NamespaceLock(fallbackDirectory: folder.path) }
        let stranger = lock.stranger
        #expect(stranger == nil)
        #expect(refusal(namespace, folder.path) == .held(byProcess: getpid()))
        let text = try #require(refusal(namespace, folder.path)).description
        #expect(text == "another masqd (pid \(getpid())) serves this network namespace already")
        #expect(refusal(other, folder.path) == nil)
        // Who asked is dismissed, or the next ones would find no room.
        for _ in 0..<20 {
            #expect(refusal(namespace, folder.path) == .held(byProcess: getpid()))
            lock.dismissVisitors()
        }
        #expect(!isReadable(lock.descriptor))
    }

    @Test("Who holds the lock is told to whoever asks, and asking takes nothing")
    func asks() throws {
        let namespace = try NetworkNamespace()
        let folder = try ScratchFolder()
        #expect(try namespace.run { try NamespaceLock.currentHolder() } == nil)
        do {
            let lock = try namespace.run { try NamespaceLock(fallbackDirectory: folder.path) }
            let holder = try #require(try namespace.run { try NamespaceLock.currentHolder() })
            #expect(holder.process == getpid())
            #expect(!holder.isStranger)
            // One who is asked too often to answer is there all the same.
            for _ in 0..<40 { #expect(try namespace.run { try NamespaceLock.currentHolder() } != nil) }
            lock.dismissVisitors()
        }
        try expectFree(namespace, folder.path)
        #expect(try namespace.run { try NamespaceLock.currentHolder() } == nil)
    }

    @Test("Visitors that nobody dismisses change nothing but that the pid is not told")
    func isBusy() throws {
        let namespace = try NetworkNamespace()
        let folder = try ScratchFolder()
        let lock = try namespace.run { try NamespaceLock(fallbackDirectory: folder.path) }
        for _ in 0..<40 { #expect(refusal(namespace, folder.path) != nil) }
        #expect(refusal(namespace, folder.path) == .held(byProcess: nil))
        #expect(isReadable(lock.descriptor))
    }

    @Test("The lock is free again when its holder is gone")
    func frees() throws {
        let namespace = try NetworkNamespace()
        let folder = try ScratchFolder()
        for _ in 0..<3 {
            do {
                let lock = try namespace.run { try NamespaceLock(fallbackDirectory: folder.path) }
                #expect(lock.descriptor >= 0)
            }
            try expectFree(namespace, folder.path)
        }
    }

    /// Inside `unshare -Ur` there is one user only.
    private static let hasOtherUsers = getuid() == 0 && setprivWorks()

    private static func setprivWorks() -> Bool {
        (try? Command("setpriv", "--reuid", "65534", "--clear-groups", "true").run().status) == 0
    }

    /// A perl script that holds the address until it is killed; should nobody be left to do that, for a minute.
    private static let listener = """
        use Socket; socket(S, AF_UNIX, 5, 0) or die; bind(S, pack_sockaddr_un("\\0masqd")) or die $!;
        listen(S, 5) or die; syswrite(STDOUT, "listening"); alarm 60; 1 while accept(C, S);
        """

    @Test(
        "Another user's process with CAP_NET_ADMIN is a masqd, as the unit runs it",
        .enabled(if: hasOtherUsers, "needs a second user: not inside of `unshare -Ur`"))
    func otherUser() throws {
        let namespace = try NetworkNamespace()
        let folder = try ScratchFolder()
        let holder = try Command(
            "setpriv", "--reuid", "65534", "--clear-groups", "--inh-caps", "+net_admin", "--ambient-caps",
            "+net_admin", "perl", "-e", Self.listener
        ).start(in: namespace)
        try eventually("it listens") { try holder.standardOutput == "listening" }
        #expect(refusal(namespace, folder.path) == .held(byProcess: holder.pid))
    }

    @Test(
        "Where a stranger has the address, a locked file decides",
        .enabled(if: hasOtherUsers, "needs a second user: not inside of `unshare -Ur`"))
    func fallsBack() throws {
        let namespace = try NetworkNamespace()
        let folder = try ScratchFolder()
        let stranger = try Command(
            "setpriv", "--reuid", "65534", "--clear-groups", "perl", "-e", Self.listener
        )
        .start(in: namespace)
        try eventually("the stranger listens") { try stranger.standardOutput == "listening" }

        do {
            let lock = try namespace.run { try NamespaceLock(fallbackDirectory: folder.path) }
            let holder = lock.stranger
            #expect(holder == stranger.pid)
            #expect(refusal(namespace, folder.path) == .held(byProcess: nil))
        }
        try expectFree(namespace, folder.path)
        #expect(refusal(namespace, "/nowhere") != nil)
    }
}
