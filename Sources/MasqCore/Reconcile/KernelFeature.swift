// SPDX-License-Identifier: GPL-3.0-or-later

/// Something that a kernel may lack, and that the gateway can do without: it is left out rather than all the rules.
public enum KernelFeature: Hashable, Comparable, Sendable {
    /// A connection tracking helper, by its object's name.
    case helper(String)
    /// Flowtables (`CONFIG_NF_FLOW_TABLE_INET`).
    case flowOffload
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
        case .timeouts: "ct timeouts"
        }
    }
}

extension Configuration {
    /// Whether the gateway goes on without it where the kernel lacks it: it does unless the file insists.
    func canDoWithout(_ feature: KernelFeature) -> Bool {
        feature != .flowOffload || forward.flowOffload == .auto
    }
}
