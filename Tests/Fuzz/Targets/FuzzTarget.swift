// SPDX-License-Identifier: GPL-3.0-or-later

/// What bytes from outside are fed to, by libFuzzer or by the tests that replay the corpus.
public enum FuzzTarget: String, CaseIterable, Sendable {
    /// A configuration file, from its text to the batch that the kernel would be sent.
    case configuration
    /// Messages of rtnetlink: links, addresses, routes, forwarding switches.
    case route
    /// Messages of nf_tables: the own table, others' tables, events.
    case nftables
    /// Messages of ctnetlink: connections.
    case conntrack

    /// Feeds bytes to the target, which must neither trap nor touch memory that is not its own.
    ///
    /// - Returns: a claim that does not hold; nothing when all is well.
    public func breach(in bytes: UnsafeRawBufferPointer) -> String? {
        switch self {
        case .configuration: configurationBreach(in: bytes)
        case .route: routeBreach(in: bytes)
        case .nftables: nftablesBreach(in: bytes)
        case .conntrack: conntrackBreach(in: bytes)
        }
    }
}
