// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

@Suite("A packet's way through others' chains")
struct ForeignVerdictTests {
    private typealias Rule = ForeignRuleset.Rule

    private static func network(_ text: String) throws -> AddressRanges {
        AddressRanges(family: .ipv4, networks: [try IPNetwork(text)])
    }

    private static func packet(from link: InterfaceName? = "lan0") throws -> ForeignPacket {
        ForeignPacket(
            family: .ipv4, inside: try network("192.168.0.0/16"),
            insideLink: link.map { .init(.name($0), index: 2) }, uplink: .init(.name("ppp0"), index: 9))
    }

    private static func outcomes(
        _ rules: [ForeignRuleset.Rule], others: [ForeignName: [ForeignRuleset.Rule]] = [:],
        dropsByPolicy: Bool = false, on packet: ForeignPacket? = nil
    ) throws -> ForeignVerdict.Outcomes {
        let hook = ForeignRuleset.Hook(
            .ip, table: "filter", chain: "FORWARD", at: .forward, dropsByPolicy: dropsByPolicy,
            chains: others.merging(["FORWARD": rules]) { _, own in own })
        return hook.verdict(on: try packet ?? Self.packet()).outcomes
    }

    @Test("The policy decides where no rule does")
    func policy() throws {
        #expect(try Self.outcomes([]) == .pass)
        #expect(try Self.outcomes([], dropsByPolicy: true) == .drop)
        #expect(try Self.outcomes([Rule([], .return)], dropsByPolicy: true) == .drop)
        #expect(try Self.outcomes([Rule([], .none), Rule([], .accept)], dropsByPolicy: true) == .pass)
    }

