// SPDX-License-Identifier: GPL-3.0-or-later

/// The default routes of the main table, those of a reserve too: where the machine sends what it knows no better way for.
public struct DefaultRoutes: Equatable, Sendable {
    /// The routes, each way of a multipath for itself.
    public var entries: Set<Entry>

    /// One way out.
    public struct Entry: Hashable, Sendable {
        /// The family of the packets that it is for.
        public var family: AddressFamily
        /// The index of the link that it leaves by.
        public var link: Int32
        /// The lowest wins (`RTA_PRIORITY`).
        public var metric: UInt32

        /// Makes an entry.
        public init(_ family: AddressFamily, link: Int32, metric: UInt32 = 0) {
            self.family = family
            self.link = link
            self.metric = metric
        }
    }

    /// Takes those that lead anywhere, of a listing.
    public init(_ routes: [Route] = []) {
        entries = Set(
            routes.lazy.filter(\.leadsAnywhere).map {
                Entry($0.destination.family, link: $0.link, metric: $0.metric)
            })
    }

    /// The indexes of the links that a family's routes leave by, whatever their metric.
    func links(_ family: AddressFamily) -> Set<Int32> {
        Set(entries.lazy.filter { $0.family == family }.map(\.link))
    }

    /// The links that what has no better way leaves by now: those of the lowest metric among the links that are up.
    ///
    /// The kernel does not tell that a link has taken its IPv4 routes along (`fib_flush` in net/ipv4/fib_frontend.c), so a
    /// route may be in the list that is not there any more.
    func leading(_ family: AddressFamily, _ links: Links) -> [Link] {
        let alive = entries.filter { $0.family == family && links.byIndex[$0.link]?.isUp == true }
        let best = alive.map(\.metric).min()
        return alive.filter { $0.metric == best }.compactMap { links.byIndex[$0.link] }
            .sorted { $0.name < $1.name }
    }
}

extension Route {
    /// Whether it is a default route of the main table, or one of the pieces that OpenVPN lays over one without deleting it:
    /// IPv4 in halves (`redirect-gateway def1`), and 2000::/3 in quarters and eighths.
    public var leadsAnywhere: Bool {
        table == Self.mainTable && link != 0
            && destination.prefixLength <= Self.widestPrefixLength(destination.family)
    }

    /// The longest prefix of a destination that is not one network among many, but most of the Internet.
    public static func widestPrefixLength(_ family: AddressFamily) -> Int {
        switch family {
        case .ipv4: 1
        // Not fc00::/7 and ff00::/8, which the kernel and VPNs have for themselves.
        case .ipv6: 4
        }
    }
}
