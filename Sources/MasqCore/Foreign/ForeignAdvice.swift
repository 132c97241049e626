// SPDX-License-Identifier: GPL-3.0-or-later

/// The exact commands by which an owner of a chain is asked to let masqueraded traffic pass.
struct ForeignAdvice {
    /// The commands, none twice, in the order in which they are to be typed.
    private(set) var commands: [String] = []
    /// How many networks need the same and are not in the commands.
    private(set) var unlisted = 0
    private let hook: ForeignRuleset.Hook
    private var permitted: Set<Traffic> = []

    /// Longer commands than for so many networks are not for people.
    private static let maximumSources = 8
    /// Nor are more commands than these.
    private static let maximumCommands = 32

    /// What commands depend on.
    private struct Traffic: Hashable {
        let source: Int
        let uplink: InterfacePattern
        let outward: Bool
        let answers: Bool
        let owner: ForeignOwner
    }

    init(_ hook: ForeignRuleset.Hook) { self.hook = hook }

    /// Adds what permits one kind of traffic.
    mutating func permit(
        _ path: ForeignAudit.Path, outward: Bool, answers: Bool, asking owner: ForeignOwner
    ) {
        let traffic = Traffic(
            source: path.group.source, uplink: path.uplink, outward: outward, answers: answers, owner: owner)
        guard permitted.insert(traffic).inserted else { return }
        let sources = Array(path.sources.prefix(Self.maximumSources))
        guard commands.count < Self.maximumCommands else {
            unlisted += path.sources.count
            return
        }
        let new: [String]
        switch owner {
        case .ufw where outward:
            new = sources.map { "ufw route allow out on \(path.uplink.inIPTables) from \($0)" }
        case .firewalld:
            new = Self.firewalld(sources)
        case .docker where hook.chains["DOCKER-USER"] != nil:
            new = inIPTables("DOCKER-USER", path, sources, outward: outward, answers: answers)
        case .ufw, .docker, .iptables, .iptablesLegacy:
            new = inIPTables(hook.chain.printable, path, sources, outward: outward, answers: answers)
        case .program where hook.isOfIPTables:
            new = inIPTables(hook.chain.printable, path, sources, outward: outward, answers: answers)
        case .program, .handWritten:
            new = inNft(path, sources, outward: outward, answers: answers)
        }
        let isNews = new.contains { !commands.contains($0) }
        if isNews { unlisted += path.sources.count - sources.count }
        for command in new where !commands.contains(command) { commands.append(command) }
    }

    /// What takes a translation away; nothing where it is a program's own, which would put it back.
    static func removal(
        of place: ForeignVerdict.Place, in hook: ForeignRuleset.Hook, of owner: ForeignOwner
    ) -> [String] {
        guard let rule = place.rule, place.chain.isPlainName, hook.table.isPlainName else { return [] }
        switch owner {
        case .iptables, .iptablesLegacy:
            return ["\(hook.iptables) -t \(hook.table) -D \(place.chain) \(rule)"]
        case .handWritten where place.handle != 0:
            let family = hook.family.rawValue
            return ["nft delete rule \(family) \(hook.table) \(place.chain) handle \(place.handle)"]
        case .docker, .ufw, .firewalld, .program, .handWritten: return []
        }
    }

    /// The how-to's lines, at the top of a chain that is passed first.
    private func inIPTables(
        _ chain: String, _ path: ForeignAudit.Path, _ sources: [IPNetwork], outward: Bool, answers: Bool
    ) -> [String] {
        let table = hook.table == "filter" ? "" : " -t \(hook.table)"
        let insert = "\(hook.iptables)\(table) -I \(chain)"
        let list = sources.map(\.description).joined(separator: ",")
        let uplink = path.uplink.inIPTables
        var lines: [String] = []
        if outward { lines.append("\(insert) -s \(list) -o \(uplink) -j ACCEPT") }
        if answers {
            lines.append(
                "\(insert) -d \(list) -i \(uplink) -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT")
        }
        return lines
    }

    /// A policy between all zones changes no zone, and so nothing that is open or closed to the machine itself.
    private static func firewalld(_ sources: [IPNetwork]) -> [String] {
        let change = "firewall-cmd --permanent --policy=masqd"
        let rules = sources.map { network in
            let family = network.family == .ipv4 ? "ipv4" : "ipv6"
            return "--add-rich-rule='rule family=\"\(family)\" source address=\"\(network)\" accept'"
        }
        return [
            "firewall-cmd --permanent --new-policy=masqd", "\(change) --add-ingress-zone=ANY",
            "\(change) --add-egress-zone=ANY",
            "\(change) \(rules.joined(separator: " "))", "firewall-cmd --reload",
        ]
    }

    private func inNft(
        _ path: ForeignAudit.Path, _ sources: [IPNetwork], outward: Bool, answers: Bool
    ) -> [String] {
        guard hook.table.isPlainName, hook.chain.isPlainName else { return [] }
        let insert = "nft 'insert rule \(hook.family.rawValue) \(hook.table) \(hook.chain)"
        let family = path.packet.family == .ipv4 ? "ip" : "ip6"
        let list = sources.map(\.description).joined(separator: ", ")
        let networks = sources.count == 1 ? list : "{ \(list) }"
        var lines: [String] = []
        if outward {
            lines.append("\(insert) \(family) saddr \(networks) oifname \"\(path.uplink)\" accept'")
        }
        if answers {
            lines.append(
                """
                \(insert) iifname \"\(path.uplink)\" \(family) daddr \(networks) \
                ct state established,related accept'
                """)
        }
        return lines
    }
}

extension ForeignRuleset.Hook {
    /// The program that writes to this table.
    fileprivate var iptables: String {
        let name = family == .ip6 ? "ip6tables" : "iptables"
        return backend == .legacy ? name + "-legacy" : name
    }
}

extension InterfacePattern {
    /// As iptables and ufw write it: `ppp+`.
    fileprivate var inIPTables: String {
        switch self {
        case .name(let name): name.shellWord
        case .prefix(let prefix): prefix.shellWord + "+"
        }
    }
}
