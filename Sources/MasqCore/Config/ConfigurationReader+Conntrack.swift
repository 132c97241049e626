// SPDX-License-Identifier: GPL-3.0-or-later

extension ConfigurationReader {
    mutating func readConntrack(_ table: TomlValue, into conntrack: inout Configuration.Conntrack) {
        var preset = ConnectionTimeout.Preset.kernel
        var own: [ConnectionTimeout: UInt32] = [:]
        for entry in table.entries {
            switch entry.key {
            case "repair": conntrack.repair = boolean(entry) ?? conntrack.repair
            case "helpers":
                conntrack.helpersLine = entry.position.line
                conntrack.helpers = strings(entry).map { helpers($0) } ?? []
            case "timeouts":
                conntrack.timeoutsLine = conntrack.timeoutsLine ?? entry.position.line
                preset = choice(entry) ?? preset
            default:
                guard let timeout = ConnectionTimeout(rawValue: entry.key) else {
                    reportUnknown(entry, in: .conntrack)
                    continue
                }
                conntrack.timeoutsLine = conntrack.timeoutsLine ?? entry.position.line
                own[timeout] =
                    integer(entry, in: ConnectionTimeout.range, unit: " of seconds").map(UInt32.init)
            }
        }
        conntrack.timeouts = preset.seconds.merging(own) { _, own in own }
    }

    /// Reads `"ftp"` and `"ftp:2121"`; what is wrong or listed twice is left out.
    private mutating func helpers(_ list: StringList) -> [TrackedProtocol] {
        var helpers: [TrackedProtocol] = []
        for index in 0..<list.count {
            guard let text = list.string(at: index), let helper = helper(text, at: list.place(of: index))
            else { continue }
            // The standard port may be written or not.
            if helpers.contains(where: { $0.trackers == helper.trackers }) {
                diagnostics.add(.warning, at: list.place(of: index), "\(text.quoted) is listed twice")
            } else {
                helpers.append(helper)
            }
        }
        return helpers
    }

    private mutating func helper(_ text: String, at place: Place) -> TrackedProtocol? {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(
            String.init)
        let known = TrackedProtocol.Kind.allCases.map(\.rawValue)
        guard let kind = TrackedProtocol.Kind(rawValue: parts[0]) else {
            let hint =
                Suggestion.nearest(to: parts[0], among: known).map { "did you mean \($0.quoted)?" }
                ?? "known here: \(Suggestion.list(known, "and"))"
            diagnostics.add(
                .error, at: place, "\(text.quoted): no helper is called \(parts[0].quoted), \(hint)")
            return nil
        }
        guard parts.count == 2 else { return TrackedProtocol(kind) }
        guard let port = UInt16(parts[1]), port > 0, parts[1].utf8.allSatisfy({ $0.decimalDigit != nil })
        else {
            diagnostics.add(
                .error, at: place,
                "\(text.quoted): expected a port from 1 to 65535 behind the colon, \"ftp:2121\"")
            return nil
        }
        guard kind != .h323 else {
            diagnostics.add(
                .error, at: place, "\(text.quoted): H.323 has two ports, 1719 and 1720, write \"h323\"")
            return nil
        }
        return TrackedProtocol(kind, port: port)
    }
}
