// SPDX-License-Identifier: GPL-3.0-or-later

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
    }

    /// How often somebody may change the size of a table between two questions before it counts as unknown.
    private static let maximumAttempts = 5

    /// Larger tables are not read: this is room for 300 000 rules.
    private static let maximumSize = 64 << 20

    /// Reads all tables of the calling thread's network namespace.
    ///
    /// - Parameter audit: the traffic in question; rules that can't apply to any of it are left out.
    static func read(for audit: ForeignAudit?) -> Findings {
        var findings = Findings()
        for family in AddressFamily.allCases {
            guard let names = tableNames(family) else {
                findings.isComplete = false
                continue
            }
            for name in names {
                guard let table = table(name, family, audit) else {
                    findings.isComplete = false
                    findings.earlierMarks = .max
                    continue
                }
                findings.hooks += table.hooks
                findings.clampingChains += table.clampingChains.map {
                    "legacy \(family == .ipv4 ? "ip" : "ip6") \(name) \($0)"
                }
                // These two have no rules where forwarded traffic comes by, other than at hook forward.
                if !["filter", "security"].contains(name) { findings.earlierMarks |= table.settableMarks }
            }
        }
        return findings
    }

    /// The tables that are there, none without ip_tables; nothing where only root may know.
    private static func tableNames(_ family: AddressFamily) -> [String]? {
        let file = family == .ipv4 ? "ip_tables_names" : "ip6_tables_names"
        do throws(SystemError) {
            // /proc/net is the namespace of the process, not the thread's.
            let text = try ConfigurationFile.text("/proc/thread-self/net/\(file)")
            return text.split(separator: "\n").map(String.init)
        } catch {
            return error.code == ENOENT ? [] : nil
        }
    }

    private static func table(_ name: String, _ family: AddressFamily, _ audit: ForeignAudit?) -> LegacyTable?
    {
        do throws(SystemError) {
            let endpoint = try Descriptor(
                socket(CInt(family.rawValue), CInt(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0), "open",
                "a socket for table \(name)")
            for _ in 0..<maximumAttempts {
                do throws(SystemError) {
                    return try attempt(name, family, audit, endpoint.number)
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
        _ name: String, _ family: AddressFamily, _ audit: ForeignAudit?, _ socket: CInt
    ) throws(SystemError) -> LegacyTable? {
        // Both questions begin with the name, char[XT_TABLE_MAXNAMELEN] in linux/netfilter/x_tables.h.
        let nameLength = 32
        guard name.utf8.count < nameLength else { return nil }
        var answer = [UInt8](name.utf8)
        answer += [UInt8](repeating: 0, count: LegacyTable.Information.byteCount - answer.count)
        // IPT_SO_GET_INFO in linux/netfilter_ipv4/ip_tables.h, and IP6T_SO_GET_INFO.
        try ask(64, name, family, socket, &answer)
        let information = answer.withUnsafeBytes { LegacyTable.Information($0) }
        guard information.size <= maximumSize else { return nil }

        // struct ipt_get_entries: the name, the size, and the entries, which are aligned to 8 bytes.
        let headerLength = 40
        var entries = [UInt8](repeating: 0, count: headerLength + information.size)
        entries.replaceSubrange(0..<name.utf8.count, with: name.utf8)
        withUnsafeBytes(of: UInt32(information.size)) {
            entries.replaceSubrange(nameLength..<nameLength + 4, with: $0)
        }
        // IPT_SO_GET_ENTRIES, IP6T_SO_GET_ENTRIES.
        try ask(65, name, family, socket, &entries)
        return entries.withUnsafeBytes { bytes in
            LegacyTable(
                name, family, information, UnsafeRawBufferPointer(rebasing: bytes[headerLength...]),
                for: audit)
        }
    }

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
