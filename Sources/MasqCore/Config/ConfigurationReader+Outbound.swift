// SPDX-License-Identifier: GPL-3.0-or-later

/// An ``OutboundBlock`` as it is read: whatever of it was right, with the places that later checks report.
struct OutboundDraft {
    let kind: OutboundBlock.Kind
    /// Where its header is.
    let place: Place
    /// Absent if the block has no right list of interfaces.
    var outInterfaces: [InterfacePattern]?
    /// Absent if the block has no right list of networks.
    var source: NetworkList?
    var exclude: NetworkList?
    var options = NATOptions()
    var routing = Routing()
    /// Absent if the block has no right list of targets.
    var targets: TargetList?
    var inbound = false
    /// Where it says that it is.
    var inboundPlace: Place?
    /// The link whose prefix is taken, and where the file says so.
    var prefixFrom: (link: InterfaceName, place: Place)?
    /// The keys that are of no use where a network is mapped to another.
    var portKeys: [TomlEntry] = []

    init(_ kind: OutboundBlock.Kind, at place: Place) {
        self.kind = kind
        self.place = place
    }

    /// The whole block, if everything that it needs is right.
    var block: OutboundBlock? {
        guard let outInterfaces, let source else { return nil }
        let translation: OutboundBlock.Translation
        switch kind {
        case .masquerade: translation = .masquerade(options)
        case .routed: translation = .routed(routing)
        case .snat:
            guard let targets else { return nil }
            var snat = SourceNAT(to: targets.targets, options: options)
            snat.inbound = inbound
            snat.prefixFrom = prefixFrom?.link
            translation = .snat(snat)
        }
        var block = OutboundBlock(
            line: place.position?.line ?? 0, outInterfaces: outInterfaces, source: source.merged,
            translation: translation)
        block.exclude = exclude?.merged ?? []
        return block
    }
}

/// Networks in the order of the file, with their places.
struct NetworkList {
    let networks: [IPNetwork]
    let strings: StringList
    /// The indices of those that lie within another of the list.
    let covered: Set<Int>

    /// Those that together are the same addresses, without overlap.
    var merged: [IPNetwork] {
        covered.isEmpty ? networks : networks.indices.filter { !covered.contains($0) }.map { networks[$0] }
    }
}

extension ConfigurationReader {
    /// Reads one `[[masquerade]]`.
    mutating func masqueradeBlock(_ table: TomlValue) -> OutboundDraft {
        outboundBlock(.masquerade, table) { reader, entry, draft in
            switch entry.key {
            case "exclude": draft.exclude = reader.exclude(entry)
            default: return reader.readOption(entry, into: &draft.options)
            }
            return true
        }
    }

    /// Reads one `[[routed]]`.
    mutating func routedBlock(_ table: TomlValue) -> OutboundDraft {
        outboundBlock(.routed, table) { reader, entry, draft in
            switch entry.key {
            case "unsolicited": draft.routing.unsolicited = reader.choice(entry)
            case "echo_request": draft.routing.echoRequest = reader.choice(entry) ?? .accept
            default: return false
            }
            return true
        }
    }

    /// Reads one `[[snat]]`.
    mutating func snatBlock(_ table: TomlValue) -> OutboundDraft {
        let draft = outboundBlock(.snat, table) { reader, entry, draft in
            switch entry.key {
            case "to": draft.targets = reader.targets(entry)
            case "exclude": draft.exclude = reader.exclude(entry)
            case "inbound":
                draft.inbound = reader.boolean(entry) ?? false
                draft.inboundPlace = reader.place(entry.position)
            case "prefix_from":
                let place = reader.place(entry.position)
                draft.prefixFrom = reader.interfaceName(entry).map { ($0, place) }
            default:
                draft.portKeys.append(entry)
                return reader.readOption(entry, into: &draft.options)
            }
            return true
        }
        reportTargets(of: draft)
        return draft
    }

    /// Reads a block of any kind: what all kinds have, what one kind has, and what is missing.
    ///
    /// - Parameter readOwn: reads a key of the kind's own, and says whether it is one.
    private mutating func outboundBlock(
        _ kind: OutboundBlock.Kind, _ table: TomlValue,
        readOwn: (inout ConfigurationReader, TomlEntry, inout OutboundDraft) -> Bool
    ) -> OutboundDraft {
        var draft = OutboundDraft(kind, at: place(table.position))
        var missing = kind.requiredKeys
        for entry in table.entries {
            missing.removeAll { $0 == entry.key }
            switch entry.key {
            case "out_interface":
                draft.outInterfaces = strings(entry).flatMap {
                    interfaces($0, emptyHint: "\"out_interface\" is empty, ")
                }
            case "source":
                draft.source = strings(entry).flatMap { networks($0, emptyHint: "\"source\" is empty, ") }
            default:
                guard !readOwn(&self, entry, &draft) else { continue }
                // A misspelt key is not missing as well.
                let meant = reportUnknown(entry, in: kind.section)
                missing.removeAll { $0 == meant }
            }
        }
        for key in missing {
            diagnostics.add(.error, at: draft.place, "\(kind.header) without \(key.quoted), which it needs")
        }
        reportUselessExclude(of: draft)
        return draft
    }

