// SPDX-License-Identifier: GPL-3.0-or-later

extension PortForward {
    /// For each port that some sources only may use, what each of the forwards that have it gets of them.
    ///
    /// Where two have an address in common, the first one of the file counts, as with blocks.
    ///
    /// - Parameters:
    ///   - forwards: those at one interface, in the file's order.
    ///   - body: takes a port, and the indexes of its forwards with their shares.
    static func divideSources(
        of forwards: [PortForward], _ family: AddressFamily, _ transport: Rule.TransportProtocol,
        _ body: (UInt16, [(forward: Int, share: AddressRanges.Share)]) -> Void
    ) {
        var claims: [Int: AddressRanges] = [:]
        var claimants: [UInt16: [Int]] = [:]
        for (index, forward) in forwards.enumerated()
        where forward.address.family == family && !forward.source.isEmpty
            && forward.transports.contains(transport)
        {
            claims[index] = AddressRanges(family: family, networks: forward.source)
            for port in forward.ports { claimants[port, default: []].append(index) }
        }
        // The ports of a range mostly have the same forwards.
        var last: (claimants: [Int], shares: [(Int, AddressRanges.Share)]) = ([], [])
        for (port, own) in claimants.sorted(by: { $0.key < $1.key }) {
            if own != last.claimants {
                let shares = AddressRanges.divided(own.compactMap { claims[$0] }).map { share in
                    guard let lost = share.lost else { return share }
                    return AddressRanges.Share(ranges: share.ranges, lost: (lost.address, own[lost.to]))
                }
                last = (own, Array(zip(own, shares)))
            }
            body(port, last.shares)
        }
    }
}
