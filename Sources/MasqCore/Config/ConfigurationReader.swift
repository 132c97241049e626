// SPDX-License-Identifier: GPL-3.0-or-later

extension Configuration {
    /// What came of reading a configuration.
    public struct Reading: Sendable {
        /// The configuration; absent if and only if a diagnostic is an error.
        public var configuration: Configuration?
        /// Everything there is to say, in the file's order; at most 100, and how many there are more.
        public let diagnostics: [Diagnostic]
    }

    /// Reads a configuration file's text.
    ///
    /// - Parameters:
    ///   - text: the whole content of the file.
    ///   - path: the file's path as diagnostics should name it.
    ///   - files: reads other files that the text names.
    public static func read(
        _ text: Span<UInt8>, from path: String, files: FileReader = { _, _ in "no files can be read here" }
    ) -> Reading {
        withoutActuallyEscaping(files) {
            read(text, from: path, reader: ConfigurationReader(path: path, files: $0))
        }
    }

    private static func read(
        _ text: Span<UInt8>, from path: String, reader: consuming ConfigurationReader
    ) -> Reading {
        var reader = reader
        do throws(TomlSyntaxError) {
            return try TomlDocument.read(text) { root in
                let configuration = reader.configuration(root)
                return reader.reading(configuration)
            }
        } catch {
            reader.report(error, in: text)
            return reader.reading(nil)
        }
    }

    /// Makes a configuration with one `[[masquerade]]` of what the command line says.
    public static func read(outInterfaces: [String], sources: [String]) -> Reading {
        var reader = ConfigurationReader(path: "command line")
        let block = reader.commandLineBlock(outInterfaces: outInterfaces, sources: sources)
        return reader.reading(block.map { Configuration(origin: .commandLine, outbound: [$0]) })
    }
}

/// Turns a TOML tree into a configuration and reports whatever is wrong in it.
struct ConfigurationReader {
    let path: String
    let files: FileReader
    var diagnostics = DiagnosticList()

    init(path: String, files: @escaping FileReader = { _, _ in "no files can be read here" }) {
        self.path = path
        self.files = files
    }

    /// The result: no configuration if anything was wrong.
    func reading(_ configuration: Configuration?) -> Configuration.Reading {
        Configuration.Reading(
            configuration: diagnostics.hasErrors ? nil : configuration,
            diagnostics: diagnostics.diagnostics(origin: path))
    }

    mutating func configuration(_ root: TomlValue) -> Configuration? {
        var configuration = Configuration(origin: .file(path), outbound: [])
        var blocks: [OutboundDraft] = []
        var forwards: [PortForwardDraft] = []
        var uplinks: [UplinkBlock] = []
        var hasOutbound = false
        var none = ClientLimits()
        for entry in root.entries {
            switch entry.key {
            case "gateway":
                for table in singleTable(entry) { readGateway(table, into: &configuration.gateway) }
            case "clients":
                for table in singleTable(entry) {
                    configuration.clients = accessList(table, in: .clients, &configuration.clientLimits)
                }
            case "accounting":
                for table in singleTable(entry) { configuration.accounting = accounting(table) }
            case "destinations":
                for table in singleTable(entry) {
                    configuration.destinations = accessList(table, in: .destinations, &none)
                }
            case "forward":
                for table in singleTable(entry) { readForward(table, into: &configuration.forward) }
            case "mss":
                for table in singleTable(entry) { readMss(table, into: &configuration.mss) }
            case "conntrack":
                for table in singleTable(entry) { readConntrack(table, into: &configuration.conntrack) }
            case "log":
                for table in singleTable(entry) { configuration.log = dropLog(table) }
            case "reconcile":
                for table in singleTable(entry) { readReconcile(table, into: &configuration.reconcile) }
            case "policy_routing":
                for table in singleTable(entry) {
                    readPolicyRouting(table, into: &configuration.policyRouting)
                }
            case "uplink":
                uplinks += repeatedTables(entry).compactMap { uplinkBlock($0) }
            case "masquerade":
                hasOutbound = true
                blocks += repeatedTables(entry).map { masqueradeBlock($0) }
            case "routed":
                hasOutbound = true
                blocks += repeatedTables(entry).map { routedBlock($0) }
            case "port_forward":
                forwards = repeatedTables(entry).map { portForward($0) }
            case "snat":
                hasOutbound = true
                blocks += repeatedTables(entry).map { snatBlock($0) }
            default:
                // A misspelt one is not absent as well.
                let meant = reportUnknown(entry)
                if OutboundBlock.Kind.allCases.contains(where: { $0.rawValue == meant }) {
                    hasOutbound = true
                }
            }
        }
        if !hasOutbound, forwards.isEmpty {
            diagnostics.add(
                .error, at: place(.init(line: 1, column: 1)),
                "no \(OutboundBlock.Kind.choices): at least one must say out_interface and source")
        }
        // A file may mix the kinds, and its order decides among them.
        blocks.sort { $0.place.precedes($1.place) }
        reportConflicts(of: blocks)
        reportTargetsAmongSources(of: blocks)
        configuration.outbound = blocks.compactMap(\.block)
        configuration.portForwards = portForwards(forwards, behind: configuration.outbound)
        configuration.uplinks = numbered(uplinks, configuration)
        return configuration
    }

