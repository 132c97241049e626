// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// A conversation with the kernel that failed: what was attempted, on which object, and the errno.
public struct NetlinkError: Error, Equatable {
    /// What was attempted.
    public enum Operation: Equatable, Sendable {
        /// Making the socket.
        case open
        /// Giving it an address, or joining a multicast group.
        case bind
        /// Handing a message to the kernel.
        case send
        /// Reading an answer.
        case receive
        /// Listing objects.
        case dump
        /// Changing the ruleset; nothing of the batch took effect.
        case commit
    }

    /// What was attempted.
    public let operation: Operation
    /// The errno of the first failure, positive.
    public let code: CInt
    /// The object that the kernel refused, or that was asked for.
    public let object: String
    /// What the kernel lacks, where the object is something that the gateway can do without.
    public let missing: KernelFeature?

    /// Makes an error.
    public init(_ operation: Operation, code: CInt, object: String, missing: KernelFeature? = nil) {
        self.missing = missing
        self.operation = operation
        self.code = code
        self.object = object
    }

    /// Whether the same attempt, made again from a fresh dump, may succeed.
    ///
    /// `ERESTART`: somebody else committed between our dump and our batch (`nf_tables_valid_genid`). `EINTR`:
    /// somebody committed during the dump. `ENOBUFS`: messages were lost.
    public var isTransient: Bool { [85, EINTR, ENOBUFS, EAGAIN].contains(code) }
}

extension NetlinkError {
    /// The failure as the reconciler takes it.
    public var commitFailure: CommitFailure {
        let kind: CommitFailure.Kind =
            switch code {
            case EPERM, EACCES: .notPermitted
            // A flowtable's link (`__dev_get_by_name` in nft_netdev_hook_alloc).
            case ENOENT where object.hasPrefix("devices"): .outdated
            // Of a listing it says that somebody deleted what was asked for.
            case ENOENT where operation == .dump: .other
            case EOPNOTSUPP, EPROTONOSUPPORT, ENOENT: .unsupported
            default: .other
            }
        return CommitFailure(reason: description, kind: kind, missing: missing)
    }
}

extension NetlinkError: CustomStringConvertible {
    /// One line: what failed, on what, why, and where it is known, what helps.
    public var description: String {
        let attempt =
            switch operation {
            case .open: "can't open a netlink socket for \(object)"
            case .bind: "can't bind the netlink socket for \(object)"
            case .send: "can't send to the kernel: \(object)"
            case .receive: "no answer from the kernel: \(object)"
            case .dump: "can't list \(object)"
            case .commit: "the kernel refused \(object)"
            }
        return "\(attempt): \(String(cString: strerror(code)))\(hint.map { " (\($0))" } ?? "")"
    }

    private var isAboutTable: Bool { object.hasPrefix("table") }

    /// What a person can do about it.
    private var hint: String? {
        if let missing { return missing.explanation }
        return switch (operation, code) {
        case (.commit, EPERM) where isAboutTable:
            "CAP_NET_ADMIN is needed, or the table belongs to another process: nft list tables shows \"flags owner\""
        case (_, EPERM), (_, EACCES): "CAP_NET_ADMIN is needed: run as root, or through the systemd unit"
        case (.open, EPROTONOSUPPORT): "this kernel has no nfnetlink: modprobe nfnetlink"
        case (_, EOPNOTSUPP) where isAboutTable, (_, EINVAL) where isAboutTable:
            "this kernel has no nf_tables: modprobe nf_tables"
        case (.commit, ENOENT) where object.contains("postrouting"):
            "this kernel has no nat chains: modprobe nft_chain_nat"
        case (.commit, ENOENT) where object.contains("translate"):
            "this kernel can't masquerade: modprobe nft_masq"
        case (.commit, ENOENT) where object.contains("output"):
            "this kernel lacks an expression of the rule: modprobe -a nft_fib_inet nft_ct"
        case (.commit, ENOENT) where object.hasPrefix("a rule"):
            "this kernel lacks an expression of the rule: modprobe nft_ct"
        case (.commit, EOPNOTSUPP) where object.hasPrefix("devices"):
            "the network card can't do it: flow_offload = \"software\""
        case (.dump, EOPNOTSUPP) where object.hasPrefix("rules of policy routing"):
            "this kernel has none: CONFIG_IP_MULTIPLE_TABLES"
        case (.send, EMSGSIZE):
            "larger than net.core.wmem_max allows here; as root outside of a user namespace there is no such limit"
        default: nil
        }
    }
}

extension KernelFeature {
    /// Why the kernel does not know it, and what helps.
    fileprivate var explanation: String {
        let claim =
            switch self {
            case .helper: "this kernel does not know that protocol"
            case .flowOffload: "this kernel has no flowtables"
            case .log: "this kernel can't log packets"
            case .timeouts: "this kernel has no timeouts for each connection: CONFIG_NF_CONNTRACK_TIMEOUT"
            }
        guard !modules.isEmpty else { return claim }
        return "\(claim): modprobe \(modules.count > 1 ? "-a " : "")\(modules.joined(separator: " "))"
    }
}
