// SPDX-License-Identifier: GPL-3.0-or-later

/// What happens to flowtables and the links that they are tied to.
struct FlowtableChanges {
    var made: [Change] = []
    /// Flowtables of other flags than wanted, which can't be changed.
    var replaced: [Change] = []
    /// Behind ``made`` and ``replaced``: a link that went meanwhile is another error than a kernel without flowtables.
    var tied: [Change] = []
    var deleted: [Change] = []

    init(from current: Snapshot, to desired: Snapshot) {
        for (name, old) in current.flowtables.sorted(by: { $0.key < $1.key }) {
            guard let new = desired.flowtables[name] else {
                deleted.append(.deleteFlowtable(name))
                continue
            }
            if old.flags != new.flags || old.priority != new.priority {
                replaced += [.deleteFlowtable(name), .addFlowtable(name, new)]
                tie(name, new, new.devices)
            } else {
                let surplus = old.devices.subtracting(new.devices)
                if !surplus.isEmpty { tied.append(.deleteDevices(flowtable: name, new, surplus)) }
                tie(name, new, new.devices.subtracting(old.devices))
            }
        }
        for (name, new) in desired.flowtables.sorted(by: { $0.key < $1.key })
        where current.flowtables[name] == nil {
            made.append(.addFlowtable(name, new))
            tie(name, new, new.devices)
        }
    }

    private mutating func tie(
        _ name: String, _ flowtable: Snapshot.FlowtableState, _ devices: Set<InterfaceName>
    ) {
        if !devices.isEmpty { tied.append(.addDevices(flowtable: name, flowtable, devices)) }
    }
}
