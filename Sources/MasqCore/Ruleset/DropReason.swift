// SPDX-License-Identifier: GPL-3.0-or-later

/// Why masqd drops a packet, in the words of the log.
enum DropReason: String, CaseIterable, Sendable {
    /// `[clients] blocked`.
    case blockedClient = "blocked client"
    /// `[clients] allowed`.
    case clientNotAllowed = "client not allowed"
    /// `[destinations] blocked`.
    case blockedDestination = "blocked destination"
    /// `[destinations] allowed`.
    case destinationNotAllowed = "destination not allowed"
    /// `[clients] new_connections`.
    case tooManyNewConnections = "too many new connections"
    /// `[clients] max_connections`.
    case tooManyConnections = "too many connections"
    /// `[clients]` has a limit, and more clients are there than are counted one by one.
    case tooManyClients = "too many clients"
    /// It comes from an uplink, and claims to come from a network behind the gateway.
    case spoofedSource = "spoofed source"
    /// It would leave with a private source.
    case untranslated = "untranslated"
    /// `[forward] unsolicited`.
    case unsolicited = "unsolicited"
    /// `[[snat]] to = "uplink-prefix"`, and the uplink has none at the moment.
    case noPrefix = "no prefix yet"
    /// `[[masquerade]]`, and the uplink has no address at the moment.
    case noAddress = "no address yet"
    /// `[forward] unnamed_uplink`.
    case unnamedUplink = "unnamed uplink"
    /// `[forward] policy`.
    case policy = "forward policy"

    /// The chain that logs what is dropped for this reason: `drop_spoofed_source`.
    var chain: String { Self.chainPrefix + rawValue.split(separator: " ").joined(separator: "_") }

    /// The reason that a chain is for.
    init?(chain: String) {
        guard chain.hasPrefix(Self.chainPrefix) else { return nil }
        guard let reason = Self.allCases.first(where: { $0.chain == chain }) else { return nil }
        self = reason
    }

    private static let chainPrefix = "drop_"
}