    private mutating func readGateway(_ table: TomlValue, into gateway: inout Configuration.Gateway) {
        for entry in table.entries {
            switch entry.key {
            case "ip_forward": gateway.ipForward = choice(entry) ?? gateway.ipForward
            default: reportUnknown(entry, in: .gateway)
            }
        }
    }

    private mutating func readForward(_ table: TomlValue, into forward: inout Configuration.Forward) {
        for entry in table.entries {
            switch entry.key {
            case "policy":
                forward.policy = choice(entry) ?? forward.policy
                forward.policyLine = entry.position.line
            case "unsolicited":
                forward.unsolicited = choice(entry) ?? forward.unsolicited
                forward.unsolicitedLine = entry.position.line
            case "unnamed_uplink":
                forward.unnamedUplink = choice(entry) ?? forward.unnamedUplink
                forward.unnamedUplinkLine = entry.position.line
            case "flow_offload":
                forward.flowOffload = choice(entry) ?? forward.flowOffload
                forward.flowOffloadLine = entry.position.line
            case "foreign_drop": forward.foreignDrop = choice(entry) ?? forward.foreignDrop
            case "mark":
                forward.mark = markBit(entry) ?? forward.mark
                forward.markLine = entry.position.line
            default: reportUnknown(entry, in: .forward)
            }
        }
    }

    private mutating func readMss(_ table: TomlValue, into mss: inout Configuration.Mss) {
        for entry in table.entries {
            switch entry.key {
            case "clamp":
                mss.clamp = clamp(entry) ?? mss.clamp
                mss.clampLine = entry.position.line
            default: reportUnknown(entry, in: .mss)
            }
        }
    }

    private mutating func readReconcile(_ table: TomlValue, into reconcile: inout Configuration.Reconcile) {
        for entry in table.entries {
            switch entry.key {
            case "mode": reconcile.mode = choice(entry) ?? reconcile.mode
            default: reportUnknown(entry, in: .reconcile)
            }
        }
    }

    /// The tables of a key that should have one; more or fewer are reported, and read all the same.
    private mutating func singleTable(_ entry: TomlEntry) -> [TomlValue] {
        let key = entry.key
        guard entry.value.kind == .array else { return tables([entry.value], of: key, expected: "a table") }
        diagnostics.add(
            .error, at: place(entry.value.position), "\(key.quoted) is a single table, write [\(key)]")
        return tables(elements(entry.value), of: key, expected: "a table")
    }

