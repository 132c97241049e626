// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// Reads what iptables-legacy has put into ip_tables and ip6_tables, which nf_tables does not see; never changes it.
///
/// The kernel answers only a question for a table by its name, and would make a table that is not there: so only those
/// are asked for that it lists. That list is for root alone, whatever the capabilities: anybody else, as the unit's own
/// user, finds none.
enum LegacyReader {
    /// What was found.
    struct Findings {
        /// The base chains that forwarded traffic meets, with what they reach.
        var hooks: [ForeignRuleset.Hook] = []
        /// The bits of a packet's mark that somebody may have set at another hook than forward.
        var earlierMarks: UInt32 = 0
        /// The chains that clamp the MSS: `legacy ip mangle FORWARD`.
        var clampingChains: [String] = []
        /// Whether that is everything.
        var isComplete = true

        /// Whether any rule decides by the mark.
        var looksAtMark: Bool {
            hooks.contains { $0.chains.values.contains { $0.contains(where: \.looksAtMark) } }
        }
    }

    /// How often somebody may change the size of a table between two questions before it counts as unknown.
    private static let maximumAttempts = 5

    /// Larger tables are not read: this is room for 20 000 rules, and the kernel hands them out at once.
    private static let maximumSize = 4 << 20

    /// Reads all tables of the calling thread's network namespace.
    ///
    /// - Parameter scope: the traffic in question; rules that can't apply to any of it are left out.
    static func read(for scope: ForeignScope?) -> Findings {
        var reading = LegacyReading(for: scope)
        while true {
            if let findings = reading.step(entries: .max) { return findings }
        }
    }

    /// The tables that are there, none without ip_tables; nothing where only root may know.
    static func tableNames(_ family: AddressFamily) -> [String]? {
        let file = family == .ipv4 ? "ip_tables_names" : "ip6_tables_names"
        do throws(SystemError) {
            // /proc/net is the namespace of the process, not the thread's.
            let text = try ConfigurationFile.text("/proc/thread-self/net/\(file)")
            return text.split(separator: "\n").map(String.init)
        } catch {
            return error.code == ENOENT ? [] : nil
        }
    }

    /// What the kernel has of a table: what it says about it, and its entries; nothing where it says neither.
    static func entries(
        of name: String, _ family: AddressFamily
    ) -> (information: LegacyTable.Information, bytes: [UInt8])? {
        do throws(SystemError) {
            let endpoint = try Descriptor(
                socket(CInt(family.rawValue), CInt(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0), "open",
                "a socket for table \(name)")
            for _ in 0..<maximumAttempts {
                do throws(SystemError) {
                    return try attempt(name, family, endpoint.number)
                } catch  where error.code == EAGAIN {
                    continue
                }
            }
        } catch {
            // Why, is not told apart: the findings are called incomplete.
            return nil
        }
        return nil
    }

    /// Asks for the size, and then for as much.
    ///
    /// - Throws: ``SystemError``; `EAGAIN` where the size is another by then.
    private static func attempt(
        _ name: String, _ family: AddressFamily, _ socket: CInt
    ) throws(SystemError) -> (information: LegacyTable.Information, bytes: [UInt8])? {
        // Both questions begin with the name, char[XT_TABLE_MAXNAMELEN] in linux/netfilter/x_tables.h.
        let nameLength = 32
        guard name.utf8.count < nameLength else { return nil }
        var answer = [UInt8](name.utf8)
        answer += [UInt8](repeating: 0, count: LegacyTable.Information.byteCount - answer.count)
        // IPT_SO_GET_INFO in linux/netfilter_ipv4/ip_tables.h, and IP6T_SO_GET_INFO.
        try ask(64, name, family, socket, &answer)
        let information = answer.withUnsafeBytes { LegacyTable.Information($0) }
        guard information.size <= maximumSize else { return nil }

        var entries = [UInt8](repeating: 0, count: entriesOffset + information.size)
        entries.replaceSubrange(0..<name.utf8.count, with: name.utf8)
        withUnsafeBytes(of: UInt32(information.size)) {
            entries.replaceSubrange(nameLength..<nameLength + 4, with: $0)
        }
        // IPT_SO_GET_ENTRIES, IP6T_SO_GET_ENTRIES.
        try ask(65, name, family, socket, &entries)
        return (information, entries)
    }

    /// struct ipt_get_entries: the name, the size, and the entries, which are aligned to 8 bytes.
    static let entriesOffset = 40

    private static func ask(
        _ option: CInt, _ name: String, _ family: AddressFamily, _ socket: CInt, _ bytes: inout [UInt8]
    ) throws(SystemError) {
        let level = family == .ipv4 ? IPPROTO_IP : IPPROTO_IPV6
        var length = socklen_t(bytes.count)
        guard getsockopt(socket, CInt(level), option, &bytes, &length) == 0 else {
            throw SystemError("read", "table \(name)")
        }
    }
}

/// All tables of iptables-legacy while they are read, a piece at a time.
struct LegacyReading {
    private let scope: ForeignScope?
    private var findings = LegacyReader.Findings()
    /// The tables that are still to be read; nothing before it is known which.
    private var waiting: [(family: AddressFamily, name: String)]?
    private var table: (reading: LegacyTable, bytes: [UInt8])?

    init(for scope: ForeignScope?) { self.scope = scope }

    /// Asks the kernel one thing, or goes on by so many entries.
    ///
    /// - Returns: what was found, once that is all.
    mutating func step(entries: Int = 64) -> LegacyReader.Findings? {
        if let (known, bytes) = table {
            table = nil
            var reading = known
            let progress = bytes.withUnsafeBytes {
                reading.read(
                    UnsafeRawBufferPointer(rebasing: $0[LegacyReader.entriesOffset...]), entries: entries)
            }
            switch progress {
            case .goesOn: table = (reading, bytes)
            case .over: add(reading)
            case .broken: addUnknown()
            }
            return nil
        }
        guard var waiting else {
            begin()
            return nil
        }
        guard let (family, name) = waiting.popLast() else { return findings }
        self.waiting = waiting
        if let (information, bytes) = LegacyReader.entries(of: name, family) {
            table = (LegacyTable(name, family, information, for: scope), bytes)
        } else {
            addUnknown()
        }
        return nil
    }

    private mutating func begin() {
        waiting = []
        for family in AddressFamily.allCases.reversed() {
            guard let names = LegacyReader.tableNames(family) else {
                findings.isComplete = false
                continue
            }
            waiting? += names.reversed().map { (family: family, name: $0) }
        }
    }

    private mutating func addUnknown() {
        findings.isComplete = false
        findings.earlierMarks = .max
    }

    private mutating func add(_ table: LegacyTable) {
        findings.hooks += table.hooks
        findings.clampingChains += table.clampingChains.map {
            "legacy \(table.family == .ipv4 ? "ip" : "ip6") \(table.name) \($0)"
        }
        // These two have no rules where forwarded traffic comes by, other than at hook forward.
        if !["filter", "security"].contains(table.name) { findings.earlierMarks |= table.settableMarks }
    }
}
