// SPDX-License-Identifier: GPL-3.0-or-later

extension RulesetBuilder {
    /// Connections from an uplink to a mapped address go to the host that it stands for, where the file wants it.
    ///
    /// The gateway's own addresses stay its own, also where they are in the mapped network.
    var mappingRules: [Rule] {
        blocks.flatMap { block in
            block.inboundFamilies.flatMap { family -> [Rule] in
                guard let inside = block.block.mappedSource(family) else { return [] }
                let mapped = Rule.Match.address(family, .destination, set: block.outside(family))
                return disguiseRules(block, family, when: [mapped])
                    + arrives(by: block).map {
                        Rule(
                            [$0, mapped, .destinationNotLocal],
                            .destinationNAT(NATTarget.network(inside).inRules),
                            comment: comment("inbound", line: block.block.line)
                        )
                    }
            }
        }
    }

    /// The uplink's network at the moment; as long as it has none nothing may leave.
    func prefixRules(_ block: BlockNames, _ source: Rule.Match) -> [Rule] {
        [
            Rule(
                [source], counter: block.counter, .sourceNATByInterface(map: block.prefixes),
                comment: comment(block)),
            Rule(
                [source], counter: "leak_guard", drop(.noPrefix),
                comment: comment("no prefix yet", line: block.block.line)),
        ]
    }
}

extension BlockNames {
    /// The map from uplinks to their networks.
    var prefixes: String { "\(counter)_prefixes" }
    /// The set of the addresses that hosts are mapped to.
    func outside(_ family: AddressFamily) -> String { "\(counter)_outside\(family.suffix)" }

    /// The families in which connections from outside are let in to a mapped network.
    var inboundFamilies: [AddressFamily] {
        guard case .snat(let snat) = block.translation, snat.inbound else { return [] }
        return families.filter { snat.target($0)?.isOneToOne == true }
    }

    /// What only a block that maps networks needs.
    var mappingSets: [Ruleset.NamedSet] {
        guard case .snat(let snat) = block.translation else { return [] }
        var sets: [Ruleset.NamedSet] = []
        for family in families {
            switch snat.target(family) {
            case .fixed(let target):
                guard inboundFamilies.contains(family) else { continue }
                let range = AddressRanges(family: family, merging: [target.range])
                sets.append(.init(outside(family), .addresses(range)))
            case .uplinkPrefix:
                guard let length = block.mappedSource(family)?.prefixLength else { continue }
                let (links, from) = (block.outInterfaces, snat.prefixFrom)
                sets.append(
                    .init(prefixes, following: .prefixByLink(links, length: length, from: from)))
                guard inboundFamilies.contains(family) else { continue }
                sets.append(
                    .init(outside(family), following: .prefixes(links, length: length, from: from)))
            case nil: continue
            }
        }
        return sets
    }
}
