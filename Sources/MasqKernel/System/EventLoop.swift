// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc

/// Waits for several descriptors at once; nothing wakes it but they.
public struct EventLoop: ~Copyable {
    private let epoll: Descriptor

    /// Makes a loop that waits for nothing yet.
    ///
    /// - Throws: ``SystemError``.
    public init() throws(SystemError) {
        epoll = try Descriptor(epoll_create1(CInt(EPOLL_CLOEXEC)), "create", "an epoll instance")
    }

    /// Watches a descriptor for being readable; the tag is what ``wait()`` returns.
    ///
    /// - Throws: ``SystemError``.
    public func watch(_ descriptor: CInt, tag: UInt32) throws(SystemError) {
        var event = epoll_event(events: EPOLLIN.rawValue, data: epoll_data(u32: tag))
        guard epoll_ctl(epoll.number, EPOLL_CTL_ADD, descriptor, &event) == 0 else {
            throw SystemError("watch", "descriptor \(descriptor)")
        }
    }

    /// Waits until something is readable.
    ///
    /// One thing a turn: what is readable has its turn again behind all else that is (`ep_send_events` in
    /// fs/eventpoll.c), so nobody who rings without end keeps the loop from the others.
    ///
    /// - Returns: its tag.
    /// - Throws: ``SystemError``.
    public func wait() throws(SystemError) -> UInt32 {
        while true {
            var event = epoll_event()
            let count = epoll_wait(epoll.number, &event, 1, -1)
            if count < 0, errno == EINTR { continue }
            guard count == 1 else { throw SystemError("wait for", "events") }
            return event.data.u32
        }
    }
}

/// Signals as something to read, in place of something that interrupts.
public struct SignalSource: ~Copyable {
    private let source: Descriptor

    /// Blocks the signals and opens a descriptor for them.
    ///
    /// - Throws: ``SystemError``.
    public init(_ signals: [CInt]) throws(SystemError) {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        guard sigprocmask(SIG_BLOCK, &set, nil) == 0 else { throw SystemError("block", "signals") }
        let flags = CInt(SFD_CLOEXEC) | CInt(SFD_NONBLOCK)
        source = try Descriptor(signalfd(-1, &set, flags), "create", "a signalfd")
    }

    /// The descriptor that becomes readable when a signal came.
    public var descriptor: CInt { source.number }

    /// Takes one signal, or nothing when there is none.
    public func next() -> CInt? {
        var info = signalfd_siginfo()
        let size = MemoryLayout<signalfd_siginfo>.size
        return read(source.number, &info, size) == size ? CInt(info.ssi_signo) : nil
    }
}

/// A timer as something to read.
public struct TimerSource: ~Copyable {
    private let source: Descriptor

    /// Makes a timer that is not running.
    ///
    /// - Throws: ``SystemError``.
    public init() throws(SystemError) {
        let flags = CInt(TFD_CLOEXEC) | CInt(TFD_NONBLOCK)
        source = try Descriptor(timerfd_create(CLOCK_MONOTONIC, flags), "create", "a timerfd")
    }

    /// The descriptor that becomes readable when the time is over.
    public var descriptor: CInt { source.number }

    /// Starts it anew.
    public func start(milliseconds: Int, repeating: Bool = false) {
        start(microseconds: milliseconds * 1000, repeating: repeating)
    }

    /// The same with a finer time; what has passed already is over at once.
    public func start(microseconds: Int, repeating: Bool = false) {
        // A time of zero would switch it off (timerfd_create(2)).
        let wait = max(1, microseconds)
        let time = timespec(tv_sec: wait / 1_000_000, tv_nsec: wait % 1_000_000 * 1000)
        var setting = itimerspec(it_interval: repeating ? time : timespec(), it_value: time)
        timerfd_settime(source.number, 0, &setting, nil)
    }

    /// Makes the descriptor readable at once, and until ``acknowledge()`` or ``stop()``.
    public func startNow() {
        var setting = itimerspec(it_interval: timespec(), it_value: timespec(tv_sec: 0, tv_nsec: 1))
        timerfd_settime(source.number, 0, &setting, nil)
    }

    /// Ends it: the descriptor is not readable any more.
    public func stop() {
        var setting = itimerspec()
        timerfd_settime(source.number, 0, &setting, nil)
    }

    /// Takes note that the time is over.
    public func acknowledge() {
        var expirations: UInt64 = 0
        _ = read(source.number, &expirations, MemoryLayout<UInt64>.size)
    }
}

/// Clocks, in microseconds.
public enum Clock {
    /// The time since some moment, which never goes back (`CLOCK_MONOTONIC`).
    public static var now: Int { read(CLOCK_MONOTONIC) }

    /// The CPU time that the process has used, the kernel's work for it included (`CLOCK_PROCESS_CPUTIME_ID`).
    public static var used: Int { read(CLOCK_PROCESS_CPUTIME_ID) }

    private static func read(_ clock: clockid_t) -> Int {
        var time = timespec()
        clock_gettime(clock, &time)
        return time.tv_sec * 1_000_000 + time.tv_nsec / 1000
    }
}
