// SPDX-License-Identifier: GPL-3.0-or-later

@testable import MasqCore

extension Snapshot {
    /// As a kernel would hold the ruleset in which a rule's bytes are its text in nft's syntax.
    init(textOf ruleset: Ruleset) {
        self.init()
        tableFlags = 0
        objects = ruleset.objects
        flowtables = ruleset.flowtables
        for set in ruleset.sets {
            sets[set.name] = SetState(shape: .model(of: set.elements), elements: set.elements)
        }
        for chain in ruleset.chains {
            chains[chain.name] = ChainState(base: chain.base, rules: chain.rules.map { Array($0.text.utf8) })
        }
    }
}

extension Snapshot.SetShape {
    static let ipv4 = Self(flags: 4, keyType: 7, keyLength: 4, dataType: 0)
    static let ipv6 = Self(flags: 4, keyType: 8, keyLength: 16, dataType: 0)
    static let interfaces = Self(flags: 0, keyType: 41, keyLength: 16, dataType: 0)
    static let jumps = Self(flags: 8, keyType: 41, keyLength: 16, dataType: 0xffff_ff00)

    static let prefixes = Self(
        of: ElementType(key: [.interfaceName], data: [.ipv6Address], isDataInterval: true))
    static let interfaceIndexes = Self(of: ElementType(key: [.interfaceIndex]))
    static let interfacePairs = Self(of: ElementType(key: [.interfaceName, .interfaceName]))

    private init(of type: ElementType) {
        self.init(
            flags: type.data.isEmpty ? 0 : 8, keyType: type.key.typeNumber,
            keyLength: UInt32(type.key.byteCount), dataType: type.data.isEmpty ? 0 : type.data.typeNumber)
        dataLength = UInt32(type.dataLength)
    }

    static func model(of elements: Ruleset.Elements) -> Self {
        switch elements {
        case .addresses(let ranges): ranges.family == .ipv4 ? .ipv4 : .ipv6
        case .interfaces: .interfaces
        case .jumps: .jumps
        case .addressJumps(let family, _):
            Self(
                flags: 8, keyType: ElementType.Field.address(family).rawValue,
                keyLength: UInt32(family.byteCount), dataType: 0xffff_ff00)
        case .recorded(let recording):
            Self(
                flags: 32, keyType: recording.type.key.typeNumber,
                keyLength: UInt32(recording.type.key.byteCount), dataType: 0)
        case .entries(let entries):
            Self(of: entries.type)
        }
    }
}

/// The table under the kernel's rules about references, as far as a batch can break them.
///
/// Source: net/netfilter/nf_tables_api.c. What is named must be there, and what something else names can't be deleted.
/// A deleted chain takes its rules along, a deleted set its elements.
struct TableModel {
    private(set) var table: Snapshot
    /// How many rules and elements name something.
    private var uses: [Reference: Int] = [:]

    /// What the kernel would have said.
    enum Refusal: Error, Equatable {
        case absent(String)
        case exists(String)
        case busy(String)
        case notSupported(String)
    }

    init(_ table: Snapshot = Snapshot()) {
        self.table = table
        for chain in table.chains.values { count(chain.rules, 1) }
        for set in table.sets.values { count(set.elements, 1) }
    }

    /// Applies a batch: all of it or nothing.
    mutating func commit(_ changes: [Change]) throws(Refusal) {
        var model = self
        for change in changes { try model.apply(change) }
        self = model
    }

