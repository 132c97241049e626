// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport

/// Calls `body` on a thread that has given up every capability, in the calling thread's network namespace.
func withoutCapabilities<Result: Sendable>(_ body: @escaping @Sendable () -> Result) throws -> Result {
    let result = Guarded<Result?>(nil)
    try BackgroundThread { if dropCapabilities() { result.withLock { $0 = body() } } }.join()
    guard let result = result.withLock({ $0 }) else { throw Failure("capset failed") }
    return result
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
