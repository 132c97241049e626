// SPDX-License-Identifier: GPL-3.0-or-later

/// What is known of a packet's mark at a point of its way.
struct ForeignMark: Equatable, Sendable {
    /// The bits that are set; 0 where a bit is not known.
    private(set) var value: UInt32 = 0
    /// The bits that may be set or not.
    private(set) var unknown: UInt32 = 0

    /// A mark of which some bits may be set, and the others are not.
    init(unknown: UInt32 = 0) { self.unknown = unknown }

    /// Whether its bits under a mask have a value; nothing where that is not known.
    func meets(_ expected: UInt32, mask: UInt32) -> Bool? {
        // A bit that the mask hides is 0 in what is compared.
        guard expected & ~mask == 0, (value ^ expected) & mask & ~unknown == 0 else { return false }
        return mask & unknown == 0 ? true : nil
    }

    /// Takes note of bits that are certainly set, or not, from now on.
    mutating func set(_ bits: UInt32, _ areSet: Bool) {
        value = areSet ? value | bits : value & ~bits
        unknown &= ~bits
    }

    /// Takes note of a rule that may have changed the mark.
    mutating func mayChange(_ change: ForeignRuleset.MarkChange) {
        let changed = value & change.keep ^ change.flip
        forget(change.unknown | (changed ^ value))
    }

    /// Takes note of bits that may be set or not from now on.
    mutating func forget(_ bits: UInt32) {
        unknown |= bits
        value &= ~bits
    }
}
