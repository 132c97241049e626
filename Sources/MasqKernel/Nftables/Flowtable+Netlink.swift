// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import MasqCore

extension Snapshot.FlowtableState {
    /// Reads what a listing says about a flowtable (NFT_MSG_NEWFLOWTABLE).
    init(_ attributes: Attributes) {
        let hook = attributes.first { $0.type == UInt16(NFTA_FLOWTABLE_HOOK.rawValue) }
        let devices = hook?.nested.first { $0.type == UInt16(NFTA_FLOWTABLE_HOOK_DEVS.rawValue) }
        self.init(
            priority: Int32(bitPattern: hook?.nested.number(NFTA_FLOWTABLE_HOOK_PRIORITY.rawValue) ?? 0),
            flags: attributes.number(NFTA_FLOWTABLE_FLAGS.rawValue) ?? 0,
            devices: Set(devices?.nested.map { InterfaceName($0.bytes) } ?? []))
    }
}

extension NftablesConnection {
    /// Lists the table's flowtables.
    mutating func flowtables() throws(NetlinkError) -> [String: Snapshot.FlowtableState] {
        var flowtables: [String: Snapshot.FlowtableState] = [:]
        try list(NFT_MSG_GETFLOWTABLE, table: NFTA_FLOWTABLE_TABLE, "flowtables") { attributes in
            // The kernel may list those of other tables too.
            guard attributes.string(NFTA_FLOWTABLE_TABLE.rawValue) == Ruleset.tableName else { return }
            flowtables[attributes.string(NFTA_FLOWTABLE_NAME.rawValue)] = .init(attributes)
        }
        return flowtables
    }
}

extension MessageWriter {
    /// Writes a flowtable's hook, with the links that it is or will be tied to.
    mutating func hook(of flowtable: Snapshot.FlowtableState, devices: Set<InterfaceName>) {
        nest(Int(NFTA_FLOWTABLE_HOOK.rawValue)) {
            $0.attribute(Int(NFTA_FLOWTABLE_HOOK_NUM.rawValue), bigEndian: UInt32(NF_NETDEV_INGRESS.rawValue))
            $0.attribute(
                Int(NFTA_FLOWTABLE_HOOK_PRIORITY.rawValue), bigEndian: UInt32(bitPattern: flowtable.priority))
            guard !devices.isEmpty else { return }
            $0.nest(Int(NFTA_FLOWTABLE_HOOK_DEVS.rawValue)) {
                for device in devices.sorted() { $0.attribute(Int(NFTA_DEVICE_NAME.rawValue), device) }
            }
        }
    }
}
