// SPDX-License-Identifier: GPL-3.0-or-later

/// Walks the way of a packet through a gateway and says of every step how it is, and what to type where it is wrong.
///
/// What a step makes impossible is not looked at behind it: one cause is one finding.
public struct Examination: Sendable {
    /// Every step in the order of the walk.
    public private(set) var findings: [Finding] = []

    let configuration: Configuration?
    let observations: Observations
    /// Where the configuration is from, and how it is put in force.
    let origin: Origin

    /// Judges what was observed.
    ///
    /// - Parameters:
    ///   - reading: the configuration; without one, what does not need it is still judged.
    ///   - origin: where the configuration was read.
    public init(
        _ reading: Configuration.Reading, from origin: Configuration.Origin, _ observations: Observations
    ) {
        configuration = reading.configuration
        self.observations = observations
        self.origin = Origin(origin, reading.configuration, observations.holder.value ?? nil)

        examineFile(reading.diagnostics)
        examineHolder()
        examineForwarding()
        examineUplinks()
        examineInside()
        examineTable()
        examinePolicyRouting()
        examinePortForwards()
        examineOwnServices()
        examineForeign()
        examineConntrack()
        examineSavedRuleset()
    }

    /// Whether there is something to do.
    public var needsAction: Bool { findings.contains(where: \.needsAction) }

    /// Whether a step could not be looked at.
    public var isIncomplete: Bool { findings.contains { $0.severity == .unseen } }

    /// The last line: how it is on the whole.
    public var summary: String {
        let counts = [(Finding.Severity.wrong, "wrong"), (.warning, "not as it should be")].compactMap {
            severity, words -> String? in
            let count = findings.filter { $0.severity == severity }.count
            return count == 0 ? nil : "\(count) \(words)"
        }
        let rest = isIncomplete ? "; not everything was looked at" : ""
        if counts.isEmpty {
            return isIncomplete ? "nothing wrong in what was looked at" : "everything is as it should be"
        }
        return counts.joined(separator: ", ") + rest
    }

    mutating func add(
        _ severity: Finding.Severity, _ claim: String, type commands: String..., look questions: String...
    ) {
        findings.append(Finding(severity, claim, type: commands, look: questions))
    }

    mutating func add(_ finding: Finding) { findings.append(finding) }

    /// The value, or a finding that it was not looked at.
    mutating func look<Value>(_ observed: Observed<Value>, _ what: String) -> Value? {
        switch observed {
        case .seen(let value): return value
        case .unseen(let why):
            add(.unseen, "\(what): not looked at: \(why)")
            return nil
        }
    }
}

extension Examination {
    /// Where the configuration is from, and what to type to put it in force.
    struct Origin: Sendable {
        private let origin: Configuration.Origin
        private let configuration: Configuration?
        private let holder: LockHolder?

        private static let defaultPath = "/etc/masqd.toml"

        init(_ origin: Configuration.Origin, _ configuration: Configuration?, _ holder: LockHolder?) {
            self.origin = origin
            self.configuration = configuration
            self.holder = holder
        }

        /// `/etc/masqd.toml`, or the command line.
        var name: String { "\(origin)" }

        /// What makes the rules equal to the configuration: a reload, or a start where nothing runs; nothing where one
        /// runs whose process is not known.
        var putInForce: [String] {
            if let reload { return [reload] }
            return holder == nil ? [start] : []
        }

        /// What makes the running masqd read the configuration again.
        private var reload: String? {
            guard let holder, let process = holder.process else { return nil }
            if let unit = holder.unit, unit.hasPrefix("masqd"), unit.hasSuffix(".service") {
                return "systemctl reload \(unit.shellWord)"
            }
            return "kill -HUP \(process)"
        }

        /// What starts masqd.
        var start: String {
            switch origin {
            case .file(Self.defaultPath): return "systemctl start masqd"
            case .file(let path): return "masqd --config \(path.shellWord)"
            case .commandLine:
                let blocks = configuration?.outbound ?? []
                let links = blocks.flatMap(\.outInterfaces).map { "--out-interface \("\($0)".shellWord)" }
                let sources = blocks.flatMap(\.source).map { "--source \($0)" }
                return (["masqd"] + links + sources).joined(separator: " ")
            }
        }

        /// What shows everything that is wrong with the file.
        var check: [String] {
            switch origin {
            case .file(Self.defaultPath): ["masqd --check"]
            case .file(let path): ["masqd --check \(path.shellWord)"]
            case .commandLine: []
            }
        }

        /// What changes the file and puts it in force.
        var edit: [String] {
            guard case .file(let path) = origin, let check = check.first else { return [] }
            return [(["${EDITOR:-vi} \(path.shellWord)", check] + putInForce).joined(separator: " && ")]
        }

        /// The place of a block: `masqd.toml:4`.
        func place(of block: OutboundBlock) -> String { place(ofLine: block.line) }

        /// The place of a line.
        func place(ofLine line: Int) -> String {
            switch origin {
            case .file(let path): "\(path.split(separator: "/").last ?? ""):\(line)"
            case .commandLine: "\(origin)"
            }
        }
    }
}

