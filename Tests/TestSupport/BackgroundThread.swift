// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import Synchronization

/// A thread that a test starts and joins; it belongs to the network namespace in which it is started.
public final class BackgroundThread: Sendable {
    private let thread: pthread_t
    private let isJoined = Atomic(false)

    /// Starts it.
    public init(_ body: @escaping @Sendable () -> Void) throws {
        final class Start {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        var thread = pthread_t()
        let start = Unmanaged.passRetained(Start(body))
        let code = pthread_create(
            &thread, nil,
            { pointer in
                guard let pointer else { return nil }
                Unmanaged<Start>.fromOpaque(pointer).takeRetainedValue().body()
                return nil
            }, start.toOpaque())
        guard code == 0 else {
            start.release()
            throw Failure("pthread_create", code: code)
        }
        self.thread = thread
    }

    /// Waits until the thread has ended; once is enough, more does nothing.
    public func join() {
        if !isJoined.exchange(true, ordering: .sequentiallyConsistent) { pthread_join(thread, nil) }
    }
}
