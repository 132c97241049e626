// SPDX-License-Identifier: GPL-3.0-or-later

/// The kernel's forwarding switches: how they are, how they should be, and how they were before masqd.
struct ForwardingSwitches: Sendable {
    /// Which ones masqd turned on, for whoever puts them back: this process, or the next.
    var memory: KernelMemory = []
    private var isOn: [AddressFamily: Bool] = [:]
    /// Switches that could not be set: trying again makes no sense before the next reload.
    private var stuck: Set<AddressFamily> = []

    /// The first family that a configuration requires to be on and that is not.
    func missing(for configuration: Configuration) -> AddressFamily? {
        guard configuration.gateway.ipForward == .require else { return nil }
        return configuration.families.first { isOn[$0] == false }
    }

    /// Takes over another configuration, and remembers what is off before masqd switches it on.
    mutating func load(_ configuration: Configuration) {
        stuck = []
        guard configuration.gateway.ipForward == .manage else {
            // Whoever takes the switches over decides about them from now on.
            memory = []
            return
        }
        for family in configuration.families where isOn[family] == false {
            memory.insert(.forwardingWasOff(family))
        }
    }

    /// Families that are configured and can't forward although they should.
    func offAgainstWish(_ configuration: Configuration) -> [AddressFamily] {
        guard configuration.gateway.ipForward != .ignore else { return [] }
        return configuration.families.filter { isOn[$0] == false }
    }

    /// Takes note of the switches as they are.
    ///
    /// - Parameter inForce: the configuration whose rules are in force, if any are.
    mutating func observe(_ new: [AddressFamily: Bool], inForce: Configuration?) -> [Action] {
        let before = isOn
        isOn = new
        guard let inForce else { return [] }
        let warnings: [Action] = offAgainstWish(inForce).filter { before[$0] == true }.map { family in
            let consequence =
                inForce.gateway.ipForward == .manage
                ? "setting it to 1 again" : "nothing is forwarded until it is 1 again"
            return .log(.warning, "somebody set \(family.forwardingSwitch) to 0: \(consequence)")
        }
        return warnings + switchOn(inForce)
    }

    /// Switches on what should be on; only when the rules are there, or private addresses would get out.
    mutating func switchOn(_ inForce: Configuration) -> [Action] {
        guard inForce.gateway.ipForward == .manage else { return [] }
        return offAgainstWish(inForce).filter { !stuck.contains($0) }.flatMap { family -> [Action] in
            isOn[family] = true
            // net.ipv6.conf.*.accept_ra of 1 means "unless forwarding" (ip-sysctl in the kernel's documentation).
            let note =
                "setting \(family.forwardingSwitch) to 1: a link that gets its address from router "
                + "advertisements needs accept_ra = 2"
            return (family == .ipv6 ? [.log(.notice, note)] : []) + [.setForwarding(family, true)]
        }
    }

    /// A switch could not be set.
    mutating func gotStuck(_ family: AddressFamily) {
        isOn[family] = false
        stuck.insert(family)
    }

    /// Puts back what masqd switched on, if it is still on.
    func switchBack() -> [Action] {
        AddressFamily.allCases
            .filter { memory.contains(.forwardingWasOff($0)) && isOn[$0] == true }
            .map { .setForwarding($0, false) }
    }
}

extension Configuration {
    /// The families that anything is forwarded in.
    var families: [AddressFamily] {
        AddressFamily.allCases.filter { family in
            outbound.contains { $0.families.contains(family) }
                || portForwards.contains { $0.address.family == family }
        }
    }
}

extension AddressFamily {
    /// The sysctl that switches forwarding on.
    public var forwardingSwitch: String {
        self == .ipv4 ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding"
    }
}