    private mutating func repeatedTables(_ entry: TomlEntry) -> [TomlValue] {
        let key = entry.key
        let expected = "an array of tables, [[\(key)]]"
        switch entry.value.kind {
        case .array:
            if entry.value.count == 0 {
                diagnostics.add(
                    .error, at: place(entry.value.position), "\(key.quoted): at least one is needed")
            }
            return tables(elements(entry.value), of: key, expected: expected)
        case .table:
            diagnostics.add(
                .error, at: place(entry.value.position),
                "\(key.quoted) is an array of tables, write [[\(key)]] with two brackets")
            return [entry.value]
        default:
            return tables([entry.value], of: key, expected: expected)
        }
    }

    private mutating func tables(_ values: [TomlValue], of key: String, expected: String) -> [TomlValue] {
        values.filter { value in
            if value.kind == .table { return true }
            reportWrongType(value, of: key, expected: expected)
            return false
        }
    }

    /// Says which keys there are where one is not known, and returns the one that was probably meant.
    @discardableResult
    mutating func reportUnknown(_ entry: TomlEntry, in section: Section? = nil) -> String? {
        let known = section?.keys ?? Section.allCases.map(\.rawValue)
        let near = Suggestion.nearest(to: entry.key, among: known)
        diagnostics.add(
            .error, at: place(entry.position),
            """
            unknown \(section == nil && entry.value.isTableOrTables ? "table" : "key") \(entry.key.quoted)\
            \(section.map { " in \($0.header)" } ?? ""), \(Self.hint(for: entry.key, near: near, known: known))
            """)
        return near
    }

    private static func hint(for key: String, near: String?, known: [String]) -> String {
        if let near { return "did you mean \(near.quoted)?" }
        if let home = Section.allCases.first(where: { $0.keys.contains(key) }) {
            return "it belongs in \(home.header)"
        }
        return "known here: \(Suggestion.list(known, "and"))"
    }

    func place(_ position: Diagnostic.Position) -> Place {
        Place(origin: path, position: position)
    }

    /// The tables at the top of the file, and what may stand in them.
    enum Section: String, CaseIterable {
        case gateway, masquerade, routed, snat, uplink
        case portForward = "port_forward"
        case clients, destinations, accounting, forward, mss, conntrack, log, reconcile
        case policyRouting = "policy_routing"

        var keys: [String] {
            switch self {
            case .gateway: ["ip_forward"]
            case .masquerade: ["out_interface", "source", "exclude", "ports", "random", "persistent"]
            case .portForward: ["in_interface", "protocol", "port", "to", "source", "reflection"]
            case .clients:
                [
                    "blocked", "blocked_file", "allowed", "allowed_file", "max_connections",
                    "new_connections",
                    "max_clients", "ipv6_prefix",
                ]
            case .destinations: ["blocked", "blocked_file", "allowed", "allowed_file"]
            case .accounting: ["blocks", "clients", "forwards", "max_clients"]
            case .forward:
                ["policy", "unsolicited", "unnamed_uplink", "flow_offload", "foreign_drop", "mark"]
            case .mss: ["clamp"]
            case .conntrack: ["repair", "helpers", "timeouts"] + ConnectionTimeout.allCases.map(\.rawValue)
            case .log: ["drops", "group", "prefix", "rate"]
            case .reconcile: ["mode"]
            case .routed: ["out_interface", "source", "unsolicited", "echo_request"]
            case .snat:
                [
                    "out_interface", "source", "to", "prefix_from", "exclude", "inbound", "ports", "random",
                    "persistent",
                ]
            case .uplink: ["interface", "table", "gateway", "on_loss", "probe"]
            case .policyRouting:
                ["mark_mask", "rule_priority", "failover", "probe_interval", "probe_failures"]
            }
        }

        /// `[forward]`, and for one that there may be several of `[[masquerade]]`.
        var header: String {
            switch self {
            case .masquerade, .routed, .snat, .portForward, .uplink: "[[\(rawValue)]]"
            default: "[\(rawValue)]"
            }
        }
    }
}

extension TomlValue {
    fileprivate var isTableOrTables: Bool {
        kind == .table || kind == .array && count > 0 && self[0].kind == .table
    }
}
