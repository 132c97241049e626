// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport

/// Calls `body` on a thread that has given up every capability, in the calling thread's network namespace.
func withoutCapabilities<Result: Sendable>(_ body: @escaping @Sendable () -> Result) throws -> Result {
    let box = Box<Result>()
    try onNewThread { if dropCapabilities() { box.result.withLock { $0 = body() } } }
    guard let result = box.result.withLock({ $0 }) else { throw Failure("capset failed") }
    return result
}

private final class Box<Value: Sendable>: Sendable {
    let result = Guarded<Value?>(nil)
}

private func onNewThread(_ body: @escaping @Sendable () -> Void) throws {
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
    pthread_join(thread, nil)
}

/// capset(2) for the calling thread; glibc has it, but no header of its own declares it.
private func dropCapabilities() -> Bool {
    typealias Function = @convention(c) (UnsafeMutableRawPointer, UnsafeMutableRawPointer) -> CInt
    guard let symbol = dlsym(nil, "capset") else { return false }
    let capset = unsafeBitCast(symbol, to: Function.self)
    // _LINUX_CAPABILITY_VERSION_3, this thread; effective, permitted and inheritable, twice 32 bits of each.
    var header: (UInt32, CInt) = (0x2008_0522, 0)
    var data: (UInt32, UInt32, UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0, 0, 0)
    return capset(&header, &data) == 0
}
