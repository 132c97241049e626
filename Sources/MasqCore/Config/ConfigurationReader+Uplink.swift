// SPDX-License-Identifier: GPL-3.0-or-later

extension ConfigurationReader {
    /// Reads one `[[uplink]]`, which gets its number later; nothing without an interface.
    mutating func uplinkBlock(_ table: TomlValue) -> UplinkBlock? {
        var block = UplinkBlock(line: table.position.line, interface: "", number: 0)
        var isMissing = true
        for entry in table.entries {
            switch entry.key {
            case "interface":
                isMissing = false
                block.interface = interfaceName(entry, because: ", each uplink has its own routes") ?? ""
            case "table": block.table = routingTable(entry)
            case "gateway": block.gateways = gateways(entry)
            case "on_loss": block.onLoss = choice(entry) ?? block.onLoss
            case "probe": block.probe = probeTargets(entry)
            default:
                if reportUnknown(entry, in: .uplink) == "interface" { isMissing = false }
            }
        }
        if isMissing {
            diagnostics.add(
                .error, at: place(table.position), "[[uplink]] without \"interface\", which it needs")
        }
        return block.interface.isEmpty ? nil : block
    }

    /// Reads `[policy_routing]`.
    mutating func readPolicyRouting(_ table: TomlValue, into routing: inout Configuration.PolicyRouting) {
        for entry in table.entries {
            switch entry.key {
            case "mark_mask":
                routing.marks = markField(entry) ?? routing.marks
                routing.marksLine = entry.position.line
            case "rule_priority":
                // 0 is the kernel's table "local", 32766 its table "main", which masqd's rules must come before.
                routing.rulePriority = integer(entry, in: 1...32666).map(UInt32.init) ?? routing.rulePriority
            case "failover": routing.failover = boolean(entry) ?? routing.failover
            case "probe_interval":
                routing.probeInterval =
                    integer(entry, in: 1...3600, unit: " of seconds").map { Int($0) } ?? routing.probeInterval
            case "probe_failures":
                routing.probeFailures = integer(entry, in: 1...100).map { Int($0) } ?? routing.probeFailures
            default: reportUnknown(entry, in: .policyRouting)
            }
        }
    }

    /// Numbers the uplinks in the file's order, and reports what they have in common and must not.
    mutating func numbered(_ blocks: [UplinkBlock], _ configuration: Configuration) -> [UplinkBlock] {
        var uplinks: [UplinkBlock] = []
        for var block in blocks {
            let place = place(.init(line: block.line, column: 1))
            block.number = uplinks.count + 1
            if let twin = uplinks.first(where: { $0.interface == block.interface }) {
                diagnostics.add(
                    .error, at: place,
                    "[[uplink]] repeats the one on line \(twin.line): same interface \"\(block.interface)\""
                )
            } else if let twin = uplinks.first(where: { $0.routingTable == block.routingTable }) {
                diagnostics.add(
                    .error, at: place,
                    "[[uplink]] has the same table as the one on line \(twin.line): \(block.routingTable)")
            }
            if !configuration.outbound.contains(where: { $0.leaves(by: block.interface) }) {
                diagnostics.add(
                    .warning, at: place,
                    """
                    [[uplink]] "\(block.interface)" is the out_interface of no other block: connections stay with it, \
                    and nothing is translated
                    """)
            }
            uplinks.append(block)
        }
        if !uplinks.isEmpty { reportSharedBits(configuration, blocks[0].line) }
        let capacity = configuration.policyRouting.marks.capacity
        if uplinks.count > capacity {
            let line = configuration.policyRouting.marksLine.map { " on line \($0)" } ?? ""
            diagnostics.add(
                .error, at: place(.init(line: uplinks[capacity].line, column: 1)),
                "too many [[uplink]]: the mark_mask\(line) has room for \(capacity)")
        }
        return uplinks
    }

    /// Two meanings of one bit would send packets anywhere.
    private mutating func reportSharedBits(_ configuration: Configuration, _ uplinkLine: Int) {
        let (forward, routing) = (configuration.forward, configuration.policyRouting)
        guard forward.foreignDrop == .open, forward.mark & routing.marks.mask != 0 else { return }
        let bit = "0x" + String(forward.mark, radix: 16)
        let line = forward.markLine.map { " on line \($0)" } ?? ", where nothing else is said"
        diagnostics.add(
            .error, at: place(.init(line: routing.marksLine ?? uplinkLine, column: 1)),
            """
            [policy_routing] "mark_mask" 0x\(String(routing.marks.mask, radix: 16)) has a bit in it that is \(bit) of \
            [forward] "mark"\(line): each needs bits of its own
            """)
    }

