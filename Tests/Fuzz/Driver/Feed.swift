// SPDX-License-Identifier: GPL-3.0-or-later

import CFuzzDriver
import FuzzTargets
import Glibc

/// The target that $MASQD_FUZZ names.
private let target: FuzzTarget = {
    guard let name = getenv("MASQD_FUZZ"), let target = FuzzTarget(rawValue: String(cString: name)) else {
        fatalError("$MASQD_FUZZ must be one of \(FuzzTarget.allCases.map(\.rawValue))")
    }
    return target
}()

/// Feeds one input; a trap is a finding.
@_cdecl("CFuzzDriver_feed")
public func feed(_ bytes: UnsafePointer<UInt8>?, _ count: Int) {
    let breach = target.breach(in: UnsafeRawBufferPointer(start: bytes, count: count))
    if let breach { fatalError(breach) }
}
