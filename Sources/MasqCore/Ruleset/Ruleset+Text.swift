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
        case .interfaceIndex: "iface_index"
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
        if let network = network(in: family) { return "\(network)" }
        return "\(IPAddress(family: family, value: first))-\(IPAddress(family: family, value: last))"
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
        return
            "type \(type) hook \(hookName) priority \(priorityName); policy \(policy == 0 ? "drop" : "accept");"
    }
    /// `enum nf_inet_hooks` in linux/netfilter.h.
    private var hookName: String {
        let names = ["prerouting", "input", "forward", "output", "postrouting", "ingress"]
        return names.indices.contains(Int(hook)) ? names[Int(hook)] : "\(hook)"
    }

    /// As nft lists it: by the nearest name that is at most 10 away, of those that the hook has (nft(8), "priority").
    private var priorityName: String {
        let names: [(String, Int32)] = [
            ("raw", -300), ("mangle", -150), ("dstnat", -100), ("filter", 0), ("security", 50),
            ("srcnat", 100),
        ]
        for (name, standard) in names where abs(priority - standard) <= 10 {
            let distance = priority - standard
            if distance == 0 { return name }
            return "\(name) \(distance < 0 ? "-" : "+") \(abs(distance))"
        }
        return "\(priority)"
    }
}
