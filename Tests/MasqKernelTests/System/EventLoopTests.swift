// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport
import Testing

@testable import MasqKernel

@Suite struct EventLoopTests {
    @Test("The loop tells which descriptors are readable, by tag")
    func tells() throws {
        let loop = try EventLoop()
        var (one, other): ([CInt], [CInt]) = ([0, 0], [0, 0])
        try #require(pipe(&one) == 0 && pipe(&other) == 0)
        defer { (one + other).forEach { close($0) } }
        try loop.watch(one[0], tag: 7)
        try loop.watch(other[0], tag: 8)
        write(other[1], "x", 1)
        #expect(try loop.wait() == 8)
        // Until it was read.
        #expect(try loop.wait() == 8)
    }

    @Test("A descriptor that is never read keeps the loop from none of the others")
    func takesTurns() throws {
        let loop = try EventLoop()
        var pipes: [[CInt]] = []
        defer { pipes.joined().forEach { close($0) } }
        for tag in 1...3 {
            var ends: [CInt] = [0, 0]
            try #require(pipe(&ends) == 0)
            pipes.append(ends)
            try loop.watch(ends[0], tag: UInt32(tag))
            write(ends[1], "x", 1)
        }
        let turns = try (0..<9).map { _ in try loop.wait() }
        for tag in 1...3 as ClosedRange<UInt32> { #expect(turns.count { $0 == tag } == 3) }
    }

    @Test("What can't be watched is an error that names it")
    func refuses() throws {
        let loop = try EventLoop()
        #expect(throws: SystemError("watch", "descriptor -1", code: EBADF)) { try loop.watch(-1, tag: 1) }
    }

    @Test("A timer fires once, or again and again, and not before its time")
    func timer() throws {
        let loop = try EventLoop()
        let timer = try TimerSource()
        try loop.watch(timer.descriptor, tag: 1)
        let start = ContinuousClock.now
        timer.start(milliseconds: 30)
        #expect(!isReadable(timer.descriptor))
        #expect(try loop.wait() == 1)
        #expect(.now - start >= .milliseconds(29))
        timer.acknowledge()
        #expect(!isReadable(timer.descriptor))

        timer.start(milliseconds: 5, repeating: true)
        for _ in 0..<3 {
            #expect(try loop.wait() == 1)
            timer.acknowledge()
        }
        // Starting it anew ends what ran.
        timer.start(milliseconds: 60_000)
        timer.acknowledge()
        #expect(!isReadable(timer.descriptor))
        timer.start(milliseconds: 1500)
        #expect(!isReadable(timer.descriptor))
    }

    @Test("A signal is something to read, each kind once")
    func signals() throws {
        var mask = sigset_t()
        pthread_sigmask(SIG_SETMASK, nil, &mask)
        defer { pthread_sigmask(SIG_SETMASK, &mask, nil) }
        let source = try SignalSource([SIGURG, SIGWINCH])
        #expect(!isReadable(source.descriptor))
        // To this thread: others of the test process don't block them.
        pthread_kill(pthread_self(), SIGURG)
        pthread_kill(pthread_self(), SIGWINCH)
        #expect(isReadable(source.descriptor))
        let first = source.next()
        let second = source.next()
        let none = source.next()
        #expect(Set([first, second]) == [SIGURG, SIGWINCH])
        #expect(none == nil)
    }
}
