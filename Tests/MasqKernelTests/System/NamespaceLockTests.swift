// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport
import Testing

@testable import MasqKernel

/// One masqd for each network namespace.
@Suite struct NamespaceLockTests {
    private func refusal(_ namespace: NetworkNamespace) -> NamespaceLock.Refusal? {
        namespace.run {
            do throws(NamespaceLock.Refusal) {
                _ = try NamespaceLock.take()
                return nil
            } catch {
                return error
            }
        }
    }

    /// Takes the lock, as soon as it is free: a program that another test starts has the descriptors of locks too that
    /// were held at that moment, from fork(2) until exec(2).
    private func taken(_ namespace: NetworkNamespace) throws -> NamespaceLock {
        for _ in 0..<500 {
            do {
                return try namespace.run { try NamespaceLock.take() }
            } catch NamespaceLock.Refusal.held {
                usleep(10_000)
            }
        }
        return try namespace.run { try NamespaceLock.take() }
    }

    @Test("The second taker is refused with the first one's pid; another namespace has a lock of its own")
    func refuses() throws {
        let (namespace, other) = (try NetworkNamespace(), try NetworkNamespace())
        let lock = try namespace.run { try NamespaceLock.take() }
        let isExclusive = lock.isExclusive
        #expect(isExclusive)
        #expect(refusal(namespace) == .held(byProcess: getpid()))
        let text = try #require(refusal(namespace)).description
        #expect(text == "another masqd (pid \(getpid())) serves this network namespace already")
        #expect(refusal(other) == nil)
        _ = consume lock
    }

    @Test("Who holds the lock is told to whoever asks, and asking takes nothing")
    func asks() throws {
        let namespace = try NetworkNamespace()
        #expect(namespace.run { NamespaceLock.currentHolder() } == nil)
        do {
            let lock = try namespace.run { try NamespaceLock.take() }
            for _ in 0..<3 {
                #expect(namespace.run { NamespaceLock.currentHolder() }?.process == getpid())
            }
            _ = consume lock
        }
        try eventually("nobody has the lock") { namespace.run { NamespaceLock.currentHolder() } == nil }
    }

    @Test("The lock is free again when its holder is gone")
    func frees() throws {
        let namespace = try NetworkNamespace()
        for _ in 0..<3 {
            let lock = try taken(namespace)
            let isExclusive = lock.isExclusive
            #expect(isExclusive)
        }
    }

    @Test("What is logged to the lock's group is dropped, and the lock stays")
    func isNoReader() throws {
        let namespace = try NetworkNamespace()
        let lock = try namespace.run { try NamespaceLock.take() }
        try namespace.nft(
            """
            table inet other {
                chain c {
                    type filter hook output priority 0;
                    log group \(NamespaceLock.group) counter
                }
            }

            """)
        // The kernel hands them on at the hundredth (`NFULNL_QTHRESH_DEFAULT`).
        try Command("ping", "-q", "-c", "100", "-i", "0.002", "127.0.0.1").run(in: namespace).expectSuccess()
        #expect(try namespace.nftListing("table", "inet", "other").contains("counter packets 200 "))
        let sockets = try Command("cat", "/proc/thread-self/net/netlink").run(in: namespace).standardOutput
        let lines = sockets.split(separator: "\n").map { line in line.split(separator: " ").map(String.init) }
        let own = lines.filter { $0.count >= 10 && $0[1] == "12" && $0[2] == String(getpid()) }
        #expect(own.count == 1)
        // Rmem, and Drops: nothing waits to be read, and nothing was too much.
        for line in own { #expect(line[4] == "0" && line[8] == "0") }
        #expect(refusal(namespace) != nil)
        _ = consume lock
    }

    /// Inside `unshare -Ur` there is one user only.
    private static let hasOtherUsers = getuid() == 0 && setprivWorks()

    private static func setprivWorks() -> Bool {
        (try? Command("setpriv", "--reuid", "65534", "--clear-groups", "true").run().status) == 0
    }

    /// A perl script that takes all of masqd's that any user can get: the port that is its pid, and the address that an
    /// earlier version had for a lock. Then it tries to get the lock itself, until it is killed, or for a minute.
    private static let squatter = """
        use Socket; socket(A, AF_UNIX, 5, 0) or die; bind(A, pack_sockaddr_un("\\0masqd")) or die $!; listen(A, 5);
        socket(N, 16, 3, 12) or die $!; bind(N, pack("SxxLL", 16, $ARGV[0], 0)) or die "bind: $!";
        syswrite(STDOUT, "squatting"); alarm 60;
        while (1) {
            socket(S, 16, 3, 12) or next; bind(S, pack("SxxLL", 16, 0, 0));
            send(S, pack("LSSLL CCn SSCxxx", 28, 0x401, 5, 1, 0, 0, 0, $ARGV[1], 5, 1, 1), 0);
            recv(S, $a, 4096, 0); my $e = unpack("x16 l", $a); if ($e != -1) { syswrite(STDOUT, "got $e"); last }
        }
        """

    @Test(
        "Whatever another user takes and tries, the lock is taken, held, told of, and free again",
        .enabled(if: hasOtherUsers, "needs a second user: not inside of `unshare -Ur`"))
    func squatter() throws {
        let namespace = try NetworkNamespace()
        let squatter = try Command(
            "setpriv", "--reuid", "65534", "--clear-groups", "--bounding-set=-all", "perl", "-e",
            Self.squatter,
            "\(getpid())", "\(NamespaceLock.group)"
        ).start(in: namespace)
        try eventually("it squats") { try squatter.standardOutput == "squatting" }
        for _ in 0..<20 {
            let lock = try taken(namespace)
            #expect(refusal(namespace) == .held(byProcess: getpid()))
            _ = consume lock
        }
        #expect(try squatter.standardOutput == "squatting")
    }

    @Test(
        "Without CAP_NET_ADMIN in the network namespace's own user namespace it is refused for that, held or not",
        .enabled(if: hasOtherUsers, "needs a second user: not inside of `unshare -Ur`"))
    func notPermitted() throws {
        let namespace = try NetworkNamespace()
        let script = "socket(N, 16, 3, 12) or die; bind(N, pack('SxxLL', 16, 0, 256)) or print $!"
        // Every capability, but in a user namespace that the network namespace does not belong to.
        let output = try Command("unshare", "-Ur", "perl", "-e", script).run(in: namespace)
        #expect(output.standardOutput == "Operation not permitted")
    }
}
