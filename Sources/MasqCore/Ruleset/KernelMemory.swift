// SPDX-License-Identifier: GPL-3.0-or-later

/// What masqd's next process must know of this one: which forwarding switches it turned on.
///
/// It is kept as empty named counters in the own table, so it lives exactly as long as the network namespace's
/// switches do, survives a kill and a hand-over, and needs no file.
public struct KernelMemory: OptionSet, Sendable {
    /// The bits; their values are of no meaning outside the process.
    public let rawValue: UInt8

    /// Makes a set of bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// `net.ipv4.ip_forward` was 0 until masqd set it.
    public static let ipv4ForwardingWasOff = KernelMemory(rawValue: 1)
    /// `net.ipv6.conf.all.forwarding` was 0 until masqd set it.
    public static let ipv6ForwardingWasOff = KernelMemory(rawValue: 2)

    private static let names: [(name: String, memory: KernelMemory)] = [
        ("ip_forward_was_off", .ipv4ForwardingWasOff),
        ("ipv6_forwarding_was_off", .ipv6ForwardingWasOff),
    ]

    /// The names of the counters that stand for it.
    public var counterNames: [String] { Self.names.filter { contains($0.memory) }.map(\.name) }

    /// Recalls what the named counters of a table say.
    public init(counterNames: some Collection<String>) {
        self = []
        for (name, memory) in Self.names where counterNames.contains(name) { insert(memory) }
    }

    /// The memory for one family's switch.
    public static func forwardingWasOff(_ family: AddressFamily) -> KernelMemory {
        family == .ipv4 ? .ipv4ForwardingWasOff : .ipv6ForwardingWasOff
    }
}
