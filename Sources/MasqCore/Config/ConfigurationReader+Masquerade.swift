// SPDX-License-Identifier: GPL-3.0-or-later

/// A `[[masquerade]]` as it is read: whatever of it was right, with the places that later checks report.
struct MasqueradeBlock {
    /// Where its header is.
    let place: Place
    /// Absent if the block has no right list of interfaces.
    var outInterfaces: [InterfacePattern]?
    /// Absent if the block has no right list of networks.
    var source: NetworkList?
    var exclude: NetworkList?
    /// The rest of the keys, with their defaults.
    var options = Masquerade(line: 0, outInterfaces: [], source: [])

    /// The whole block, if everything that it needs is right.
    var masquerade: Masquerade? {
        guard let outInterfaces, let source else { return nil }
        var masquerade = options
        masquerade.line = place.position?.line ?? 0
        masquerade.outInterfaces = outInterfaces
        masquerade.source = source.merged
        masquerade.exclude = exclude?.merged ?? []
        return masquerade
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
    mutating func masqueradeBlock(_ table: TomlValue) -> MasqueradeBlock {
        var block = MasqueradeBlock(place: place(table.position))
        var missing = ["out_interface", "source"]
        for entry in table.entries {
            missing.removeAll { $0 == entry.key }
            switch entry.key {
            case "out_interface":
                block.outInterfaces = strings(entry).flatMap {
                    interfaces($0, emptyHint: "\"out_interface\" is empty, ")
                }
            case "source":
                block.source = strings(entry).flatMap { networks($0, emptyHint: "\"source\" is empty, ") }
            case "exclude":
                block.exclude = strings(entry).flatMap { networks($0, emptyHint: nil) }
            case "ports":
                block.options.ports = ports(entry)
            case "random":
                block.options.random = choice(entry) ?? .none
            case "persistent":
                block.options.persistent = boolean(entry) ?? false
            default:
                // A misspelt key is not missing as well.
                let meant = reportUnknown(entry, in: .masquerade)
                missing.removeAll { $0 == meant }
            }
        }
        for key in missing {
            diagnostics.add(.error, at: block.place, "[[masquerade]] without \(key.quoted), which it needs")
        }
        reportUselessExclude(of: block)
        return block
    }

    /// The block that `--out-interface` and `--source` describe.
    mutating func commandLineBlock(outInterfaces: [String], sources: [String]) -> Masquerade? {
        var block = MasqueradeBlock(place: Place(origin: path, position: nil))
        block.outInterfaces = interfaces(
            StringList(option: "--out-interface", arguments: outInterfaces), emptyHint: "")
        block.source = networks(StringList(option: "--source", arguments: sources), emptyHint: "")
        return block.masquerade
    }

    /// Reads a list of interfaces, or nothing if one is wrong; what is listed twice is left out.
    private mutating func interfaces(_ list: StringList, emptyHint: String) -> [InterfacePattern]? {
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
    private mutating func networks(_ list: StringList, emptyHint: String?) -> NetworkList? {
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
    private mutating func reportUselessExclude(of block: MasqueradeBlock) {
        guard let exclude = block.exclude, let source = block.source else { return }
        for family in AddressFamily.allCases where !source.networks.contains(where: { $0.family == family }) {
            guard let index = exclude.networks.firstIndex(where: { $0.family == family }) else { continue }
            let name = family == .ipv4 ? "IPv4" : "IPv6"
            diagnostics.add(
                .warning, at: exclude.strings.place(of: index),
                "\"\(exclude.networks[index])\" excludes nothing, since no source of this block is \(name)")
        }
    }
}
