// SPDX-License-Identifier: GPL-3.0-or-later

extension Ruleset {
    /// The table in nft's syntax, in the layout of `nft list table`; `nft -f` makes the same ruleset of it.
    public var text: String {
        var text = "table inet \(Self.tableName) {\n"
        var separator = ""
        func section(_ lines: [String]) {
            text += separator + lines.map { "\t" + $0 + "\n" }.joined()
            separator = "\n"
        }
        for counter in counters { section(["counter \(counter) {", "}"]) }
        for alarm in alarms { section(["quota \(alarm) {", "\tover 1 bytes", "}"]) }
        for helper in helpers { section(helper.lines) }
        for timeout in timeouts { section(timeout.lines) }
        if let flowtable { section(flowtable.lines) }
        for set in sets { section(set.lines) }
        for chain in chains { section(chain.lines) }
        return text + "}\n"
    }
}

extension Flowtable {
    fileprivate var lines: [String] {
        var lines = ["flowtable \(Self.name) {", "\thook ingress priority filter"]
        if !devices.isEmpty {
            lines.append("\tdevices = { \(deviceNames.map { "\"\($0)\"" }.joined(separator: ", ")) }")
        }
        return lines + (isHardware ? ["\tflags offload"] : []) + ["\tcounter", "}"]
    }
}

extension Ruleset.Helper {
    fileprivate var lines: [String] {
        [
            "ct helper \(name) {", "\ttype \"\(type)\" protocol \(transport.text)",
            "\tl3proto \(isForBothFamilies ? "inet" : "ip")", "}",
        ]
    }
}

extension Ruleset.Timeout {
    fileprivate var lines: [String] {
        // An empty policy is none in nft's syntax: then the first state says its default.
        let states =
            policy.isEmpty ? Self.states(of: transport).prefix(1).map { ($0.name, $0.kernelDefault) } : policy
        let list = states.map { "\($0.0) : \($0.1)" }.joined(separator: ", ")
        return [
            "ct timeout \(name) {", "\tprotocol \(transport.text)", "\tl3proto inet",
            "\tpolicy = { \(list) }", "}",
        ]
    }
}

extension Ruleset.NamedSet {
    fileprivate var lines: [String] {
        switch elements {
        case .addresses(let ranges):
            let type = ranges.family == .ipv4 ? "ipv4_addr" : "ipv6_addr"
            return lines(
                "set", type: type, flags: ["\tflags interval"],
                ranges.ranges.map { $0.text(in: ranges.family) })
        case .interfaces(let names):
            return lines("set", type: "ifname", names.sorted().map { "\"\($0)\"" })
        case .jumps(let jumps):
            let entries = jumps.sorted { $0.key < $1.key }.map { "\"\($0.key)\" : jump \($0.value)" }
            return lines("map", type: "ifname : verdict", entries)
        case .addressJumps(let family, let jumps):
            let entries = jumps.sorted { $0.key.value < $1.key.value }.map { "\($0.key) : jump \($0.value)" }
            return lines("map", type: "\(ElementType.Field.address(family).text) : verdict", entries)
        case .recorded(let recording):
            var flags = [
                "\tsize \(recording.size)", "\tflags dynamic\(recording.timeout > 0 ? ",timeout" : "")",
            ]
            if recording.type.countsPackets { flags.append("\tcounter") }
            if recording.timeout > 0 { flags.append("\ttimeout \(recording.timeout)s") }
            return lines("set", type: recording.type.text, flags: flags, [])
        case .entries(let entries):
            let type = entries.type
            var flags = type.isInterval ? ["\tflags interval"] : []
            if type.countsPackets { flags.append("\tcounter") }
            return lines(
                type.data.isEmpty ? "set" : "map", type: type.text, flags: flags, entries.elementTexts)
        }
    }

    private func lines(
        _ keyword: String, type: String, flags: [String] = [], _ elements: [String]
    ) -> [String] {
        let head = ["\(keyword) \(name) {", "\ttype \(type)"] + flags
        if elements.isEmpty { return head + ["}"] }
        return head + ["\telements = { \(elements.joined(separator: ",\n\t\t\t     ")) }", "}"]
    }
}

extension ElementType {
    fileprivate var text: String {
        let key = key.map(\.text).joined(separator: " . ")
        guard !data.isEmpty else { return key }
        return "\(key) : \(isDataInterval ? "interval " : "")" + data.map(\.text).joined(separator: " . ")
    }
}

extension ElementType.Field {
    fileprivate var text: String {
        switch self {
        case .ipv4Address: "ipv4_addr"
        case .ipv6Address: "ipv6_addr"
        case .protocol: "inet_proto"
        case .service: "inet_service"
        case .mark: "mark"
        case .interfaceName: "ifname"
        }
    }
}

extension PackedElements {
    fileprivate var elementTexts: [String] {
        var texts: [String] = []
        texts.reserveCapacity(count)
        forEach { element in
            let first = Self.values(type.key, element.key)
            let last = type.isInterval ? Self.values(type.key, element.lastKey) : first
            let key = zip(first, last).map { FieldValue.text(from: $0, through: $1) }.joined(separator: " . ")
            let data = Self.data(type, element.data)
            texts.append(data.isEmpty ? key : "\(key) : \(data)")
        }
        return texts
    }

    private static func data(_ type: ElementType, _ bytes: UnsafeRawBufferPointer) -> String {
        let ends = values(type.isDataInterval ? type.data + type.data : type.data, bytes)
        guard type.isDataInterval else { return ends.map(\.text).joined(separator: " . ") }
        return FieldValue.text(from: ends[0], through: ends[1])
    }

