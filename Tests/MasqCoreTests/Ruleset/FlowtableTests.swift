// SPDX-License-Identifier: GPL-3.0-or-later

import Testing

@testable import MasqCore

/// Which links a flowtable is tied to, and what a change of them sends.
@Suite struct FlowtableTests {
    private static func link(
        _ index: Int32, _ name: InterfaceName, _ address: String? = nil, lower: Int32? = nil,
        isPPP: Bool = false
    ) -> Link {
        var link = Link(
            index: index, name: name, isUp: true,
            addresses: address.flatMap { IPAddress($0) }.map { [$0] } ?? [])
        link.lowerIndex = lower
        link.isPPP = isPPP
        return link
    }

    private static let standing = [
        link(1, "lo", "127.0.0.1"), link(2, "eth0"), link(3, "eth1"), link(4, "br0", "192.168.5.1"),
        link(5, "eth1.7", "192.168.7.1", lower: 3), link(6, "docker0", "172.17.0.1"),
        link(7, "eth9", "10.0.0.1"),
    ]

    private static func ruleset(_ offload: Configuration.FlowOffload, _ links: [Link]) -> Ruleset {
        var configuration = Configuration.howTo
        configuration.forward.flowOffload = offload
        var ruleset = Ruleset.desired(configuration)
        var all = Links(standing + links)
        all.underPPPoE = [2]
        ruleset.follow(all)
        return ruleset
    }

    @Test("It is tied to the uplinks, to what leads to the networks inside, and to what lies below them")
    func devices() {
        #expect(Self.ruleset(.software, []).flowtable?.deviceNames == ["br0", "eth1", "eth1.7"])
        let ppp0 = Self.link(9, "ppp0", "203.0.113.7", isPPP: true)
        #expect(
            Self.ruleset(.auto, [ppp0]).flowtable?.deviceNames == ["br0", "eth0", "eth1", "eth1.7", "ppp0"])
        // An uplink of another kind does not lie on PPPoE's.
        #expect(
            Self.ruleset(.hardware, [Self.link(9, "ppp0")]).flowtable?.deviceNames
                == ["br0", "eth1", "eth1.7", "ppp0"])
        #expect(Self.ruleset(.off, [ppp0]).flowtable == nil)
    }

    @Test("A link that came back with another index is another one: the kernel has let go of the old one")
    func newIndex() {
        let before = Self.ruleset(.software, [Self.link(9, "ppp0", "203.0.113.7")])
        let after = Self.ruleset(.software, [Self.link(10, "ppp0", "203.0.113.7")])
        #expect(before != after)
        #expect(Snapshot(textOf: before) == Snapshot(textOf: after))
    }

    @Test(
        "It is made without links, which are tied in a message of their own; then only what changed is sent")
    func changes() throws {
        let ppp0 = Self.link(9, "ppp0", "203.0.113.7")
        let (none, one) = (Self.ruleset(.off, []), Self.ruleset(.software, [ppp0]))
        let two = Self.ruleset(.software, [Self.link(9, "ppp1")])
        let hardware = Self.ruleset(.hardware, [])
        let made = try changes(none, one)
        let state = try #require(one.flowtables["fastpath"])
        #expect(made.first == .addFlowtable("fastpath", state))
        #expect(
            made.contains(
                .addDevices(flowtable: "fastpath", state, ["br0", "eth1", "eth1.7", "ppp0"])))
        let without = try #require(two.flowtables["fastpath"])
        #expect(try changes(one, two) == [.deleteDevices(flowtable: "fastpath", without, ["ppp0"])])
        #expect(try changes(two, one) == [.addDevices(flowtable: "fastpath", state, ["ppp0"])])
        // Its flags can't be changed: every rule lets go of it first.
        #expect(try changes(one, hardware).contains(.deleteFlowtable("fastpath")))
        #expect(try changes(one, none).last == .deleteFlowtable("fastpath"))
        #expect(Change.addFlowtable("fastpath", state).feature == .flowOffload)
        #expect(Change.addDevices(flowtable: "fastpath", state, []).feature == nil)
    }

    /// The changes, which the kernel's rules about references allow.
    private func changes(_ old: Ruleset, _ new: Ruleset) throws -> [Change] {
        let (current, desired) = (Snapshot(textOf: old), Snapshot(textOf: new))
        let changes = Difference.changes(from: current, to: desired)
        var model = TableModel(current)
        try model.commit(changes)
        #expect(model.table == desired)
        return changes
    }

    @Test("A kernel without flowtables is a failure for those who insist, and for auto a word in the log")
    func missing() {
        let failure = CommitFailure(reason: "no flowtables", kind: .unsupported, missing: .flowOffload)
        for offload in [Configuration.FlowOffload.auto, .software, .hardware] {
            var configuration = Configuration.howTo
            configuration.gateway.ipForward = .ignore
            configuration.forward.flowOffload = offload
            var reconciler = Reconciler()
            _ = reconciler.handle(.configurationLoaded(configuration))
            let actions = reconciler.handle(.commitFailed(failure))
            guard offload == .auto else {
                #expect(
                    actions == [.log(.error, "no flowtables: no rules are in force"), .exit(.unavailable)])
                continue
            }
            let rest = Ruleset.desired(configuration, without: [.flowOffload])
            #expect(rest.flowtable == nil)
            #expect(actions == [.log(.warning, "no flowtables: going on without it"), .commit(rest)])
        }
    }
}
