// SPDX-License-Identifier: GPL-3.0-or-later

/// What an address may become.
public enum NATTarget: Hashable, Sendable {
    /// Any one from the first address to the last, chosen by the kernel.
    case pool(AddressFamily, AddressRange)
    /// The one with the same host part in this network.
    case network(IPNetwork)

    /// The addresses' family.
    public var family: AddressFamily {
        switch self {
        case .pool(let family, _): family
        case .network(let network): network.family
        }
    }

    /// The first and the last address, as numbers.
    public var range: AddressRange {
        switch self {
        case .pool(_, let range): range
        case .network(let network): network.range
        }
    }

    /// The same in the form that rules have: a network of one address is that address, for which some versions of nft
    /// write another rule.
    var inRules: NATTarget {
        guard case .network(let network) = self, network.prefixLength == family.bitCount else { return self }
        return .pool(family, range)
    }

    /// The lowest address.
    public var first: IPAddress { IPAddress(family: family, value: range.first) }

    /// The highest address.
    public var last: IPAddress { IPAddress(family: family, value: range.last) }

    /// Whether this is what an address may have become.
    public func allows(_ translated: IPAddress, for address: IPAddress) -> Bool {
        guard translated.family == family else { return false }
        switch self {
        case .pool(_, let range): return range.first <= translated.value && translated.value <= range.last
        case .network(let network):
            // As `nft_nat_setup_netmap` in net/netfilter/nft_nat.c.
            let host = address.value & network.range.last & ~network.range.first
            return translated.value == network.range.first | host
        }
    }
}

/// What is wrong with a text that should be a ``NATTarget``.
public enum NATTargetSyntaxError: Error {
    /// Neither an address, nor two, nor a network.
    case notATarget
    /// Two addresses of different families.
    case families
    /// The higher address comes first.
    case reversed(String)
    /// An address that no packet may have as its source.
    case notASource(IPAddress)
    /// There is a slash, and no network.
    case network(IPNetworkSyntaxError)
}

extension NATTarget {
    /// Reads `203.0.113.10`, `203.0.113.10-203.0.113.12` or `203.0.113.0/24`.
    public init(_ text: String) throws(NATTargetSyntaxError) {
        if text.contains("/") {
            do throws(IPNetworkSyntaxError) {
                self = .network(try IPNetwork(text))
            } catch {
                throw .network(error)
            }
        } else {
            let ends = text.split(separator: "-", maxSplits: 2, omittingEmptySubsequences: false)
            let addresses = ends.compactMap { IPAddress(String($0)) }
            guard addresses.count == ends.count, ends.count <= 2, let first = addresses.first,
                let last = addresses.last
            else { throw .notATarget }
            guard first.family == last.family else { throw .families }
            guard first.value <= last.value else { throw .reversed("\(last)-\(first)") }
            self = .pool(first.family, AddressRange(first: first.value, last: last.value))
        }
        for end in [first, last] where !end.isUnicast { throw .notASource(end) }
    }
}

extension NATTargetSyntaxError: CustomStringConvertible {
    /// The rest of a sentence that began with the quoted text and a colon.
    public var description: String {
        switch self {
        case .notATarget:
            "expected an address, a range \"203.0.113.10-203.0.113.12\", a network, or \"uplink-prefix\""
        case .families: "both ends of a range must be of the same family"
        case .reversed(let meant): "the lower address comes first, did you mean \(meant.quoted)?"
        case .notASource(let address): "nothing may be sent from \(address)"
        case .network(let error): error.description
        }
    }
}
