// SPDX-License-Identifier: GPL-3.0-or-later

/// What masqd's next process must know of this one: which of the kernel's switches it turned on, and how it opened others'
/// chains.
///
/// It is kept as empty named counters in the own table, so it lives exactly as long as the network namespace's
/// switches do, survives a kill and a hand-over, and needs no file.
public struct KernelMemory: OptionSet, Sendable {
    /// The bits; their values are of no meaning outside the process.
    public let rawValue: UInt64

    /// Makes a set of bits.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// `net.ipv4.ip_forward` was 0 until masqd set it.
    public static let ipv4ForwardingWasOff = KernelMemory(rawValue: 1)
    /// `net.ipv6.conf.all.forwarding` was 0 until masqd set it.
    public static let ipv6ForwardingWasOff = KernelMemory(rawValue: 2)
    /// Others' chains are opened for first packets.
    public static let opensForFirstPackets = KernelMemory(rawValue: 4)
    /// Others' chains are opened for all but first packets.
    public static let opensForLaterPackets = KernelMemory(rawValue: 8)

    /// `net.ipv6.conf.*.use_oif_addrs_only` of uplinks was 0 until masqd set it.
    public static let ownSourcesWereOff = KernelMemory(rawValue: 16)

    /// Rules that accept these bits of the mark may be in others' chains.
    public static func opened(with marks: UInt32) -> KernelMemory {
        KernelMemory(rawValue: UInt64(marks) << 32)
    }

    /// The bits of the mark by which rules in others' chains may accept.
    public var marks: UInt32 { UInt32(rawValue >> 32) }

    /// What others' chains are opened for.
    public var permission: Permission {
        var permission: Permission = []
        if contains(.opensForFirstPackets) { permission.insert(.firstPackets) }
        if contains(.opensForLaterPackets) { permission.insert(.laterPackets) }
        return permission
    }

    /// The memory of opening others' chains for these packets with this mark.
    public static func opening(for permission: Permission, with marks: UInt32) -> KernelMemory {
        var memory = opened(with: marks)
        if permission.contains(.firstPackets) { memory.insert(.opensForFirstPackets) }
        if permission.contains(.laterPackets) { memory.insert(.opensForLaterPackets) }
        return memory
    }

    /// The part of it that is about others' chains.
    public var ofOpening: KernelMemory { .opening(for: permission, with: marks) }

    private static let names: [(name: String, memory: KernelMemory)] =
        [
            ("ip_forward_was_off", .ipv4ForwardingWasOff),
            ("ipv6_forwarding_was_off", .ipv6ForwardingWasOff),
            ("use_oif_addrs_only_was_off", .ownSourcesWereOff),
            ("opens_for_first_packets", .opensForFirstPackets),
            ("opens_for_later_packets", .opensForLaterPackets),
        ] + (0..<32).map { ("opened_with_0x\(String(UInt32(1) << $0, radix: 16))", .opened(with: 1 << $0)) }

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
