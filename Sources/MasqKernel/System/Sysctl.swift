// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore

/// The kernel's settings below /proc/sys/net, of the calling thread's network namespace.
public enum Sysctl {
    /// What the kernel is told about a link.
    ///
    /// A setting that is not there, or can't be read, is absent.
    public static func settings(ofLink name: String) -> LinkSettings {
        var settings = LinkSettings()
        // The higher of the two is in force (ip-sysctl in the kernel's documentation).
        let filters = ["all", name].compactMap { number("ipv4/conf/\($0)/rp_filter") }
        settings.reversePathFilter = filters.max()
        settings.isForwarding = number("ipv4/conf/\(name)/forwarding").map { $0 != 0 }
        settings.acceptsAdvertisements = number("ipv6/conf/\(name)/accept_ra")
        return settings
    }

    /// Whether IPv6 sources for what leaves by a link are chosen among its own addresses alone.
    ///
    /// - Throws: ``SystemError``: `ENOENT` without such a link, or without IPv6 on it.
    public static func usesOwnSourcesOnly(_ link: String) throws(SystemError) -> Bool {
        try ConfigurationFile.text(path(ownSources(link))).hasPrefix("1")
    }

    /// Sets it.
    ///
    /// - Throws: ``SystemError``: `ENOENT` as above, `EROFS` where /proc/sys is read-only.
    public static func setUsesOwnSourcesOnly(_ link: String, _ isOn: Bool) throws(SystemError) {
        let path = path(ownSources(link))
        let file = try Descriptor(open(path, O_WRONLY | O_CLOEXEC), "open", path)
        guard write(file.number, isOn ? "1" : "0", 1) == 1 else { throw SystemError("write", path) }
    }

    private static func ownSources(_ link: String) -> String { "ipv6/conf/\(link)/use_oif_addrs_only" }

    private static func path(_ name: String) -> String { "/proc/sys/net/\(name)" }

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

    /// How long connections are remembered; without what is not there as long as the kernel tracks no connections.
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

    private static func number(_ name: String) -> Int? {
        do throws(SystemError) {
            return Int(try ConfigurationFile.text("/proc/sys/net/\(name)").prefix { !$0.isWhitespace })
        } catch {
            return nil
        }
    }
}
