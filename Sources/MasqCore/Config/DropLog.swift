// SPDX-License-Identifier: GPL-3.0-or-later

/// `[log]`: who is told of the packets that masqd drops.
public struct DropLog: Equatable, Sendable {
    /// `drops`.
    public var drops = Drops.off
    /// The line of `drops`, where the file sets it.
    public var line: Int?
    /// `group`: of nfnetlink_log, where `drops` is ``Drops/nflog``.
    public var group: UInt16 = 0
    /// `prefix`: what each entry begins with; the reason stands behind it.
    public var prefix = "masqd drop: "
    /// `rate`: how often each reason is logged at most.
    public var rate = Rate(10, .minute, burst: 10)

    /// The longest `prefix` in bytes: the kernel takes ``Rule/maximumLogPrefixLength``, and the reason needs the rest.
    public static let maximumPrefixLength = 100

    /// Nothing is logged.
    public init() {}

    /// Who is told.
    public enum Drops: String, CaseIterable, Sendable {
        /// Nobody.
        case off
        /// The kernel's own log, which the journal has too.
        case kernel
        /// Who listens to a group of nfnetlink_log.
        case nflog
    }

    /// Who is told, as a rule says it.
    public var target: Rule.LogTarget? {
        switch drops {
        case .off: nil
        case .kernel: .kernel
        case .nflog: .group(group)
        }
    }
}
