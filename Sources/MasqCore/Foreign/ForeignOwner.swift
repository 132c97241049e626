// SPDX-License-Identifier: GPL-3.0-or-later

/// Whose a chain is, which decides how one asks it for a permission that lasts.
public enum ForeignOwner: Hashable, Sendable {
    /// Docker, with its chains in iptables' tables.
    case docker
    /// ufw.
    case ufw
    /// firewalld, with its nftables backend.
    case firewalld
    /// Rules that somebody made with iptables-nft.
    case iptables
    /// Rules that somebody made with iptables-legacy.
    case iptablesLegacy
    /// Another program that is known by its table's name.
    case program(String)
    /// Somebody's own nft rules.
    case handWritten

    /// Recognises the owner of what a packet met.
    ///
    /// In iptables' tables several owners share one base chain; then it is the one whose chain the place is in,
    /// and a policy is ufw's if it is there: it sets one in any case, and its permissions survive a reboot.
    public init(_ hook: ForeignRuleset.Hook, _ place: ForeignVerdict.Place?) {
        if let name = hook.table.text.flatMap({ Self.programs[$0] }) {
            self = .program(name)
        } else if hook.table.hasPrefix("nm-shared-") {
            self = .program("NetworkManager")
        } else if hook.table == "firewalld" {
            self = .firewalld
        } else if hook.isOfIPTables {
            self = Self.inIPTables(hook, place)
        } else {
            self = .handWritten
        }
    }

    private static func inIPTables(
        _ hook: ForeignRuleset.Hook, _ place: ForeignVerdict.Place?
    ) -> ForeignOwner {
        let others: ForeignOwner = hook.backend == .legacy ? .iptablesLegacy : .iptables
        let isInBaseChain = place?.chain == hook.chain
        let has = { (prefix: String) in
            isInBaseChain
                ? hook.chains.keys.contains { $0.hasPrefix(prefix) }
                : place?.chain.hasPrefix(prefix) == true
        }
        // What drops by a rule of the base chain itself was put there by somebody who is none of these.
        if isInBaseChain, place?.rule != nil { return others }
        let ufw = hook.family == .ip6 ? "ufw6-" : "ufw-"
        if has(ufw) { return .ufw }
        if has("DOCKER") { return .docker }
        if has("LIBVIRT_") { return .program("libvirt") }
        return others
    }

    /// Programs that have a table of their own.
    private static let programs = [
        "docker-bridges": "Docker", "libvirt_network": "libvirt", "netavark": "Podman",
        "io.systemd.nat": "systemd-networkd", "fw4": "OpenWrt", "foomuuri": "Foomuuri",
        "tailscale": "Tailscale", "kube-proxy": "Kubernetes",
    ]
}

extension ForeignOwner: CustomStringConvertible {
    /// For people: `Docker`, `rules made by hand`.
    public var description: String {
        switch self {
        case .docker: "Docker"
        case .ufw: "ufw"
        case .firewalld: "firewalld"
        case .iptables: "iptables"
        case .iptablesLegacy: "iptables-legacy"
        case .program(let name): name
        case .handWritten: "rules made by hand"
        }
    }
}

extension ForeignRuleset.Hook {
    /// Whether this is one of the tables and base chains that iptables makes, under either backend.
    var isOfIPTables: Bool {
        guard family != .inet else { return false }
        switch point {
        case .forward: return ["filter", "mangle", "security"].contains(table) && chain == "FORWARD"
        case .sourceNAT: return table == "nat" && chain == "POSTROUTING"
        }
    }
}