extension Examination {
    fileprivate mutating func examineFile(_ diagnostics: [Diagnostic]) {
        for diagnostic in diagnostics {
            switch diagnostic.severity {
            case .error: add(.wrong, "\(diagnostic)")
            case .warning: add(Finding(.warning, "\(diagnostic)", type: origin.edit))
            }
        }
        guard configuration == nil else {
            if diagnostics.isEmpty { add(.ok, "\(origin.name) has no error") }
            return
        }
        let claim = "\(origin.name) can't be used: what depends on it is not looked at"
        add(Finding(.wrong, claim, type: origin.edit))
    }

    fileprivate mutating func examineHolder() {
        guard case .some(let holder) = look(observations.holder, "whether masqd is running") else { return }
        guard let holder else {
            let claim = "no masqd is running: nobody mends the rules and connections when something changes"
            return add(.warning, claim, type: origin.start)
        }
        let process = holder.process.map { "pid \($0)" } ?? "a process that can't be seen from here"
        let unit = holder.unit.map { ", unit \($0)" } ?? ""
        add(.ok, "masqd is running (\(process)\(unit))")
    }

    fileprivate mutating func examineForwarding() {
        guard let switches = look(observations.forwarding, "whether forwarding is on") else { return }
        for family in configuration?.families ?? [.ipv4] {
            let name = family.forwardingSwitch
            switch switches[family] {
            case true?: add(.ok, "\(name) is 1")
            case false?:
                add(Finding(.wrong, "\(name) is 0: nothing is forwarded", type: switchingOn(family)))
            case nil: add(.wrong, "\(name) is not there: this kernel runs without IPv6")
            }
        }
        guard switches[.ipv4] == true else { return }
        for (name, settings) in observations.linkSettings.sorted(by: { $0.key < $1.key })
        where settings.isForwarding == false && concerns(linkNamed: name) {
            let setting = LinkSetting("net.ipv4.conf.", name, ".forwarding")
            add(
                .wrong, "\(setting) is 0: what comes in by \(name) is not forwarded",
                type: setting.command(1))
        }
    }

    /// What switches forwarding on.
    ///
    /// A machine that forwards IPv6 forgets the routes that it learnt from its router, unless accept_ra is 2
    /// (`addrconf_forward_change` and `rt6_purge_dflt_routers` in net/ipv6): that comes first.
    ///
    /// Whoever forwards before the rules are there lets private addresses out. So masqd is started first, and nothing
    /// is printed where no configuration is known to be good. With "require" masqd does not start before it is 1.
    private func switchingOn(_ family: AddressFamily) -> [String] {
        guard let configuration else { return [] }
        let mode = configuration.gateway.ipForward
        let startsFirst = observations.holder.isSeenToBeNobody && mode != .require
        if startsFirst, mode == .manage { return [origin.start] }
        let listening = observations.linkSettings.filter { $0.value.acceptsAdvertisements == 1 }.keys.sorted()
            .filter { name in
                configuration.outbound.contains { $0.outInterfaces.contains { $0.matches(name) } }
            }
        let before =
            (startsFirst ? [origin.start] : [])
            + (family == .ipv6
                ? listening.map { LinkSetting("net.ipv6.conf.", $0, ".accept_ra").command(2) } : [])
        return before + ["sysctl -w \(family.forwardingSwitch)=1"]
    }

    /// Whether masqueraded traffic or its answers come in by a link: loopback is the one that is never meant.
    private func concerns(linkNamed name: InterfaceName) -> Bool {
        guard name != "lo", let configuration, let links = observations.links.value else { return false }
        if configuration.outbound.contains(where: { $0.outInterfaces.contains { $0.matches(name) } }) {
            return true
        }
        let inside = InsideNetworks(configuration, links, observations.routes.value ?? [])
        return inside.networks.contains { network in
            links.byIndex[network.link]?.name == name
                && configuration.outbound.contains {
                    $0.source.contains { $0.overlaps(network.destination) }
                }
        }
    }
}

extension Observed<LockHolder?> {
    /// Whether it is certain that no masqd runs.
    fileprivate var isSeenToBeNobody: Bool { if case .seen(nil) = self { true } else { false } }
}

/// One of the kernel's settings of a link.
struct LinkSetting: CustomStringConvertible {
    private let (before, after): (String, String)
    /// The link's name inside of the setting's: there a dot separates, and a slash stands for it.
    private let name: InterfaceName

    /// Makes a setting of the name's parts before and behind the link's.
    init(_ before: String, _ name: InterfaceName, _ after: String) {
        (self.before, self.after) = (before, after)
        self.name = InterfaceName(name.bytes.map { $0 == UInt8(ascii: ".") ? UInt8(ascii: "/") : $0 })
    }

    /// The name as people are shown it.
    var description: String { "\(before)\(name)\(after)" }

    /// What sets it.
    func command(_ value: Int) -> String { "sysctl -w \(name.shellWord(from: before, to: after))=\(value)" }
}

extension IPNetwork {
    /// Whether an address is in both: then one contains the other.
    func overlaps(_ other: IPNetwork) -> Bool {
        family == other.family && range.first <= other.range.last && range.last >= other.range.first
    }
}
