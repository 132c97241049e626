// SPDX-License-Identifier: GPL-3.0-or-later

extension Ruleset {
    /// The same, with every set and map of one element written into the rules that look it up.
    ///
    /// A comparison costs a packet a fraction of a look-up, and most gateways have one uplink and one network of each family
    /// (decision 20). What follows the machine's links stays a set, and so does what a rule asks not to be in.
    func inliningSingleElements() -> Ruleset {
        var singles: [String: SingleElement] = [:]
        for set in sets { singles[set.name] = set.singleElement }
        for case .addressNot(_, _, let set) in chains.lazy.flatMap(\.rules).flatMap(\.matches) {
            singles[set] = nil
        }
        guard !singles.isEmpty else { return self }
        var ruleset = self
        ruleset.sets.removeAll { singles[$0.name] != nil }
        for chain in chains.indices {
            ruleset.chains[chain].rules = chains[chain].rules.map { $0.inlining(singles) }
        }
        return ruleset
    }

    /// What a set or map has for its only element.
    fileprivate enum SingleElement {
        case network(IPNetwork)
        case interface(InterfaceName)
        case jump(interface: InterfaceName, chain: String)
    }
}

extension Ruleset.NamedSet {
    fileprivate var singleElement: Ruleset.SingleElement? {
        guard source == nil else { return nil }
        switch elements {
        case .addresses(let ranges) where ranges.ranges.count == 1:
            return ranges.ranges[0].network(in: ranges.family).map { .network($0) }
        case .interfaces(let names) where names.count == 1: return names.first.map { .interface($0) }
        case .jumps(let jumps) where jumps.count == 1:
            return jumps.first.map { .jump(interface: $0.key, chain: $0.value) }
        default: return nil
        }
    }
}

extension Rule {
    fileprivate func inlining(_ singles: [String: Ruleset.SingleElement]) -> Rule {
        var rule = self
        rule.matches = matches.map { match in
            switch match {
            case .address(_, let side, let set):
                if case .network(let network)? = singles[set] { .network(side, network) } else { match }
            case .interfaceIn(let direction, let set):
                if case .interface(let name)? = singles[set] {
                    .interface(direction, .name(name))
                } else {
                    match
                }
            default: match
            }
        }
        if case .dispatch(let direction, let map) = action, case .jump(let name, let chain)? = singles[map] {
            rule.matches.append(.interface(direction, .name(name)))
            rule.action = .jump(chain)
        }
        return rule
    }
}
