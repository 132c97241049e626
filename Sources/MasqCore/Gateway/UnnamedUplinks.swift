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
        /// What is wrong with the link, for people.
        let reason: String
    }

    /// Nothing is known yet.
    public init() { (ways, isHeldBack) = ([], true) }

    /// Looks at where the default routes lead now.
    ///
    /// - Parameter isDecisive: whether they decide: with several `[[uplink]]` policy routing does while one is usable.
    public init(
        _ configuration: Configuration, _ links: Links, _ defaults: DefaultRoutes, isDecisive: Bool = true
    ) {
        isHeldBack = configuration.forward.unnamedUplink == .drop
        guard isDecisive else {
            ways = []
            return
        }
        let hiding = configuration.outbound.filter(\.translation.hidesSource).flatMap(\.source)
        ways = AddressFamily.allCases.flatMap { family -> [Way] in
            let sources = hiding.filter { $0.family == family }
            guard !sources.isEmpty else { return [] }
            return defaults.leading(family, links).compactMap { link in
                // A link may be named for some of the sources, and not for others.
                let named = configuration.outbound.filter {
                    $0.outInterfaces.contains { $0.matches(link.name) }
                }
                .flatMap(\.source)
                let left = sources.filter { source in !named.contains { $0.covers(source) } }
                guard !left.isEmpty else { return nil }
                let summary = UplinkStatus.summary(of: left)
                let reason =
                    named.isEmpty ? "which no out_interface names" : "which no block names for \(summary)"
                return Way(family: family, name: link.name, sources: summary, reason: reason)
            }
        }
    }

    /// What changed since an earlier look, a line each.
    ///
    /// - Parameter defaults: the default routes as they are: a way may have ended because a block names the link now.
    public func changes(
        since earlier: UnnamedUplinks, _ links: Links, _ defaults: DefaultRoutes
    ) -> [(severity: Action.Severity, line: String)] {
        let new = ways.filter { !earlier.ways.contains($0) || isHeldBack != earlier.isHeldBack }
        let old = earlier.ways.filter { way in
            !ways.contains { ($0.family, $0.name) == (way.family, way.name) }
        }
        return new.map { (.warning, claim($0, isInForce: true)) }
            + old.map { way in
                let isStillThere = defaults.leading(way.family, links).contains { $0.name == way.name }
                return (.notice, way.end(isStillThere: isStillThere))
            }
    }

    /// A line for each, as the log and the doctor have it.
    var claims: [String] { claims { _ in true } }

    /// Those of the links that the caller wants to hear of.
    func claims(isInForce: Bool = true, where isOfInterest: (InterfaceName) -> Bool) -> [String] {
        ways.filter { isOfInterest($0.name) }.map { claim($0, isInForce: isInForce) }
    }

    /// A few words for a status display; nothing where there is none.
    var summary: String? {
        guard !ways.isEmpty else { return nil }
        return ways.map {
            "the \($0.family.name) default route leads out of \($0.name), \($0.reason)"
        }.joined(separator: "; ") + (isHeldBack ? ": held back" : ": not translated")
    }

    /// - Parameter isInForce: whether the rules are there that hold it back.
    private func claim(_ way: Way, isInForce: Bool = true) -> String {
        "the \(way.family.name) default route leads out of \(way.name), \(way.reason): "
            + (isHeldBack
                ? "what \(way.sources) sends by it \(isInForce ? "is" : "would be") held back ([forward] unnamed_uplink = \"accept\" lets it leave)"
                : "what \(way.sources) sends by it leaves with its own address ([forward] unnamed_uplink = \"accept\")")
    }
}

extension UnnamedUplinks.Way {
    fileprivate func end(isStillThere: Bool) -> String {
        isStillThere
            ? "the \(family.name) default route out of \(name) no longer concerns \(sources)"
            : "the \(family.name) default route no longer leads out of \(name), \(reason)"
    }
}