    private static func values(_ fields: [ElementType.Field], _ bytes: UnsafeRawBufferPointer) -> [FieldValue]
    {
        var start = 0
        return fields.map { field in
            defer { start += field.registerBytes }
            return FieldValue(field, bytes: bytes[start..<start + field.byteCount])
        }
    }
}

extension FieldValue {
    fileprivate static func text(from first: FieldValue, through last: FieldValue) -> String {
        if first == last { return first.text }
        if case .address(let low) = first, case .address(let high) = last {
            return AddressRange(first: low.value, last: high.value).text(in: low.family)
        }
        return "\(first.text)-\(last.text)"
    }
}

extension AddressRange {
    /// A network where the range is one, else `first-last`.
    fileprivate func text(in family: AddressFamily) -> String {
        let size = last - first
        let prefixLength = family.bitCount - (UInt128.bitWidth - size.leadingZeroBitCount)
        let first = IPAddress(family: family, value: first)
        if size & (size &+ 1) == 0, first.value & size == 0 {
            return "\(IPNetwork(containing: first, prefixLength: prefixLength))"
        }
        return "\(first)-\(IPAddress(family: family, value: last))"
    }
}

extension Ruleset.Chain {
    fileprivate var lines: [String] {
        var lines = ["chain \(name) {"]
        if let base { lines.append("\t" + base.text) }
        lines += rules.map { "\t" + $0.text }
        return lines + ["}"]
    }
}

extension BaseChain {
    fileprivate var text: String {
        let place =
            switch (hook, priority) {
            case (0, -145): "hook prerouting priority mangle + 5"
            case (2, 0): "hook forward priority filter"
            case (2, -140): "hook forward priority mangle + 10"
            case (2, 1000): "hook forward priority 1000"
            case (3, 0): "hook output priority filter"
            case (2, 5): "hook forward priority filter + 5"
            case (0, -95): "hook prerouting priority dstnat + 5"
            case (3, -145): "hook output priority mangle + 5"
            case (4, -145): "hook postrouting priority mangle + 5"
            case (4, 105): "hook postrouting priority srcnat + 5"
            default: fatalError("no base chain of masqd is at hook \(hook), priority \(priority)")
            }
        return "type \(type) \(place); policy \(policy == 0 ? "drop" : "accept");"
    }
}

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
        case .address(let family, let side, let set):
            "\(family.text) \(side == .source ? "saddr" : "daddr") @\(set)"
        case .addressNot(let family, let side, let set):
            "\(family.text) \(side == .source ? "saddr" : "daddr") != @\(set)"
        case .exceeds(.connections(let count), let family, let set):
            "add @\(set) { \(family.text) saddr ct count over \(count) }"
        case .exceeds(.newConnections(let rate), let family, let set):
            "update @\(set) { \(family.text) saddr limit rate over \(rate.text) }"
        case .interfacePairIn(let set): "iifname . oifname @\(set)"
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
        }
    }
}

extension Rule.Action {
    fileprivate var text: String {
        switch self {
        case .accept: "accept"
        case .drop: "drop"
        case .jump(let chain): "jump \(chain)"
        case .raise(let alarm): "quota name \(alarm)"
        case .offload(let flowtable): "flow add @\(flowtable)"
        case .help(let helper): "ct helper set \"\(helper)\""
        case .expire(let timeout): "ct timeout set \"\(timeout)\""
        case .clampSegmentSize(.pathMTU): "tcp option maxseg size set rt mtu"
        case .clampSegmentSize(.fixed(let size)): "tcp option maxseg size set \(size)"
        case .record(let family, let key, let set): "update @\(set) { \(key.text(family)) }"
        case .markConnection(let mask, let value): "ct mark set ct mark & \((~mask).hex) | \(value.hex)"
        case .markPacket(let mask, let value): "meta mark set meta mark & \((~mask).hex) | \(value.hex)"
        case .dispatch(let direction, let map): "\(direction.text) vmap @\(map)"
        case .dispatchDestination(let family, let map): "\(family.text) daddr vmap @\(map)"
        case .translateDestination(let family, let key, let map):
            "dnat \(family.text) to \(key.text(family)) map @\(map)"
        case .mark(let bits): "meta mark set meta mark | \(Self.hexadecimal(bits)) accept"
        case .unmark(let bits): "meta mark set meta mark & \(Self.hexadecimal(~bits))"
        case .masquerade(let options): options.masquerade
        case .sourceNAT(let target, let options): options.sourceNAT(to: target)
        case .sourceNATByInterface(let map): "snat ip6 prefix to oifname map @\(map)"
        case .destinationNAT(let target): "dnat \(target.text(ports: ""))"
        }
    }

    /// All eight digits, as nft lists a mark.
    private static func hexadecimal(_ value: UInt32) -> String {
        let digits = String(value, radix: 16)
        return "0x" + String(repeating: "0", count: 8 - digits.utf8.count) + digits
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

extension Rule.RecordKey {
    fileprivate func text(_ family: AddressFamily) -> String {
        switch self {
        case .address(let side): "\(family.text) \(side == .source ? "saddr" : "daddr")"
        case .endpoint(.source): "\(family.text) saddr . meta l4proto . th sport"
        case .endpoint(.destination): "\(family.text) daddr . meta l4proto . th dport"
        }
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
    fileprivate var text: String { self == .input ? "iifname" : "oifname" }
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
    /// As nft writes marks: `0x000000f0`.
    fileprivate var hex: String {
        let digits = String(self, radix: 16)
        return "0x" + String(repeating: "0", count: 8 - digits.count) + digits
    }
}
