// SPDX-License-Identifier: GPL-3.0-or-later

/// A TCP packet of the traffic that leaves by an uplink, as far as it is known what it looks like.
///
/// TCP, since it is what fails: under ufw a ping passes and a connection does not.
public struct ForeignPacket: Equatable, Sendable {
    /// A link at one end of its way.
    public struct Link: Equatable, Sendable {
        /// The name, or how the name begins.
        public var name: InterfacePattern
        /// The index, where the link is there.
        public var index: Int32?

        /// Makes a link.
        public init(_ name: InterfacePattern, index: Int32? = nil) {
            self.name = name
            self.index = index
        }
    }

    /// The address family.
    public var family: AddressFamily
    /// The block's networks: where it comes from, or where an answer goes to.
    public var inside: AddressRanges
    /// The link that the inside is behind; absent where that is not known.
    public var insideLink: Link?
    /// The uplink.
    public var uplink: Link
    /// Whether masqd translates its source, and so the answer is one of a translated connection.
    public var isTranslated = true
    /// Which of its connection's packets it is.
    public var stage = Stage.first
    /// Its mark, as far as that is known.
    var mark = ForeignMark()

    /// Which of a connection's packets one is.
    public enum Stage: CaseIterable, Sendable {
        /// The first one, from the inside.
        case first
        /// An answer, on its way from the uplink to the inside.
        case answer
        /// One that comes from the inside after an answer.
        case later

        /// What a packet needs to be let pass by its mark.
        public var permission: Permission { self == .first ? .firstPackets : .laterPackets }
    }

    /// Makes a connection's first packet.
    public init(family: AddressFamily, inside: AddressRanges, insideLink: Link?, uplink: Link) {
        self.family = family
        self.inside = inside
        self.insideLink = insideLink
        self.uplink = uplink
    }

    /// Another packet of the same connection.
    public func at(_ stage: Stage) -> ForeignPacket {
        var packet = self
        packet.stage = stage
        return packet
    }

    private var isReply: Bool { stage == .answer }

    /// Whether a condition holds; nothing where that is not known.
    func meets(_ condition: ForeignRuleset.Condition) -> Bool? {
        switch condition {
        case .link(let side, let pattern):
            isInside(side) ? insideLink.flatMap { pattern.decides($0.name) } : pattern.decides(uplink.name)
        case .linkIndex(let side, let index):
            isInside(side) ? insideLink.flatMap { $0.index == index } : uplink.index == index
        case .address(let side, let ranges):
            if ranges.family != family {
                false
            } else {
                isInside(side) ? ranges.decides(inside) : ranges.decidesPublicAddresses
            }
        case .family(let other): family == other
        case .transport(let number): number == 6  // IPPROTO_TCP
        case .state(let states):
            // NF_CT_STATE_BIT(IP_CT_NEW) and (IP_CT_ESTABLISHED) in linux/netfilter/nf_conntrack_common.h.
            states & (stage == .first ? 8 : 2) != 0
        case .status(let flags): meetsStatus(flags)
        case .isReply: isReply
        case .mark(let value, let mask): self.mark.meets(value, mask: mask)
        case .any(let conditions): meetsAny(conditions)
        case .not(let other): meets(other).map { !$0 }
        case .unknown: nil
        }
    }

    private func isInside(_ side: ForeignRuleset.Side) -> Bool { (side == .source) != isReply }

    private func meetsAny(_ conditions: [ForeignRuleset.Condition]) -> Bool? {
        var result: Bool? = false
        for condition in conditions {
            switch meets(condition) {
            case true?: return true
            case false?: continue
            case nil: result = nil
            }
        }
        return result
    }

    /// enum ip_conntrack_status: a first packet has none of them yet, not even the translation that it will get.
    private func meetsStatus(_ flags: UInt32) -> Bool? {
        let expected: UInt32 = 1
        let seenReply: UInt32 = 2
        let confirmed: UInt32 = 8
        let sourceTranslated: UInt32 = 16
        let destinationTranslated: UInt32 = 32
        guard stage != .first else { return false }
        if flags & (seenReply | confirmed | (isTranslated ? sourceTranslated : 0)) != 0 { return true }
        let unset = expected | destinationTranslated | sourceTranslated
        return flags & ~unset == 0 ? false : nil
    }
}

extension InterfacePattern {
    /// Whether this pattern matches a link of that name, or all or none of the links whose names begin so.
    func decides(_ name: InterfacePattern) -> Bool? {
        if covers(name) { return true }
        return name.covers(self) ? nil : false
    }
}

extension AddressRanges {
    /// Whether all or none of the other's addresses are in here.
    ///
    /// By binary search in the longer one of both, and no further than to the first two that differ.
    fileprivate func decides(_ other: AddressRanges) -> Bool? {
        if isDisjoint(with: other) { return false }
        let isInside = other.ranges.allSatisfy { range in
            let index = firstIndex(reaching: range.first)
            return index < ranges.count && ranges[index].first <= range.first
                && ranges[index].last >= range.last
        }
        return isInside ? true : nil
    }

    /// Whether no address is in both; of two families none is.
    func isDisjoint(with other: AddressRanges) -> Bool {
        guard family == other.family else { return true }
        let (few, many) = ranges.count < other.ranges.count ? (self, other) : (other, self)
        return few.ranges.allSatisfy { range in
            let index = many.firstIndex(reaching: range.first)
            return index == many.ranges.count || many.ranges[index].first > range.last
        }
    }

    /// The first range that does not end before an address.
    private func firstIndex(reaching address: UInt128) -> Int {
        ranges.firstIndex(fromWhichOn: { $0.last >= address })
    }

    /// Whether all or none of the addresses are in here that people connect to in the Internet.
    var decidesPublicAddresses: Bool? {
        if ranges == [AddressRange(first: 0, last: family.maximum)] { return true }
        let special = family == .ipv4 ? Self.specialIPv4 : Self.specialIPv6
        let isSpecial = ranges.allSatisfy { range in
            let index = special.firstIndex(reaching: range.last)
            return index < special.ranges.count && special.ranges[index].first <= range.first
        }
        return isSpecial ? false : nil
    }

    private static let specialIPv4 = special(.ipv4)
    private static let specialIPv6 = special(.ipv6)

    /// What nobody in the Internet has (RFC 6890, RFC 1918, RFC 6598, RFC 4193, RFC 4291).
    private static func special(_ family: AddressFamily) -> AddressRanges {
        // The leading bits of a network, and how many they are.
        let prefixes: [(UInt128, Int)] =
            switch family {
            case .ipv4:
                [
                    (0, 8), (10, 8), (100 << 2 | 1, 10), (127, 8), (169 << 8 | 254, 16), (172 << 4 | 1, 12),
                    (192 << 8 | 168, 16), (7, 3),
                ]
            // fec0::/10, the site-local addresses of RFC 3513, beside fe80::/10.
            case .ipv6: [(0, 8), (0xfc >> 1, 7), (0xfe80 >> 7, 9), (0xff, 8)]
            }
        let networks = prefixes.map { bits, length in
            let value = bits << UInt128(family.bitCount - length)
            return IPNetwork(containing: IPAddress(family: family, value: value), prefixLength: length)
        }
        return AddressRanges(family: family, networks: networks)
    }
}

extension RandomAccessCollection where Index == Int {
    /// The first index from which on a condition holds for all elements, given that it holds for none before it; the end where
    /// there is none.
    func firstIndex(fromWhichOn holds: (Element) -> Bool) -> Int {
        var (low, high) = (startIndex, endIndex)
        while low < high {
            let middle = (low + high) / 2
            if holds(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