    /// Reads a name that is no glob.
    mutating func interfaceName(_ entry: TomlEntry, because reason: String = "") -> InterfaceName? {
        guard let text = entry.value.string else {
            reportWrongType(entry.value, of: entry.key, expected: "an interface's name")
            return nil
        }
        let problem: String
        do throws(InterfacePatternSyntaxError) {
            if case .name(let name) = try InterfacePattern(text) { return name }
            problem = "must be one interface's whole name\(reason)"
        } catch {
            problem = "\(error)"
        }
        diagnostics.add(.error, at: place(entry.value.position), "\(text.quoted): \(problem)")
        return nil
    }

    private mutating func routingTable(_ entry: TomlEntry) -> UInt32? {
        guard let table = integer(entry, in: 1...Int64(UInt32.max)) else { return nil }
        let first = Int64(UplinkBlock.firstTable) + 1
        let last = Int64(UplinkBlock.firstTable) + Int64(UplinkBlock.maximumCount)
        let problem: String
        // RT_TABLE_DEFAULT, RT_TABLE_MAIN and RT_TABLE_LOCAL in linux/rtnetlink.h.
        if let name = [253: "default", 254: "main", 255: "local"][table] {
            problem = "\(table) is the kernel's table \"\(name)\", each uplink needs one of its own"
        } else if (first...last).contains(table) {
            problem =
                "\(first) to \(last) are those that masqd chooses by itself, leave the key out for one of them"
        } else {
            return UInt32(table)
        }
        diagnostics.add(.error, at: place(entry.value.position), "\(entry.key.quoted): \(problem)")
        return nil
    }

    private mutating func gateways(_ entry: TomlEntry) -> [IPAddress] {
        guard let list = strings(entry) else { return [] }
        var gateways: [IPAddress] = []
        for index in 0..<list.count {
            guard let text = list.string(at: index) else { continue }
            guard let address = IPAddress(text) else {
                diagnostics.add(.error, at: list.place(of: index), "\(text.quoted): not an IP address")
                continue
            }
            if !address.isUnicast, !address.isLinkLocal {
                diagnostics.add(
                    .error, at: list.place(of: index), "\(text.quoted): no router has this address")
            }
            if gateways.contains(where: { $0.family == address.family }) {
                let name = address.family.name
                diagnostics.add(
                    .error, at: list.place(of: index),
                    "\(text.quoted): a second gateway of \(name), one is possible")
            }
            gateways.append(address)
        }
        return gateways
    }

    private mutating func probeTargets(_ entry: TomlEntry) -> [SocketAddress] {
        guard let list = strings(entry) else { return [] }
        return (0..<list.count).compactMap { index in
            guard let text = list.string(at: index) else { return nil }
            if let target = SocketAddress(text) {
                if target.address.isUnicast { return target }
                diagnostics.add(
                    .error, at: list.place(of: index), "\(text.quoted): nobody answers at this address")
                return nil
            }
            let hint =
                IPAddress(text).map { address in
                    ", did you mean \"\(SocketAddress(address: address, port: 443))\"?"
                } ?? ", such as \"192.0.2.1:443\" or \"[2001:db8::1]:443\""
            diagnostics.add(
                .error, at: list.place(of: index), "\(text.quoted): expected an address and a port\(hint)")
            return nil
        }
    }

    private mutating func markField(_ entry: TomlEntry) -> MarkField? {
        let expected = "two or more adjacent bits, 0xf0"
        guard let number = entry.value.integer else {
            reportWrongType(entry.value, of: entry.key, expected: "an integer with \(expected)")
            return nil
        }
        if let mask = UInt32(exactly: number), let field = MarkField(mask: mask) { return field }
        let text = number < 0 ? "\(number)" : "0x" + String(number, radix: 16)
        diagnostics.add(
            .error, at: place(entry.value.position), "\(entry.key.quoted): expected \(expected), not \(text)")
        return nil
    }
}

extension OutboundBlock {
    /// Whether an interface of this name is one of its out_interfaces.
    fileprivate func leaves(by name: InterfaceName) -> Bool { outInterfaces.contains { $0.matches(name) } }
}
