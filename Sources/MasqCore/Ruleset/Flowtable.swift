// SPDX-License-Identifier: GPL-3.0-or-later

/// A flowtable: connections under way that pass it are forwarded where they arrive, without any hook behind it.
///
/// It is tied to links, not to names: a link that goes takes its place in it along, silently.
public struct Flowtable: Equatable, Sendable {
    /// The name in the table.
    public static let name = "fastpath"

    /// Whether the network cards do the work (`flags offload`).
    public var isHardware: Bool
    /// The uplinks whose connections take it.
    var uplinks: [InterfacePattern]
    /// The networks behind the gateway: a link with an address in one of them leads there.
    var inside: [IPNetwork]
    /// The links that it is tied to, as they were at the last look.
    public private(set) var devices: Set<Device> = []

    /// A link, by name and by index: one that went and came back has to be tied again.
    public struct Device: Hashable, Sendable {
        /// The link's name.
        public let name: InterfaceName
        /// The link's index.
        public let index: Int32

        /// Makes a device.
        public init(name: InterfaceName, index: Int32) {
            self.name = name
            self.index = index
        }
    }

    /// Makes a flowtable without links.
    init(isHardware: Bool, uplinks: [InterfacePattern], inside: [IPNetwork]) {
        self.isHardware = isHardware
        self.uplinks = uplinks
        self.inside = inside
    }

    /// Ties it to the links that are there: uplinks, those that lead to the networks inside, and what lies below them.
    mutating func follow(_ links: Links) {
        var found: Set<Int32> = []
        for link in links.byIndex.values where link.name != "lo" {
            let isUplink = uplinks.contains { $0.matches(link.name) }
            let leadsInside = link.addresses.contains { address in
                inside.contains {
                    $0.family == address.family && $0.range.first <= address.value
                        && address.value <= $0.range.last
                }
            }
            guard isUplink || leadsInside else { continue }
            found.insert(link.index)
            // The kernel finds the way through a VLAN or PPPoE by itself, if what lies below is there too.
            if let lower = link.lowerIndex { found.insert(lower) }
            if isUplink, link.isPPP { found.formUnion(links.underPPPoE) }
        }
        devices = Set(found.compactMap { links.byIndex[$0] }.map { Device(name: $0.name, index: $0.index) })
    }

    /// The links' names, sorted.
    public var deviceNames: [InterfaceName] { Set(devices.map(\.name)).sorted() }
}
