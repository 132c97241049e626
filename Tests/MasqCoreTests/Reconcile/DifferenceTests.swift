// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

@Suite struct DifferenceTests {
    /// A table in which everything is used: `forward` → `map` → `out_ppp0` → `lan`, and a counter.
    private static let table: Snapshot = {
        var table = Snapshot()
        table.tableFlags = 0
        table.objects = [.counter("hits")]
        table.sets["lan"] = .init(shape: .ipv4, elements: .addresses(.init("10.0.0.0/8")))
        table.sets["map"] = .init(shape: .jumps, elements: .jumps(["ppp0": "out_ppp0"]))
        table.chains["forward"] = .init(
            base: .forward(policy: .accept), rules: [rule("oifname vmap @map"), rule("accept")])
        table.chains["out_ppp0"] = .init(
            base: nil, rules: [rule("ip saddr @lan counter name hits accept")])
        return table
    }()

    private static func rule(_ text: String) -> Snapshot.RuleBytes { Array(text.utf8) }

    /// The changes to another table, which the model of the kernel must take and which must lead there.
    private func changes(
        from current: Snapshot = table, to desired: Snapshot,
        location: SourceLocation = #_sourceLocation
    ) throws -> [Change] {
        let changes = Difference.changes(from: current, to: desired)
        var model = TableModel(current)
        try model.commit(changes)
        #expect(model.table == desired, sourceLocation: location)
        return changes
    }

    @Test("Where nothing differs, nothing is sent")
    func equal() throws {
        #expect(try changes(to: Self.table).isEmpty)
        #expect(try changes(from: Snapshot(), to: Snapshot()).isEmpty)
    }

