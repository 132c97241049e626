// SPDX-License-Identifier: GPL-3.0-or-later

/// Which packets of masqueraded connections carry the mark by which others' chains let them pass.
///
/// Only those that would be dropped otherwise: where an owner has a rule of his own for established connections, as ufw
/// has, marking first packets is enough, and costs all others next to nothing.
public struct Permission: OptionSet, Hashable, Sendable {
    /// One bit for each.
    public let rawValue: UInt8

    /// Makes a set of its bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The first packets of connections.
    public static let firstPackets = Permission(rawValue: 1)
    /// All that follow, in both directions.
    public static let laterPackets = Permission(rawValue: 2)
    /// All of them.
    public static let all: Permission = [.firstPackets, .laterPackets]
}