    @Test("jump comes back to the next rule, goto to the end of the caller's")
    func calls() throws {
        let others: [ForeignName: [ForeignRuleset.Rule]] = [
            "a": [Rule([.family(.ipv6)], .drop), Rule([], .return), Rule([], .drop)]
        ]
        #expect(try Self.outcomes([Rule([], .jump("a")), Rule([], .reject)], others: others) == .drop)
        #expect(try Self.outcomes([Rule([], .goto("a")), Rule([], .reject)], others: others) == .pass)
        let nested: [ForeignName: [ForeignRuleset.Rule]] = [
            "a": [Rule([], .goto("b")), Rule([], .drop)], "b": [],
        ]
        #expect(
            try Self.outcomes([Rule([], .jump("a")), Rule([], .accept)], others: nested, dropsByPolicy: true)
                == .pass)
    }

    @Test("A chain that is not there, or leads to itself, decides nothing")
    func broken() throws {
        #expect(try Self.outcomes([Rule([], .jump("gone")), Rule([], .drop)]) != .drop)
        let loop: [ForeignName: [ForeignRuleset.Rule]] = [
            "a": [Rule([], .jump("b"))], "b": [Rule([], .jump("a"))],
        ]
        #expect(try Self.outcomes([Rule([], .jump("a"))], others: loop, dropsByPolicy: true) != .drop)
    }

    @Test("What is not known is never a certain drop, unless both ways end in one")
    func unknown() throws {
        #expect(try Self.outcomes([Rule([.unknown], .accept)], dropsByPolicy: true) == [.pass, .drop])
        #expect(try Self.outcomes([Rule([.unknown], .drop)]) == [.pass, .drop])
        #expect(try Self.outcomes([Rule([.unknown], .reject)], dropsByPolicy: true) == .drop)
        #expect(try Self.outcomes([Rule([], .unknown)], dropsByPolicy: true) != .drop)
        #expect(try Self.outcomes([Rule([.unknown, .family(.ipv6)], .accept)], dropsByPolicy: true) == .drop)
        #expect(try Self.outcomes([Rule([.not(.unknown)], .accept)], dropsByPolicy: true) == [.pass, .drop])
    }

    @Test("An address condition holds for all sources, for none, or is not known")
    func addresses() throws {
        for (text, expected) in [
            ("192.168.0.0/16", ForeignVerdict.Outcomes.pass), ("192.0.0.0/8", .pass), ("10.0.0.0/8", .drop),
            ("192.168.1.0/24", [.pass, .drop]),
        ] {
            let rule = Rule([.address(.source, try Self.network(text))], .accept)
            #expect(try Self.outcomes([rule], dropsByPolicy: true) == expected, "\(text)")
        }
    }

    @Test("The destination is somewhere in the Internet")
    func destinations() throws {
        for (text, expected) in [
            ("0.0.0.0/0", ForeignVerdict.Outcomes.drop), ("10.0.0.0/8", .pass), ("192.168.122.0/24", .pass),
            ("198.18.0.0/15", [.pass, .drop]),
        ] {
            let rule = Rule([.address(.destination, try Self.network(text))], .drop)
            #expect(try Self.outcomes([rule]) == expected, "\(text)")
        }
    }

    @Test("Links are known by name and index, and an answer goes the other way")
    func links() throws {
        let out = Rule([.link(.source, .name("lan0")), .linkIndex(.destination, 9)], .accept)
        let back = Rule([.link(.source, .prefix("ppp")), .link(.destination, .name("lan0"))], .accept)
        let packet = try Self.packet()
        #expect(try Self.outcomes([out], dropsByPolicy: true) == .pass)
        #expect(try Self.outcomes([out], dropsByPolicy: true, on: packet.at(.answer)) == .drop)
        #expect(try Self.outcomes([back], dropsByPolicy: true) == .drop)
        #expect(try Self.outcomes([back], dropsByPolicy: true, on: packet.at(.answer)) == .pass)
        // Nothing says behind which link the sources are.
        #expect(try Self.outcomes([out], dropsByPolicy: true, on: Self.packet(from: nil)) == [.pass, .drop])
    }

    @Test("A first packet is new and has no flags, an answer is established and translated")
    func conntrack() throws {
        let packet = try Self.packet()
        for (condition, isNew, isReply) in [
            (ForeignRuleset.Condition.state(8), true, false), (.state(2 | 4), false, true),
            (.state(1), false, false), (.status(16), false, true), (.status(32), false, false),
            (.isReply, false, true), (.mark(0x4000, mask: 0x4000), false, false),
            (.mark(0, mask: 0xff), true, true), (.transport(17), false, false), (.transport(6), true, true),
        ] {
            let rules = [Rule([condition], .drop)]
            #expect(try Self.outcomes(rules) == (isNew ? .drop : .pass), "\(condition)")
            #expect(
                try Self.outcomes(rules, on: packet.at(.answer)) == (isReply ? .drop : .pass), "\(condition)")
        }
    }

    @Test("A mark that a rule may have set is not known any more")
    func marks() throws {
        let change = ForeignRuleset.MarkChange(keep: .max, flip: 1)
        for (mark, expected) in [
            (1, [.pass, .drop]), (2, ForeignVerdict.Outcomes.drop), (3, [.drop]),
        ] as [(UInt32, ForeignVerdict.Outcomes)] {
            let rules = [
                Rule([.unknown], .none, markChange: change), Rule([.mark(mark, mask: mark)], .accept),
            ]
            #expect(try Self.outcomes(rules, dropsByPolicy: true) == expected, "\(mark)")
        }
        let anything = [Rule([], .none, markChange: .anything), Rule([.mark(2, mask: 2)], .accept)]
        #expect(try Self.outcomes(anything, dropsByPolicy: true) == [.pass, .drop])
        let never = [
            Rule([.family(.ipv6)], .none, markChange: .anything), Rule([.mark(2, mask: 2)], .accept),
        ]
        #expect(try Self.outcomes(never, dropsByPolicy: true) == .drop)
        // A bit outside of the mask can't be there.
        #expect(try Self.outcomes([Rule([.mark(2, mask: 1)], .drop)]) == .pass)
    }

    @Test("A verdict map chooses by the first key that fits, and else goes on")
    func maps() throws {
        let map = Rule([], .choose([.init(.state(2), .accept), .init(.state(1), .drop)]))
        #expect(try Self.outcomes([map]) == .pass)
        #expect(try Self.outcomes([map], dropsByPolicy: true) == .drop)
        #expect(try Self.outcomes([map], dropsByPolicy: true, on: Self.packet().at(.answer)) == .pass)
    }

    @Test("The place is the rule or the policy that certainly drops")
    func places() throws {
        let hook = ForeignRuleset.Hook(
            .inet, table: "t", chain: "base", at: .forward, dropsByPolicy: true,
            chains: [
                "base": [Rule([], .jump("a"))],
                "a": [Rule([.family(.ipv6)], .drop), Rule([.state(8)], .reject, handle: 7)],
            ])
        #expect(
            try hook.verdict(on: Self.packet())
                == ForeignVerdict(
                    outcomes: .drop, place: .init(chain: "a", rule: 2, word: "reject", handle: 7)))
        #expect(
            try hook.verdict(on: Self.packet().at(.answer)).place
                == .init(chain: "base", rule: nil, word: "drop"))
    }
}
