// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter

/// Gives memory back to the system that was needed to start, or to read a configuration, and is not for waiting.
public func returnMemory() { CNetfilter_return_memory() }

/// What a C library has made; the process ends where it made nothing.
func allocated(_ object: OpaquePointer?, _ name: String) -> OpaquePointer {
    // Then malloc() failed, or libnftnl does not know the name of an expression, which is a mistake of masqd's own: neither is
    // anything that a caller could answer to, and Swift ends the process likewise.
    guard let object else { fatalError("a library has no memory for \(name), or does not know it") }
    return object
}
