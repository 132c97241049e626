// SPDX-License-Identifier: GPL-3.0-or-later

/// A set that packets add to: what it holds is the kernel's business, and never compared.
public struct Recording: Hashable, Sendable {
    /// What a packet is recorded under, and whether each element counts packets and bytes.
    public let type: ElementType
    /// The most elements; what comes when it is full is not recorded.
    public let size: UInt32
    /// After how long without a packet an element goes, in seconds; 0: never.
    public let timeout: UInt32

    /// Makes a recording.
    public init(_ type: ElementType, size: UInt32, timeout: UInt32 = 0) {
        self.type = type
        self.size = size
        self.timeout = timeout
    }
}

/// How often something may happen.
public struct Rate: Equatable, Sendable {
    /// How many times in a unit.
    public var count: UInt32
    /// The unit.
    public var unit: Unit
    /// How many times at once after a while of rest.
    public var burst: UInt32

    /// Makes a rate.
    public init(_ count: UInt32, _ unit: Unit, burst: UInt32) {
        self.count = count
        self.unit = unit
        self.burst = burst
    }

    /// How long a burst takes to be possible again, in seconds.
    public var recovery: UInt64 { unit.seconds * UInt64(burst) / UInt64(count) }

    /// The longest ``recovery``, in seconds: a year. The kernel counts it in nanoseconds of 64 bits, and nft takes no more
    /// than eight digits of seconds.
    public static let maximumRecovery: UInt64 = 365 * 86400

    /// The units that nft has.
    public enum Unit: String, CaseIterable, Sendable {
        case second, minute, hour, day

        /// Its length.
        public var seconds: UInt64 {
            switch self {
            case .second: 1
            case .minute: 60
            case .hour: 3600
            case .day: 86400
            }
        }
    }
}
