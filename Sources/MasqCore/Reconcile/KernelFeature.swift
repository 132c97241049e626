// SPDX-License-Identifier: GPL-3.0-or-later

/// Something that a kernel may lack, and that the gateway can do without: it is left out rather than all the rules.
public enum KernelFeature: Hashable, Comparable, Sendable {
    /// A connection tracking helper, by its object's name.
    case helper(String)
    /// Flowtables (`CONFIG_NF_FLOW_TABLE_INET`).
    case flowOffload
    /// Logging of packets (`CONFIG_NFT_LOG`, and what writes to the kernel's log or to a group).
    case log
    /// Timeouts for each connection (`CONFIG_NF_CONNTRACK_TIMEOUT`).
    case timeouts

    /// The feature that an object is; none where masqd can't do without it.
    public init?(_ object: Snapshot.StatefulObject) {
        switch object.content {
        case .helper: self = .helper(object.name)
        case .timeout: self = .timeouts
        case .counter, .quota, .other: return nil
        }
    }
}

extension KernelFeature: CustomStringConvertible {
    /// As a status names it: `ct helper helper_ftp`.
    public var description: String {
        switch self {
        case .helper(let name): "ct helper \(name)"
        case .flowOffload: "flowtables"
        case .log: "packet logging"
        case .timeouts: "ct timeouts"
        }
    }
}

extension KernelFeature {
    /// The modules that bring it; none where only another kernel has it.
    public var modules: [String] {
        switch self {
        // `helper_sip_tcp` is of nf_conntrack_sip.
        case .helper(let name): ["nf_conntrack_\(name.split(separator: "_").dropFirst().first ?? "")"]
        case .flowOffload: ["nf_flow_table_inet", "nft_flow_offload"]
        case .log: ["nft_log", "nf_log_syslog", "nfnetlink_log"]
        case .timeouts: []
        }
    }

    /// What stands for it in the next sentence.
    var pronoun: String {
        switch self {
        case .helper, .log: "it"
        case .flowOffload, .timeouts: "them"
        }
    }
}

extension Set<KernelFeature> {
    /// Takes in what the kernel refused as unknown; says whether it is worth another attempt, without that.
    mutating func learn(from failure: CommitFailure, for configuration: Configuration) -> Bool {
        guard let missing = failure.missing, configuration.canDoWithout(missing) else { return false }
        return insert(missing).inserted
    }
}

extension Configuration {
    /// Whether the gateway goes on without it where the kernel lacks it: it does unless the file insists.
    func canDoWithout(_ feature: KernelFeature) -> Bool {
        feature != .flowOffload || forward.flowOffload == .auto
    }
}
