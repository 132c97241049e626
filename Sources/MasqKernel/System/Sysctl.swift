// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore

/// The kernel's settings below /proc/sys/net, of the calling thread's network namespace.
public enum Sysctl {
    /// What the kernel is told about a link.
    ///
    /// A setting that is not there, or can't be read, is absent.
    public static func settings(ofLink name: InterfaceName) -> LinkSettings {
        var settings = LinkSettings()
        // The higher of the two is in force (ip-sysctl in the kernel's documentation).
        let filters = ["all", name].compactMap { number("ipv4/conf", $0, "rp_filter") }
        settings.reversePathFilter = filters.max()
        settings.isForwarding = number("ipv4/conf", name, "forwarding").map { $0 != 0 }
        settings.acceptsAdvertisements = number("ipv6/conf", name, "accept_ra")
        return settings
    }

    /// Whether IPv6 sources for what leaves by a link are chosen among its own addresses alone.
    ///
    /// - Throws: ``SystemError``: `ENOENT` without such a link, or without IPv6 on it.
    public static func usesOwnSourcesOnly(_ link: InterfaceName) throws(SystemError) -> Bool {
        try own(link, O_RDONLY, "read") { file in
            var digit: UInt8 = 0
            return read(file, &digit, 1) == 1 ? digit == UInt8(ascii: "1") : nil
        }
    }

    /// Sets it.
    ///
    /// - Throws: ``SystemError``: `ENOENT` as above, `EROFS` where /proc/sys is read-only.
    public static func setUsesOwnSourcesOnly(_ link: InterfaceName, _ isOn: Bool) throws(SystemError) {
        try own(link, O_WRONLY, "write") { file in write(file, isOn ? "1" : "0", 1) == 1 ? () : nil }
    }

    /// Opens the setting that has an IPv6 source chosen among a link's own addresses.
    private static func own<Value>(
        _ link: InterfaceName, _ access: CInt, _ attempt: String, _ use: (CInt) -> Value?
    ) throws(SystemError) -> Value {
        let object = "the source setting of \(link), use_oif_addrs_only"
        guard let path = path("ipv6/conf", link, "use_oif_addrs_only") else {
            throw SystemError("open", object, code: ENOENT)
        }
        let file = try Descriptor(open(path, access | O_CLOEXEC), "open", object)
        guard let value = use(file.number) else { throw SystemError(attempt, object) }
        return value
    }

    /// How full the connection table is; nothing where the kernel tracks no connections.
    ///
    /// - Throws: ``SystemError``.
    public static func conntrackLoad() throws(SystemError) -> ConntrackLoad? {
        guard let count = number("netfilter/nf_conntrack_count"),
            let maximum = number("netfilter/nf_conntrack_max")
        else { return nil }
        let memory = sysconf(CInt(_SC_PHYS_PAGES)) * sysconf(CInt(_SC_PAGESIZE))
        var load = ConntrackLoad(
            count: count, maximum: maximum, buckets: number("netfilter/nf_conntrack_buckets") ?? 0,
            memory: memory)
        do throws(SystemError) {
            load.failures = ConntrackLoad.Failures(
                statistics: try ConfigurationFile.text("/proc/net/stat/nf_conntrack"))
        } catch  where error.code == ENOENT {
            // CONFIG_NF_CONNTRACK_PROCFS is off.
        }
        return load
    }

    /// How long connections are remembered; without what is not there as long as the kernel tracks no
    /// connections.
    public static func connectionTimeouts() -> [ConnectionTimeout: UInt32] {
        var timeouts: [ConnectionTimeout: UInt32] = [:]
        for timeout in ConnectionTimeout.allCases {
            timeouts[timeout] = number("netfilter/nf_conntrack_\(timeout.rawValue)").flatMap {
                UInt32(exactly: $0)
            }
        }
        return timeouts
    }

    /// Whether packets that a bridge passes, and nobody routes, may have a conntrack entry.
    static func tracksBridgedPackets(_ family: AddressFamily) -> Bool {
        // br_netfilter hands them to the rules of IP; nf_conntrack_bridge tracks them for the bridge's own rules.
        let setting = family == .ipv4 ? "bridge-nf-call-iptables" : "bridge-nf-call-ip6tables"
        return number("bridge/\(setting)") ?? 0 != 0 || access("/sys/module/nf_conntrack_bridge", F_OK) == 0
    }

    private static func number(_ name: String) -> Int? { number(Array("/proc/sys/net/\(name)".utf8CString)) }

    /// A setting of a link, whose name may be anything but a path.
    private static func number(_ folder: String, _ link: InterfaceName, _ name: String) -> Int? {
        path(folder, link, name).flatMap(number)
    }

    /// The C string that names a setting of a link.
    private static func path(_ folder: String, _ link: InterfaceName, _ name: String) -> [CChar]? {
        guard !link.isEmpty, !link.bytes.contains(UInt8(ascii: "/")) else { return nil }
        let path = Array("/proc/sys/net/\(folder)/".utf8) + link.bytes + Array("/\(name)".utf8)
        return path.map { CChar(bitPattern: $0) } + [0]
    }

    /// The number that a file begins with; nothing where it can't be read.
    private static func number(_ path: [CChar]) -> Int? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 64)
        let count = read(descriptor, &buffer, buffer.count)
        guard count > 0 else { return nil }
        return Int(String(decoding: buffer[..<count].prefix { $0 > UInt8(ascii: " ") }, as: UTF8.self))
    }
}
