// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc

/// A value that threads share, behind a pthread mutex.
///
/// ThreadSanitizer knows pthread's mutexes; the standard library's `Mutex` is made of futexes that it can't see, and so
/// it reports races where there are none.
public final class Guarded<Value>: @unchecked Sendable {
    private var value: Value
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)

    /// Makes it of its first value.
    public init(_ value: Value) {
        self.value = value
        pthread_mutex_init(mutex, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// Reads or changes the value while nobody else does.
    public func withLock<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(&value)
    }
}
