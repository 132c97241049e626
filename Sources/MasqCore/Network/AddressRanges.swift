// SPDX-License-Identifier: GPL-3.0-or-later

/// The addresses from first to last, both included, as numbers; the set that holds it knows the family.
public struct AddressRange: Hashable, Sendable {
    /// The lowest address.
    public let first: UInt128
    /// The highest address, not below ``first``.
    public let last: UInt128

    /// Makes a range of two addresses in order.
    public init(first: UInt128, last: UInt128) {
        precondition(first <= last)
        self.first = first
        self.last = last
    }

    /// The network that it is, if it is one.
    func network(in family: AddressFamily) -> IPNetwork? {
        let size = last - first
        guard size & (size &+ 1) == 0, first & size == 0 else { return nil }
        let prefixLength = family.bitCount - (UInt128.bitWidth - size.leadingZeroBitCount)
        return IPNetwork(containing: IPAddress(family: family, value: first), prefixLength: prefixLength)
    }
}

/// A set of addresses of one family: sorted ranges that neither overlap nor touch.
///
/// Two sets with the same addresses are equal, however they were written: this is what is compared with the kernel.
public struct AddressRanges: Hashable, Sendable {
    /// The address family of every range.
    public let family: AddressFamily
    /// The ranges in ascending order, with at least one address between two of them.
    public let ranges: [AddressRange]

    /// Merges ranges in any order.
    public init(family: AddressFamily, merging unsorted: [AddressRange] = []) {
        self.family = family
        var ranges = unsorted
        // Files and kernel dumps are mostly sorted already, and checking costs a fraction of sorting.
        if !zip(ranges, ranges.dropFirst()).allSatisfy({ $0.first <= $1.first }) {
            ranges.sort { $0.first < $1.first }
        }
        var end = 0
        for index in ranges.indices.dropFirst() {
            let (previous, next) = (ranges[end], ranges[index])
            // `previous.last + 1` would overflow at the top of IPv6's range.
            if next.first <= previous.last || next.first - previous.last == 1 {
                ranges[end] = AddressRange(first: previous.first, last: max(previous.last, next.last))
            } else {
                end += 1
                ranges[end] = next
            }
        }
        ranges.removeLast(max(0, ranges.count - end - 1))
        self.ranges = ranges
    }

    /// Collects those networks that belong to the family.
    public init(family: AddressFamily, networks: [IPNetwork]) {
        self.init(family: family, merging: networks.lazy.filter { $0.family == family }.map(\.range))
    }

    /// Leaves out the ranges that another set has too, from the same first to the same last address.
    func removingRanges(of other: AddressRanges) -> AddressRanges {
        var rest = other.ranges[...]
        let own = ranges.filter { range in
            while let next = rest.first, next.first < range.first { rest.removeFirst() }
            return rest.first != range
        }
        return AddressRanges(family: family, merging: own)
    }

    /// What lies within a range.
    func intersection(with range: AddressRange) -> AddressRanges {
        let common = ranges.filter { $0.first <= range.last && range.first <= $0.last }
        return AddressRanges(
            family: family,
            merging: common.map { .init(first: max($0.first, range.first), last: min($0.last, range.last)) })
    }

    /// How many networks of a prefix length have an address in it; the highest number there is for even more.
    func count(prefixLength: Int) -> UInt128 {
        let shift = UInt128(family.bitCount - prefixLength)
        var count: UInt128 = 0
        var previous: UInt128?
        for range in ranges {
            let (first, last) = (range.first >> shift, range.last >> shift)
            let fresh = (last - first).addingReportingOverflow(previous == first ? 0 : 1)
            let sum = count.addingReportingOverflow(fresh.partialValue)
            if fresh.overflow || sum.overflow { return .max }
            (count, previous) = (sum.partialValue, last)
        }
        return count
    }

    /// Whether an address is in it, by binary search.
    public func contains(_ address: IPAddress) -> Bool {
        guard address.family == family else { return false }
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].last < address.value { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count && ranges[low].first <= address.value
    }

    /// Whether there is no address in it.
    public var isEmpty: Bool { ranges.isEmpty }
}
