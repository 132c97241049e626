// SPDX-License-Identifier: GPL-3.0-or-later

extension Rule {
    /// The rule as one line in nft's syntax.
    public var text: String {
        var words = matches.map(\.text)
        if let counter { words.append("counter name \(counter)") }
        words.append(action.text)
        return words.joined(separator: " ") + " comment \"\(comment)\""
    }
}

extension Rule.Match {
    fileprivate var text: String {
        switch self {
        case .interface(let direction, let pattern): "\(direction.text) \"\(pattern)\""
        case .interfaceIn(let direction, let set): "\(direction.text) @\(set)"
        case .outputIndexIn(let set): "oif @\(set)"
        case .outputIndexNotIn(let set): "oif != @\(set)"
        case .network(let side, let network): "\(network.family.text) \(side.text) \(network)"
        case .address(let family, let side, let set):
            "\(family.text) \(side.text) @\(set)"
        case .addressNot(let family, let side, let set):
            "\(family.text) \(side.text) != @\(set)"
        case .exceeds(.connections(let count), let key, let set):
            "add @\(set) { \(key.text) ct count over \(count) }"
        case .exceeds(.newConnections(let rate), let key, let set):
            "update @\(set) { \(key.text) limit rate over \(rate.text) }"
        case .uncounted(let key, let set): "\(key.text) != @\(set)"
        case .within(let rate): "limit rate \(rate.text)"
        case .interfacePairIn(let set): "iifname . oifname @\(set)"
        case .serviceIn(let family, let side, let set): side.serviceText(family, in: set)
        case .family(let family): "meta nfproto \(family == .ipv4 ? "ipv4" : "ipv6")"
        case .transport(let transport): "meta l4proto \(transport.text)"
        case .echoRequestOverIPv6: "icmpv6 type echo-request"
        case .destinationPort(let transport, let port): "\(transport.text) dport \(port)"
        case .otherDestinationPort(let transport, let port): "\(transport.text) dport != \(port)"
        case .sourceTranslated: "ct status snat"
        case .sourceTranslatedAssured: "ct status & (assured | snat) == (assured | snat)"
        case .destinationTranslated: "ct status dnat"
        case .unconfirmed: "ct status & confirmed == 0"
        case .confirmed: "ct status confirmed"
        case .replyDirection: "ct direction reply"
        case .originalDirection: "ct direction original"
        case .connectionMark(let mask, let value): "ct mark & \(mask.hex) == \(value.hex)"
        case .state(let states): "ct state \(states.text)"
        case .synchronizes: "tcp flags syn"
        case .leavesThroughIPsec: "rt ipsec exists"
        case .cameThroughIPsec: "meta ipsec exists"
        case .cameInClear: "meta ipsec missing"
        case .sourceForeignToOutInterface: "fib saddr . oif type != local"
        case .destinationNotLocal: "fib daddr type != local"
        case .sourceBehindOtherInterface: "fib saddr . iif oif missing"
        }
    }
}

extension Rule.ClientKey {
    fileprivate var text: String { "\(family.text) saddr" + (mask.map { " & \($0)" } ?? "") }
}

extension Rule.Action {
    fileprivate var text: String {
        switch self {
        case .accept: "accept"
        case .drop: "drop"
        case .jump(let chain): "jump \(chain)"
        case .raise(let alarm): "quota name \(alarm)"
        case .log(.kernel, let prefix): "log prefix \"\(prefix)\""
        case .log(.group(let group), let prefix): "log prefix \"\(prefix)\" group \(group)"
        case .offload(let flowtable): "flow add @\(flowtable)"
        case .help(let helper): "ct helper set \"\(helper)\""
        case .expire(let timeout): "ct timeout set \"\(timeout)\""
        case .clampSegmentSize(.pathMTU): "tcp option maxseg size set rt mtu"
        case .clampSegmentSize(.fixed(let size)): "tcp option maxseg size set \(size)"
        case .record(let family, let side, let set): "update @\(set) { \(family.text) \(side.text) } accept"
        case .count(let family, let side, let set): side.serviceText(family, in: set)
        case .markConnection(let mask, let value): "ct mark set ct mark & \((~mask).hex) | \(value.hex)"
        case .markPacket(let mask, let value): "meta mark set meta mark & \((~mask).hex) | \(value.hex)"
        case .dispatch(let direction, let map): "\(direction.text) vmap @\(map)"
        case .dispatchDestination(let family, let map): "\(family.text) daddr vmap @\(map)"
        case .translateDestination(let family, let key, let map):
            "dnat \(family.text) to \(key.text(family)) map @\(map)"
        case .mark(let bits): "meta mark set meta mark | \(bits.hex) accept"
        case .unmark(let bits): "meta mark set meta mark & \((~bits).hex)"
        case .masquerade(let options): options.masquerade
        case .sourceNAT(let target, let options): options.sourceNAT(to: target)
        case .sourceNATByInterface(let map): "snat ip6 prefix to oifname map @\(map)"
        case .destinationNAT(let target): "dnat \(target.text(ports: ""))"
        }
    }
}