    private mutating func apply(_ change: Change) throws(Refusal) {
        if case .addTable(let flags) = change {
            table.tableFlags = flags
            return
        }
        guard table.tableFlags != nil else { throw .absent("table") }
        switch change {
        case .addTable: break
        case .deleteTable: self = TableModel()
        case .addObject(let object):
            guard !hasObject(object.key) else { throw .exists(object.name) }
            table.objects.insert(object)
        case .deleteObject(let object):
            guard hasObject(object.key) else { throw .absent(object.name) }
            try checkIsFree(.object(object.key))
            table.objects = table.objects.filter { $0.key != object.key }
        case .addFlowtable(let name, let flowtable):
            guard table.flowtables[name] == nil else { throw .exists(name) }
            table.flowtables[name] = .init(priority: flowtable.priority, flags: flowtable.flags)
        case .addDevices(let name, let flowtable, let devices):
            guard table.flowtables[name]?.flags == flowtable.flags else { throw .absent(name) }
            table.flowtables[name]?.devices.formUnion(devices)
        case .deleteDevices(let name, _, let devices):
            guard table.flowtables[name]?.devices.isSuperset(of: devices) == true else { throw .absent(name) }
            table.flowtables[name]?.devices.subtract(devices)
        case .deleteFlowtable(let name):
            guard table.flowtables[name] != nil else { throw .absent(name) }
            try checkIsFree(.flowtable(name))
            table.flowtables[name] = nil
        case .addSet(let name, let shape):
            guard table.sets[name] == nil else { throw .exists(name) }
            table.sets[name] = .init(shape: shape, elements: .none(of: shape))
        case .deleteSet(let name):
            guard table.sets[name] != nil else { throw .absent(name) }
            try checkIsFree(.set(name))
            count(table.sets.removeValue(forKey: name)?.elements, -1)
        case .flushSet(let name):
            guard let set = table.sets[name] else { throw .absent(name) }
            count(set.elements, -1)
            table.sets[name]?.elements = .none(of: set.shape)
        case .addElements(let name, let elements): try add(elements, to: name)
        case .deleteElements(let name, let elements): try delete(elements, from: name)
        case .addChain(let name, let base):
            guard table.chains[name] == nil else { throw .exists(name) }
            table.chains[name] = .init(base: base, rules: [])
        case .setPolicy(let name, let base):
            guard var old = table.chains[name]?.base else { throw .absent(name) }
            old.policy = base.policy
            guard old == base else { throw .notSupported(name) }
            table.chains[name]?.base = base
        case .flushChain(let name):
            try flush(name)
        case .addRule(let name, let bytes):
            guard table.chains[name] != nil else { throw .absent(name) }
            for reference in Reference.all(in: bytes) { try checkIsThere(reference) }
            table.chains[name]?.rules.append(bytes)
            count([bytes], 1)
        case .deleteChain(let name):
            try flush(name)
            try checkIsFree(.chain(name))
            table.chains[name] = nil
        }
    }

    private mutating func flush(_ chain: String) throws(Refusal) {
        guard let rules = table.chains[chain]?.rules else { throw .absent(chain) }
        table.chains[chain]?.rules = []
        count(rules, -1)
    }

    private func hasObject(_ key: Snapshot.StatefulObject.Key) -> Bool {
        table.objects.contains { $0.key == key }
    }

    private func checkIsThere(_ reference: Reference) throws(Refusal) {
        switch reference {
        case .object(let object):
            guard hasObject(object) else { throw .absent(object.name) }
        case .flowtable(let name):
            guard table.flowtables[name] != nil else { throw .absent(name) }
        case .set(let name):
            guard table.sets[name] != nil else { throw .absent(name) }
        case .chain(let name):
            guard let chain = table.chains[name] else { throw .absent(name) }
            guard chain.base == nil else { throw .notSupported(name) }
        }
    }

    private func checkIsFree(_ reference: Reference) throws(Refusal) {
        guard uses[reference, default: 0] == 0 else { throw .busy("\(reference)") }
    }

    private mutating func count(_ rules: [Snapshot.RuleBytes], _ step: Int) {
        for rule in rules {
            for reference in Reference.all(in: rule) { uses[reference, default: 0] += step }
        }
    }

    private mutating func count(_ elements: Ruleset.Elements?, _ step: Int) {
        let chains: [String]
        switch elements {
        case .jumps(let jumps): chains = Array(jumps.values)
        case .addressJumps(_, let jumps): chains = Array(jumps.values)
        case .addresses, .interfaces, .entries, .recorded, nil: return
        }
        for chain in chains { uses[.chain(chain), default: 0] += step }
    }
}

// Elements.
extension TableModel {
    private mutating func add(_ elements: Ruleset.Elements, to name: String) throws(Refusal) {
        guard let present = table.sets[name]?.elements else { throw .absent(name) }
        switch (present, elements) {
        case (.addresses(let old), .addresses(let new)) where old.family == new.family:
            let overlap = new.ranges.contains { range in
                old.ranges.contains { $0.first <= range.last && range.first <= $0.last }
            }
            guard !overlap else { throw .exists(name) }
            table.sets[name]?.elements = .addresses(
                AddressRanges(family: old.family, merging: old.ranges + new.ranges))
        case (.interfaces(let old), .interfaces(let new)):
            guard old.isDisjoint(with: new) else { throw .exists(name) }
            table.sets[name]?.elements = .interfaces(old.union(new))
        case (.jumps(let old), .jumps(let new)):
            guard Set(old.keys).isDisjoint(with: new.keys) else { throw .exists(name) }
            for chain in new.values { try checkIsThere(.chain(chain)) }
            table.sets[name]?.elements = .jumps(old.merging(new) { old, _ in old })
            count(elements, 1)
        case (.addressJumps(let family, let old), .addressJumps(let other, let new)) where family == other:
            guard Set(old.keys).isDisjoint(with: new.keys) else { throw .exists(name) }
            for chain in new.values { try checkIsThere(.chain(chain)) }
            table.sets[name]?.elements = .addressJumps(family, old.merging(new) { old, _ in old })
            count(elements, 1)
        case (.entries(let old), .entries(let new)) where old.type == new.type:
            let all = PackedElements(old.type, .init(of: [old, new]))
            guard all.count == old.count + new.count else { throw .exists(name) }
            table.sets[name]?.elements = .entries(all)
        default: throw .notSupported(name)
        }
    }