    private mutating func exclude(_ entry: TomlEntry) -> NetworkList? {
        strings(entry).flatMap { networks($0, emptyHint: nil) }
    }

    /// Reads a key of ``NATOptions``, or says that it is none.
    private mutating func readOption(_ entry: TomlEntry, into options: inout NATOptions) -> Bool {
        switch entry.key {
        case "ports": options.ports = ports(entry)
        case "random": options.random = choice(entry) ?? .none
        case "persistent": options.persistent = boolean(entry) ?? false
        default: return false
        }
        return true
    }

    /// The block that `--out-interface` and `--source` describe.
    mutating func commandLineBlock(outInterfaces: [String], sources: [String]) -> OutboundBlock? {
        var draft = OutboundDraft(.masquerade, at: Place(origin: path, position: nil))
        draft.outInterfaces = interfaces(
            StringList(option: "--out-interface", arguments: outInterfaces), emptyHint: "")
        draft.source = networks(StringList(option: "--source", arguments: sources), emptyHint: "")
        return draft.block
    }

    /// Reads a list of interfaces, or nothing if one is wrong; what is listed twice is left out.
    mutating func interfaces(_ list: StringList, emptyHint: String) -> [InterfacePattern]? {
        var patterns: [InterfacePattern] = []
        var seen: Set<InterfacePattern> = []
        var isRight = true
        for index in 0..<list.count {
            guard let text = list.string(at: index) else {
                isRight = false
                continue
            }
            do throws(InterfacePatternSyntaxError) {
                let pattern = try InterfacePattern(text)
                if seen.insert(pattern).inserted {
                    patterns.append(pattern)
                } else {
                    diagnostics.add(.warning, at: list.place(of: index), "\(text.quoted) is listed twice")
                }
            } catch {
                isRight = false
                diagnostics.add(.error, at: list.place(of: index), "\(text.quoted): \(error)")
            }
        }
        if list.count == 0 {
            diagnostics.add(.error, at: list.place, "\(emptyHint)name at least one interface")
            return nil
        }
        return isRight ? patterns : nil
    }

    /// Reads a list of networks, or nothing if one is wrong.
    ///
    /// - Parameter emptyHint: what to say in front of the error if the list is empty; nothing if it may be.
    mutating func networks(_ list: StringList, emptyHint: String?) -> NetworkList? {
        var networks: [IPNetwork] = []
        networks.reserveCapacity(list.count)
        for index in 0..<list.count {
            let outcome = list.withBytes(at: index) { text -> Result<IPNetwork, IPNetworkSyntaxError> in
                do throws(IPNetworkSyntaxError) {
                    return .success(try IPNetwork(text))
                } catch {
                    return .failure(error)
                }
            }
            switch outcome {
            case .success(let network): networks.append(network)
            case .failure(let error):
                let text = list.string(at: index) ?? ""
                diagnostics.add(.error, at: list.place(of: index), "\(text.quoted): \(error)")
            case nil: break  // not a string, and reported as such
            }
        }
        if let emptyHint, list.count == 0 {
            diagnostics.add(.error, at: list.place, "\(emptyHint)name at least one network")
            return nil
        }
        // With one left out the others no longer have their strings' indices; it is an error anyway.
        guard networks.count == list.count else { return nil }
        return NetworkList(networks: networks, strings: list, covered: reportOverlaps(networks, in: list))
    }

    /// Warns about what can never match: destinations of a family that no source has.
    private mutating func reportUselessExclude(of draft: OutboundDraft) {
        guard let exclude = draft.exclude, let source = draft.source else { return }
        for family in AddressFamily.allCases where !source.networks.contains(where: { $0.family == family }) {
            guard let index = exclude.networks.firstIndex(where: { $0.family == family }) else { continue }
            diagnostics.add(
                .warning, at: exclude.strings.place(of: index),
                "\"\(exclude.networks[index])\" excludes nothing, since no source of this block is \(family.name)"
            )
        }
    }
}

extension OutboundBlock.Kind {
    /// The table in the file, with what may stand in it.
    var section: ConfigurationReader.Section {
        switch self {
        case .masquerade: .masquerade
        case .routed: .routed
        case .snat: .snat
        }
    }

    /// What a block can't be without.
    fileprivate var requiredKeys: [String] {
        let common = ["out_interface", "source"]
        return self == .snat ? common + ["to"] : common
    }

    /// `[[masquerade]]`.
    var header: String { section.header }

    /// All of them, for people: `[[masquerade]] or [[routed]]`.
    static var choices: String {
        Suggestion.enumeration(allCases.map(\.header))
    }
}
