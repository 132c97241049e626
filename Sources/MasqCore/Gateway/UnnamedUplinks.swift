// SPDX-License-Identifier: GPL-3.0-or-later

/// The links that the default route leads out of, and that no block names: nothing there is translated.
public struct UnnamedUplinks: Equatable, Sendable {
    /// One for each family and link, IPv4 first.
    let ways: [Way]
    private let isHeldBack: Bool

    /// One link.
    struct Way: Equatable, Sendable {
        let family: AddressFamily
        let name: InterfaceName
        /// Whose traffic it is, for people: `192.168.0.0/16 and 3 more`.
        let sources: String
    }

    /// Nothing is known yet.
    public init() { (ways, isHeldBack) = ([], true) }

    /// Looks at where the default routes lead now.
    public init(_ configuration: Configuration, _ links: Links, _ defaults: DefaultRoutes) {
        isHeldBack = configuration.forward.unnamedUplink == .drop
        let hiding = configuration.outbound.filter(\.translation.hidesSource).flatMap(\.source)
        // With several [[uplink]] policy routing decides before the main table's default route does.
        guard configuration.uplinks.isEmpty else {
            ways = []
            return
        }
        ways = AddressFamily.allCases.flatMap { family -> [Way] in
            let sources = hiding.filter { $0.family == family }
            guard !sources.isEmpty else { return [] }
            return defaults.leading(family, links).filter { link in
                !configuration.outbound.contains { $0.outInterfaces.contains { $0.matches(link.name) } }
            }.map { Way(family: family, name: $0.name, sources: UplinkStatus.summary(of: sources)) }
        }
    }

    /// What changed since an earlier look, a line each.
    public func changes(since earlier: UnnamedUplinks) -> [(severity: Action.Severity, line: String)] {
        let new = ways.filter { !earlier.ways.contains($0) || isHeldBack != earlier.isHeldBack }
        let old = earlier.ways.filter { way in
            !ways.contains { ($0.family, $0.name) == (way.family, way.name) }
        }
        return new.map { (.warning, claim($0)) } + old.map { (.notice, $0.end) }
    }

    /// A line for each, as the log and the doctor have it.
    var claims: [String] { claims { _ in true } }

    /// Those of the links that the caller wants to hear of.
    func claims(where isOfInterest: (InterfaceName) -> Bool) -> [String] {
        ways.filter { isOfInterest($0.name) }.map(claim)
    }

    /// A few words for a status display; nothing where there is none.
    var summary: String? {
        guard !ways.isEmpty else { return nil }
        return ways.map {
            "the \($0.family.name) default route leads out of \($0.name), which no out_interface names"
        }.joined(separator: "; ") + (isHeldBack ? ": held back" : ": not translated")
    }

    private func claim(_ way: Way) -> String {
        "the \(way.family.name) default route leads out of \(way.name), which no out_interface names: "
            + (isHeldBack
                ? "what \(way.sources) sends by it is held back ([forward] unnamed_uplink = \"accept\" lets it leave)"
                : "what \(way.sources) sends by it leaves with its own address ([forward] unnamed_uplink = \"accept\")")
    }
}

extension UnnamedUplinks.Way {
    fileprivate var end: String {
        "the \(family.name) default route no longer leads out of \(name), which no out_interface names"
    }
}