    @Test("A table is made in an order in which everything that is named is there")
    func fromNothing() throws {
        #expect(
            try changes(from: Snapshot(), to: Self.table) == [
                .addTable(flags: 0),
                .addObject(.counter("hits")),
                .addChain("forward", .forward(policy: .accept)),
                .addChain("out_ppp0", nil),
                .addSet("lan", .ipv4),
                .addSet("map", .jumps),
                .addRule(chain: "forward", Self.rule("oifname vmap @map")),
                .addRule(chain: "forward", Self.rule("accept")),
                .addRule(chain: "out_ppp0", Self.rule("ip saddr @lan counter name hits accept")),
                .addElements(set: "lan", .addresses(.init("10.0.0.0/8"))),
                .addElements(set: "map", .jumps(["ppp0": "out_ppp0"])),
            ])
    }

    @Test("The table is deleted only where none is wanted")
    func deleteTable() throws {
        #expect(try changes(to: Snapshot()) == [.deleteTable])
        var empty = Snapshot()
        empty.tableFlags = 0
        #expect(try changes(to: empty).contains(.deleteTable) == false)
    }

    @Test("A table that somebody made dormant is woken, and nothing else is sent")
    func flags() throws {
        var dormant = Self.table
        dormant.tableFlags = 1
        #expect(try changes(from: dormant, to: Self.table) == [.addTable(flags: 0)])
    }

    @Test("Networks come and go one by one, and one that grew goes and comes")
    func addresses() throws {
        var desired = Self.table
        desired.sets["lan"]?.elements = .addresses(.init("10.0.0.0/8", "172.16.0.0/12"))
        #expect(
            try changes(to: desired) == [.addElements(set: "lan", .addresses(.init("172.16.0.0/12")))])
        #expect(
            try changes(from: desired, to: Self.table)
                == [.deleteElements(set: "lan", .addresses(.init("172.16.0.0/12")))])

        // 10.0.0.0/8 and 11.0.0.0/8 touch, so together they are one range.
        desired.sets["lan"]?.elements = .addresses(.init("11.0.0.0/8", "10.0.0.0/8"))
        #expect(
            try changes(to: desired) == [
                .deleteElements(set: "lan", .addresses(.init("10.0.0.0/8"))),
                .addElements(set: "lan", .addresses(.init("10.0.0.0/7"))),
            ])
    }

    @Test("A set that should be empty is emptied, and not deleted")
    func emptied() throws {
        var desired = Self.table
        desired.sets["lan"]?.elements = .addresses(.init(family: .ipv4))
        #expect(
            try changes(to: desired) == [.deleteElements(set: "lan", .addresses(.init("10.0.0.0/8")))])
        #expect(
            try changes(from: desired, to: Self.table)
                == [.addElements(set: "lan", .addresses(.init("10.0.0.0/8")))])
    }

    @Test("Interface names come and go one by one")
    func interfaces() throws {
        var (one, other) = (Self.table, Self.table)
        one.sets["names"] = .init(shape: .interfaces, elements: .interfaces(["ppp0", "ppp1"]))
        other.sets["names"] = .init(shape: .interfaces, elements: .interfaces(["ppp1", "ppp2"]))
        #expect(
            try changes(from: one, to: other) == [
                .deleteElements(set: "names", .interfaces(["ppp0"])),
                .addElements(set: "names", .interfaces(["ppp2"])),
            ])
    }

    @Test(
        "A map's entry that leads to another chain goes before that chain goes, and comes after its own is there"
    )
    func jumps() throws {
        var desired = Self.table
        desired.sets["map"]?.elements = .jumps(["ppp0": "other"])
        desired.chains["other"] = desired.chains["out_ppp0"]
        desired.chains["out_ppp0"] = nil
        #expect(
            try changes(to: desired) == [
                .addChain("other", nil),
                .flushChain("out_ppp0"),
                .deleteElements(set: "map", .jumps(["ppp0": "out_ppp0"])),
                .addRule(chain: "other", Self.rule("ip saddr @lan counter name hits accept")),
                .addElements(set: "map", .jumps(["ppp0": "other"])),
                .deleteChain("out_ppp0"),
            ])
    }

    @Test("A chain whose rules differ is flushed and filled again, and no other is")
    func rules() throws {
        var desired = Self.table
        desired.chains["forward"]?.rules.reverse()
        #expect(
            try changes(to: desired) == [
                .flushChain("forward"),
                .addRule(chain: "forward", Self.rule("accept")),
                .addRule(chain: "forward", Self.rule("oifname vmap @map")),
            ])
        // Nothing to flush in a chain that somebody flushed, nothing to fill in one that should be empty.
        desired.chains["forward"]?.rules = []
        #expect(try changes(to: desired) == [.flushChain("forward")])
        #expect(
            try changes(from: desired, to: Self.table) == [
                .addRule(chain: "forward", Self.rule("oifname vmap @map")),
                .addRule(chain: "forward", Self.rule("accept")),
            ])
    }

    @Test("A policy changes in place")
    func policy() throws {
        var desired = Self.table
        desired.chains["forward"]?.base = .forward(policy: .drop)
        #expect(
            try changes(to: desired) == [.setPolicy(chain: "forward", .forward(policy: .drop))])
    }

    @Test(
        "A chain of another hook, priority or type is deleted and made anew with its rules",
        arguments: [
            BaseChain(type: "filter", hook: 2, priority: 1, policy: 1),
            BaseChain(type: "filter", hook: 3, priority: 0, policy: 1),
            BaseChain(type: "route", hook: 2, priority: 0, policy: 1), nil,
        ])
    func place(base: BaseChain?) throws {
        var current = Self.table
        current.chains["forward"]?.base = base
        #expect(
            try changes(from: current, to: Self.table) == [
                .flushChain("forward"),
                .deleteChain("forward"),
                .addChain("forward", .forward(policy: .accept)),
                .addRule(chain: "forward", Self.rule("oifname vmap @map")),
                .addRule(chain: "forward", Self.rule("accept")),
            ])
    }

    @Test("A base chain that should be a plain one is made anew before anything leads to it")
    func noBase() throws {
        var current = Self.table
        current.chains["out_ppp0"]?.base = .output
        current.sets["map"]?.elements = .jumps([:])
        #expect(
            try changes(from: current, to: Self.table) == [
                .flushChain("out_ppp0"),
                .deleteChain("out_ppp0"),
                .addChain("out_ppp0", nil),
                .addRule(chain: "out_ppp0", Self.rule("ip saddr @lan counter name hits accept")),
                .addElements(set: "map", .jumps(["ppp0": "out_ppp0"])),
            ])
    }

    @Test("A plain chain that should be a base chain is made anew when nothing leads to it any more")
    func noPlain() throws {
        var current = Self.table
        current.chains["forward"] = .init(base: nil, rules: [])
        current.sets["map"]?.elements = .jumps(["eth0": "forward", "ppp0": "out_ppp0"])
        #expect(
            try changes(from: current, to: Self.table) == [
                .deleteElements(set: "map", .jumps(["eth0": "forward"])),
                .deleteChain("forward"),
                .addChain("forward", .forward(policy: .accept)),
                .addRule(chain: "forward", Self.rule("oifname vmap @map")),
                .addRule(chain: "forward", Self.rule("accept")),
            ])
    }

    @Test(
        "A set of another shape, or of a kind that masqd never makes, is made anew, and every chain filled again",
        arguments: [
            Snapshot.SetState(shape: .ipv6, elements: .addresses(.init("fd00::/8"))),
            Snapshot.SetState(
                shape: .init(flags: 0, keyType: 7, keyLength: 4, dataType: 0),
                elements: .addresses(.init("10.0.0.0/8"))),
            Snapshot.SetState(shape: .ipv4, elements: nil),
        ])
    func setShape(foreign: Snapshot.SetState) throws {
        var current = Self.table
        current.sets["lan"] = foreign
        #expect(
            try changes(from: current, to: Self.table) == [
                .flushChain("forward"),
                .flushChain("out_ppp0"),
                .deleteSet("lan"),
                .addSet("lan", .ipv4),
                .addRule(chain: "forward", Self.rule("oifname vmap @map")),
                .addRule(chain: "forward", Self.rule("accept")),
                .addRule(chain: "out_ppp0", Self.rule("ip saddr @lan counter name hits accept")),
                .addElements(set: "lan", .addresses(.init("10.0.0.0/8"))),
            ])
    }

    @Test("What somebody else put into the table goes, after everything that names it")
    func strangers() throws {
        var current = Self.table
        current.objects.formUnion([.counter("theirs"), .alarm("hits")])
        current.sets["theirs"] = .init(
            shape: .jumps, elements: .jumps(["eth0": "stranger", "eth1": "empty"]))
        current.chains["stranger"] = .init(
            base: nil, rules: [Self.rule("iifname vmap @theirs"), Self.rule("counter name theirs")])
        current.chains["empty"] = .init(base: nil, rules: [])
        current.chains["forward"]?.rules.append(Self.rule("jump stranger"))
        #expect(
            try changes(from: current, to: Self.table) == [
                .flushChain("forward"),
                .flushChain("stranger"),
                .deleteElements(set: "theirs", .jumps(["eth0": "stranger", "eth1": "empty"])),
                .deleteSet("theirs"),
                .addRule(chain: "forward", Self.rule("oifname vmap @map")),
                .addRule(chain: "forward", Self.rule("accept")),
                .deleteChain("empty"),
                .deleteChain("stranger"),
                .deleteObject(.counter("theirs")),
                .deleteObject(.alarm("hits")),
            ])
    }

    @Test("An object of another content is replaced, after every rule that may refer to it is gone")
    func replacedObject() throws {
        var current = Self.table
        var desired = Self.table
        current.objects.insert(.init("alarm", .quota(bytes: 5, flags: 0)))
        desired.objects.insert(.alarm("alarm"))
        let refilled = Self.table.chains.filter { !$0.value.rules.isEmpty }.keys.sorted()
        var expected: [Change] = refilled.map { .flushChain($0) }
        expected += [.deleteObject(.init("alarm", .quota(bytes: 5, flags: 0))), .addObject(.alarm("alarm"))]
        expected += refilled.flatMap { name in
            (Self.table.chains[name]?.rules ?? []).map { .addRule(chain: name, $0) }
        }
        #expect(try changes(from: current, to: desired) == expected)
    }

    @Test("A change names its object as an error should")
    func descriptions() {
        let changes: [(Change, String)] = [
            (.addTable(flags: 0), "table inet masqd"), (.deleteTable, "table inet masqd"),
            (.addObject(.counter("hits")), "counter hits"),
            (.deleteObject(.counter("hits")), "counter hits"),
            (.addObject(.alarm("alarm")), "quota alarm"),
            (.deleteObject(.init("theirs", .other(type: 4, data: []))), "object theirs"),
            (.addSet("lan", .ipv4), "set lan"), (.deleteSet("lan"), "set lan"),
            (.addElements(set: "lan", .interfaces([])), "elements of set lan"),
            (.deleteElements(set: "lan", .interfaces([])), "elements of set lan"),
            (.addChain("forward", nil), "chain forward"),
            (.setPolicy(chain: "forward", .output), "chain forward"),
            (.flushChain("forward"), "chain forward"), (.deleteChain("forward"), "chain forward"),
            (.addRule(chain: "forward", []), "a rule of chain forward"),
        ]
        for (change, description) in changes { #expect("\(change)" == description) }
    }
}

extension AddressRanges {
    /// The ranges of networks of one family.
    init(_ networks: String...) {
        let networks = networks.compactMap { try? IPNetwork($0) }
        self.init(family: networks.first?.family ?? .ipv4, networks: networks)
    }
}