extension NATOptions {
    fileprivate var masquerade: String {
        (["masquerade"] + (portsText.map { ["to " + $0] } ?? []) + flagsText).joined(separator: " ")
    }

    fileprivate func sourceNAT(to target: NATTarget) -> String {
        (["snat \(target.text(ports: portsText ?? ""))"] + flagsText).joined(separator: " ")
    }

    /// `:1024-65535`.
    private var portsText: String? {
        ports.map { ":\($0.lowerBound)\($0.count == 1 ? "" : "-\($0.upperBound)")" }
    }

    private var flagsText: [String] {
        var flags = random == .none ? [] : [random.rawValue]
        if persistent { flags.append("persistent") }
        return flags.isEmpty ? [] : [flags.joined(separator: ",")]
    }
}

extension NATTarget {
    /// `ip to 203.0.113.10:1024-65535`, `ip6 prefix to 2001:db8::/64`.
    fileprivate func text(ports: String) -> String {
        let word = family == .ipv4 ? "ip" : "ip6"
        switch self {
        case .network(let network): return "\(word) prefix to \(network)"
        case .pool(let family, let range):
            let needsBrackets = family == .ipv6 && !ports.isEmpty
            let ends = [first, last].map { needsBrackets ? "[\($0)]" : "\($0)" }
            let pool = range.first == range.last ? ends[0] : ends.joined(separator: "-")
            return "\(word) to \(pool)\(ports)"
        }
    }
}

extension AddressFamily {
    /// nft's name for the header.
    fileprivate var text: String { self == .ipv4 ? "ip" : "ip6" }
}

extension Rate {
    fileprivate var text: String { "\(count)/\(unit.rawValue) burst \(burst) packets" }
}

extension Rule.AddressSide {
    fileprivate var text: String { self == .source ? "saddr" : "daddr" }

    fileprivate func serviceText(_ family: AddressFamily, in set: String) -> String {
        "\(family.text) \(text) . meta l4proto . th \(self == .source ? "sport" : "dport") @\(set)"
    }
}

extension Rule.ForwardKey {
    fileprivate func text(_ family: AddressFamily) -> String {
        switch self {
        case .port: "meta l4proto . th dport"
        case .sourceAndPort(let transport): "\(family.text) saddr . \(transport.text) dport"
        }
    }
}

extension Rule.Direction {
    fileprivate var text: String {
        switch self {
        case .input: "iifname"
        case .inputInVRF: "meta sdifname"
        case .output: "oifname"
        }
    }
}

extension Rule.TransportProtocol {
    /// nft's name for it.
    var text: String {
        switch self {
        case .icmp: "icmp"
        case .tcp: "tcp"
        case .udp: "udp"
        case .icmpv6: "ipv6-icmp"
        case .sctp: "sctp"
        }
    }
}

extension Rule.ConnectionState {
    fileprivate var text: String {
        let names: [(Self, String)] = [
            (.invalid, "invalid"), (.established, "established"), (.related, "related"),
            (.new, "new"),
            (.untracked, "untracked"),
        ]
        return names.filter { contains($0.0) }.map(\.1).joined(separator: ",")
    }
}

extension UInt32 {
    /// All eight digits, as nft lists a mark: `0x000000f0`.
    fileprivate var hex: String {
        let digits = String(self, radix: 16)
        return "0x" + String(repeating: "0", count: 8 - digits.count) + digits
    }
}