    private mutating func delete(_ elements: Ruleset.Elements, from name: String) throws(Refusal) {
        guard let present = table.sets[name]?.elements else { throw .absent(name) }
        switch (present, elements) {
        case (.addresses(let old), .addresses(let gone)) where old.family == gone.family:
            guard Set(gone.ranges).isSubset(of: old.ranges) else { throw .absent(name) }
            let rest = Set(old.ranges).subtracting(gone.ranges)
            table.sets[name]?.elements = .addresses(.init(family: old.family, merging: Array(rest)))
        case (.interfaces(let old), .interfaces(let gone)):
            guard gone.isSubset(of: old) else { throw .absent(name) }
            table.sets[name]?.elements = .interfaces(old.subtracting(gone))
        case (.jumps(let old), .jumps(let gone)):
            guard Set(gone.keys).isSubset(of: old.keys) else { throw .absent(name) }
            table.sets[name]?.elements = .jumps(old.filter { gone[$0.key] == nil })
            count(.jumps(old.filter { gone[$0.key] != nil }), -1)
        case (.addressJumps(let family, let old), .addressJumps(let other, let gone)) where family == other:
            guard Set(gone.keys).isSubset(of: old.keys) else { throw .absent(name) }
            table.sets[name]?.elements = .addressJumps(family, old.filter { gone[$0.key] == nil })
            count(.addressJumps(family, old.filter { gone[$0.key] != nil }), -1)
        case (.entries(let old), .entries(let gone)):
            guard gone.subtracting(old).isEmpty else { throw .absent(name) }
            table.sets[name]?.elements = .entries(old.subtracting(gone))
        default: throw .notSupported(name)
        }
    }
}

/// What a rule or an element names.
enum Reference: Hashable {
    case object(Snapshot.StatefulObject.Key)
    case flowtable(String)
    case set(String)
    case chain(String)

    /// Those of a rule whose bytes are its text.
    static func all(in bytes: Snapshot.RuleBytes) -> [Reference] {
        let words = bytes.split(separator: UInt8(ascii: " "))
        var references: [Reference] = []
        var (previous, first) = (bytes[0..<0], bytes[0..<0])
        for word in words {
            if word.elementsEqual("comment".utf8) { break }
            let name = { String(decoding: word, as: UTF8.self) }
            if word.first == UInt8(ascii: "@"), previous.elementsEqual("add".utf8) {
                // flow add @…
                references.append(.flowtable(String(name().dropFirst())))
            } else if word.first == UInt8(ascii: "@") {
                references.append(.set(String(name().dropFirst())))
            }
            if previous.elementsEqual("jump".utf8) { references.append(.chain(name())) }
            if previous.elementsEqual("set".utf8), word.first == UInt8(ascii: "\"") {
                // ct helper set "…", ct timeout set "…"
                let object = String(name().dropFirst().dropLast())
                references.append(.object(.init(type: object.hasPrefix("helper") ? 3 : 7, name: object)))
            }
            if previous.elementsEqual("name".utf8) {
                // counter name "…", quota name "…"
                let isQuota = first.elementsEqual("quota".utf8)
                let object: Snapshot.StatefulObject = isQuota ? .alarm(name()) : .counter(name())
                references.append(.object(object.key))
            }
            (first, previous) = (previous, word)
        }
        return references
    }
}

extension Ruleset.Elements {
    /// No elements, of the type that a set of this shape holds; nothing where masqd knows no such set.
    fileprivate static func none(of shape: Snapshot.SetShape) -> Ruleset.Elements? {
        switch shape {
        case .ipv4: .addresses(.init(family: .ipv4))
        case .ipv6: .addresses(.init(family: .ipv6))
        case .interfaces: .interfaces([])
        case .jumps: .jumps([:])
        case .prefixes:
            .entries(PackedElements(.init(key: [.interfaceName], data: [.ipv6Address], isDataInterval: true)))
        case .interfaceIndexes: .entries(PackedElements(.init(key: [.interfaceIndex])))
        case .interfacePairs:
            .entries(PackedElements(.init(key: [.interfaceName, .interfaceName])))
        default: nil
        }
    }
}

extension PackedElements.List {
    /// The elements of both, one behind the other.
    fileprivate init(of parts: [PackedElements]) {
        self.init()
        for part in parts {
            part.forEach { append(element: Array($0.key) + Array($0.lastKey) + Array($0.data)) }
        }
    }
}
