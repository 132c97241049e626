// SPDX-License-Identifier: GPL-3.0-or-later

/// What addresses are translated to, in the order of the file, with their places.
struct TargetList {
    let targets: [SourceNAT.Target]
    let strings: StringList

    /// One of them as it is written, in quotes.
    func text(at index: Int) -> String { (strings.string(at: index) ?? "").quoted }
}

extension ConfigurationReader {
    /// Reads `to`: an address, a range or a network for each family, or nothing if one is wrong.
    mutating func targets(_ entry: TomlEntry) -> TargetList? {
        guard let list = strings(entry) else { return nil }
        var targets: [SourceNAT.Target] = []
        for index in 0..<list.count {
            guard let text = list.string(at: index) else { continue }
            do throws(NATTargetSyntaxError) {
                let target = try SourceNAT.Target(text)
                if targets.contains(where: { $0.family == target.family }) {
                    diagnostics.add(
                        .error, at: list.place(of: index),
                        "\(text.quoted): only one \(target.family.name) address, range or network can be translated to"
                    )
                } else {
                    targets.append(target)
                }
            } catch {
                diagnostics.add(.error, at: list.place(of: index), "\(text.quoted): \(error)")
            }
        }
        if list.count == 0 {
            diagnostics.add(.error, at: list.place, "\(entry.key.quoted) is empty, name at least one address")
        }
        return targets.count == list.count && list.count > 0
            ? TargetList(targets: targets, strings: list) : nil
    }

    /// Reports targets that the sources can't be translated to.
    mutating func reportTargets(of draft: OutboundDraft) {
        guard let targets = draft.targets, let source = draft.source else { return }
        for (index, target) in targets.targets.enumerated() {
            let sources = source.merged.filter { $0.family == target.family }
            let place = targets.strings.place(of: index)
            if sources.isEmpty {
                diagnostics.add(
                    .error, at: place,
                    "\(targets.text(at: index)) is \(target.family.name), and no source of this block is")
            }
            guard target.isOneToOne else { continue }
            for (number, other) in source.networks.enumerated()
            where other.family == target.family && !source.covered.contains(number)
                && (sources.count > 1 || !target.canMap(other))
            {
                diagnostics.add(
                    .error, at: source.strings.place(of: number),
                    "\"\(other)\" can't be mapped 1:1 to \(targets.text(at: index)): \(target.conditionForMapping)"
                )
                break
            }
        }
        for (index, network) in source.networks.enumerated()
        where !targets.targets.contains(where: { $0.family == network.family }) {
            diagnostics.add(
                .error, at: source.strings.place(of: index),
                "\"\(network)\" is \(network.family.name), and \"to\" has no \(network.family.name) address")
            break
        }
        reportUselessPortKeys(of: draft)
    }

    /// Reports addresses that are translated to themselves.
    ///
    /// The kernel does not take that for a translation (`nf_nat_setup_info` in net/netfilter/nf_nat_core.c sets
    /// `IPS_SRC_NAT` where something changes), so the leak guard holds back all packets but the first.
    mutating func reportTargetsAmongSources(of blocks: [OutboundDraft]) {
        for (number, draft) in blocks.enumerated() {
            guard let targets = draft.targets, let source = draft.source, let ways = draft.outInterfaces
            else { continue }
            // What an earlier block takes on all of the ways never gets here.
            let earlier = blocks[..<number].filter { other in
                ways.allSatisfy { way in other.outInterfaces?.contains { $0.covers(way) } ?? false }
            }.flatMap { $0.source?.networks ?? [] }
            for (index, target) in targets.targets.enumerated() {
                guard case .fixed(let fixed) = target else { continue }
                if case .network(let network) = fixed, source.networks.contains(network) {
                    diagnostics.add(
                        .error, at: targets.strings.place(of: index),
                        "\(targets.text(at: index)) is mapped to itself: write a [[routed]] for what keeps its address"
                    )
                    continue
                }
                let own = AddressRanges(family: fixed.family, networks: source.networks)
                let claims = [
                    AddressRanges(family: fixed.family, networks: earlier),
                    own.intersection(with: fixed.range),
                ]
                guard let first = AddressRanges.divided(claims)[1].ranges.ranges.first?.first else {
                    continue
                }
                let address = IPAddress(family: fixed.family, value: first)
                diagnostics.add(
                    .warning, at: targets.strings.place(of: index),
                    """
                    \(targets.text(at: index)): \(address) is a source of this block too, and a host that has it is cut off: \
                    put a [[routed]] for it before this block, unless it is the gateway's own
                    """)
            }
        }
    }

    /// A mapping of networks keeps ports, since every source has an address of its own.
    private mutating func reportUselessPortKeys(of draft: OutboundDraft) {
        guard let targets = draft.targets?.targets else { return }
        if draft.inbound, let place = draft.inboundPlace, !targets.contains(where: \.isOneToOne) {
            diagnostics.add(
                .error, at: place,
                "\"inbound\" needs a network in \"to\"; to forward ports of an address, write a [[port_forward]]"
            )
        }
        if let place = draft.prefixFrom?.place, !targets.contains(.uplinkPrefix) {
            diagnostics.add(.error, at: place, "\"prefix_from\" needs \"uplink-prefix\" in \"to\"")
        }
        guard targets.allSatisfy(\.isOneToOne) else { return }
        for entry in draft.portKeys where Section.snat.keys.contains(entry.key) {
            diagnostics.add(
                .error, at: place(entry.position),
                "\(entry.key.quoted) means nothing where \"to\" is a network: each source has an address of its own"
            )
        }
    }

}

extension SourceNAT.Target {
    private static let uplinkPrefixWord = "uplink-prefix"

    fileprivate init(_ text: String) throws(NATTargetSyntaxError) {
        self = text == Self.uplinkPrefixWord ? .uplinkPrefix : .fixed(try NATTarget(text))
    }

    /// Whether each address of a network gets one of its own.
    fileprivate func canMap(_ network: IPNetwork) -> Bool {
        switch self {
        case .fixed(.network(let own)): own.prefixLength == network.prefixLength
        case .fixed(.pool): false
        case .uplinkPrefix: true
        }
    }

    fileprivate var conditionForMapping: String {
        switch self {
        case .fixed(let target):
            "there must be one source of this family, with the same prefix length; a pool for many is written "
                + "\"\(target.first)-\(target.last)\""
        case .uplinkPrefix: "there must be one IPv6 source"
        }
    }
}

extension AddressFamily {
    /// As people write it.
    var name: String { self == .ipv4 ? "IPv4" : "IPv6" }
}
