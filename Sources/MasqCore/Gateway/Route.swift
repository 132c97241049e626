// SPDX-License-Identifier: GPL-3.0-or-later

/// One way out of the machine, as a routing table has it.
public struct Route: Hashable, Sendable {
    /// Where it leads; a prefix length of 0 makes it a default route.
    public var destination: IPNetwork
    /// The index of the link that it leaves by; a route of several ways is several routes.
    public var link: Int32
    /// The router that packets are handed to; absent where the destination is on the link itself.
    public var gateway: IPAddress?
    /// The router is on the link although no other route says so (`RTNH_F_ONLINK`).
    public var isOnLink = false
    /// Of routes to the same destination in one table the lowest wins (`RTA_PRIORITY`).
    public var metric: UInt32
    /// The routing table (`RT_TABLE_*` in linux/rtnetlink.h).
    public var table: UInt32
    /// Whether the kernel made it for an address of the link (`RTPROT_KERNEL`).
    public var isConnected: Bool

    /// `RT_TABLE_MAIN`: the table that is asked where no rule of policy routing says otherwise.
    public static let mainTable: UInt32 = 254

    /// Makes a route.
    public init(
        _ destination: IPNetwork, link: Int32, gateway: IPAddress? = nil, metric: UInt32 = 0,
        table: UInt32 = Route.mainTable, isConnected: Bool = false
    ) {
        self.destination = destination
        self.link = link
        self.gateway = gateway
        self.metric = metric
        self.table = table
        self.isConnected = isConnected
    }

    /// Whether it is for whatever no other route is for.
    public var isDefault: Bool { destination.prefixLength == 0 }
}
