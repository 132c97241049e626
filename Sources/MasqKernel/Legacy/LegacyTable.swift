// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore

/// A table of ip_tables or ip6_tables as the kernel hands it out: entries of different lengths, one behind another.
///
/// The built-in chains come first, each with its policy as the last entry. Then each user's chain is an entry with its
/// name, its rules, and a return. A jump is the offset of a chain's first rule.
struct LegacyTable {
    /// The base chains that forwarded traffic meets, with what they reach.
    private(set) var hooks: [ForeignRuleset.Hook] = []
    /// The bits of a packet's mark that any rule may set, at whatever hook.
    private(set) var settableMarks: UInt32 = 0

    /// The chains with a rule that makes TCP send smaller segments (`-j TCPMSS`).
    private(set) var clampingChains: Set<ForeignName> = []

    /// `struct ipt_getinfo` of linux/netfilter_ipv4/ip_tables.h, and the same of ip6_tables.h.
    struct Information {
        static let byteCount = 84

        /// The offset of the first rule of each built-in chain that is there, by its hook.
        private(set) var starts: [Int: Int] = [:]
        /// The offset of the policy of each.
        private(set) var policies: [Int: Int] = [:]
        /// How many bytes all entries have.
        let size: Int

        /// Reads ``byteCount`` bytes: the name, valid_hooks, hook_entry[5], underflow[5], num_entries, size.
        init(_ bytes: UnsafeRawBufferPointer) {
            let validHooks = bytes.number32(at: 32)
            for hook in 0..<5 where validHooks & 1 << hook != 0 {
                starts[hook] = Int(bytes.number32(at: 36 + 4 * hook))
                policies[hook] = Int(bytes.number32(at: 56 + 4 * hook))
            }
            size = Int(bytes.number32(at: 80))
        }
    }

    /// Where built-in chains stand that may drop or translate: by table the chain, NF_INET_*, and NF_IP_PRI_*.
    private static let points: [String: (hook: Int, point: ForeignRuleset.Point, priority: Int32)] = [
        "mangle": (2, .forward, -150), "filter": (2, .forward, 0), "security": (2, .forward, 50),
        "nat": (4, .sourceNAT, 100),
    ]

    /// By their hooks.
    private static let builtinNames: [ForeignName] = [
        "PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING",
    ]

    let name: String
    let family: AddressFamily
    private let information: Information
    private let scope: ForeignScope?
    /// All entries, while they are read; and where the next one begins.
    private var entries: [LegacyEntry] = []
    private var offset = 0
    /// How many of them were made rules of.
    private var ruleCount = 0
    private var chainNames: [Int: ForeignName] = [:]
    private var chains: [ForeignName: [ForeignRuleset.Rule]] = [:]
    private var policies: [ForeignName: ForeignRuleset.Effect] = [:]
    private var chain: ForeignName?
    private var number = 0

    /// How far a table is read.
    enum Progress {
        case goesOn
        case over
        /// The entries are not what the kernel makes.
        case broken
    }

    /// Begins a table, of which nothing is read yet.
    init(_ name: String, _ family: AddressFamily, _ information: Information, for scope: ForeignScope?) {
        self.name = name
        self.family = family
        self.information = information
        self.scope = scope
    }

    /// Reads all entries; nothing where they are not what the kernel makes.
    init?(
        _ name: String, _ family: AddressFamily, _ information: Information,
        _ bytes: UnsafeRawBufferPointer, for scope: ForeignScope?
    ) {
        self.init(name, family, information, for: scope)
        guard case .over = read(bytes, entries: .max) else { return nil }
    }

    /// Reads so many entries more, which are all the same bytes each time.
    mutating func read(_ bytes: UnsafeRawBufferPointer, entries count: Int) -> Progress {
        var left = count
        while offset < bytes.count {
            guard left > 0 else { return .goesOn }
            left -= 1
            guard let entry = LegacyEntry(bytes, at: offset, family) else { return .broken }
            if let name = entry.chainName { chainNames[entry.end] = name }
            entries.append(entry)
            offset = entry.end
        }
        while ruleCount < entries.count {
            guard left > 0 else { return .goesOn }
            left -= 1
            guard read(entries[ruleCount]) else { return .broken }
            ruleCount += 1
        }
        entries = []
        return finish() ? .over : .broken
    }

    private mutating func begin(_ name: ForeignName) {
        chain = name
        chains[name] = []
        number = 0
    }

    /// Makes a rule, a chain's beginning or a policy of an entry.
    ///
    /// - Returns: whether it has its place there.
    private mutating func read(_ entry: LegacyEntry) -> Bool {
        if let name = entry.chainName {
            begin(name)
            return true
        }
        if let hook = information.starts.first(where: { $0.value == entry.offset })?.key {
            begin(Self.builtinNames[hook])
        }
        guard let current = chain else { return false }
        number += 1
        var rule = entry.rule(chainNames)
        rule.number = number
        if let hook = information.policies.first(where: { $0.value == entry.offset })?.key {
            guard current == Self.builtinNames[hook] else { return false }
            policies[current] = rule.effect
            chain = nil
            return true
        }
        settableMarks |= rule.markChange?.settable ?? 0
        if entry.clampsSegmentSize { clampingChains.insert(current) }
        if let scope, rule.conditions.contains(where: scope.rulesOut) { return true }
        chains[current]?.append(rule)
        return true
    }

    private mutating func finish() -> Bool {
        guard policies.count == information.policies.count else { return false }
        defer { chains = [:] }
        guard let place = Self.points[name] else { return true }
        let base = Self.builtinNames[place.hook]
        guard let policy = policies[base] else { return true }
        hooks = [
            ForeignRuleset.Hook(
                family == .ipv4 ? .ip : .ip6, table: ForeignName(name), chain: base, at: place.point,
                priority: place.priority, dropsByPolicy: policy == .drop, backend: .legacy,
                chains: Self.reached(from: base, chains))
        ]
        return true
    }

    /// The chains that a base chain leads to, and itself.
    private static func reached(
        from base: ForeignName, _ chains: [ForeignName: [ForeignRuleset.Rule]]
    ) -> [ForeignName: [ForeignRuleset.Rule]] {
        var reached: [ForeignName: [ForeignRuleset.Rule]] = [:]
        var waiting = [base]
        while let chain = waiting.popLast() {
            guard reached[chain] == nil, let rules = chains[chain] else { continue }
            reached[chain] = rules
            for rule in rules { waiting += rule.effect.targets }
        }
        return reached
    }
}

/// `struct ipt_entry` of linux/netfilter_ipv4/ip_tables.h, or `struct ip6t_entry` of linux/netfilter_ipv6/ip6_tables.h, with
/// its matches and its target.
private struct LegacyEntry {
    /// Where it begins.
    let offset: Int
    /// Where the next one begins.
    let end: Int
    /// The user's chain that begins behind it.
    private(set) var chainName: ForeignName?

    private var conditions: [ForeignRuleset.Condition] = []
    private let target: Target

    private enum Target {
        /// XT_STANDARD_TARGET, with its verdict.
        case standard(Int, isGoto: Bool)
        case named(XtablesTarget)
    }

    /// Reads an entry; nothing where it is not within the bytes.
    init?(_ bytes: UnsafeRawBufferPointer, at offset: Int, _ family: AddressFamily) {
        // What comes before target_offset and next_offset, and all before the matches.
        let (offsets, headerLength) = family == .ipv4 ? (88, 112) : (140, 168)
        guard offset + headerLength <= bytes.count else { return nil }
        let entry = UnsafeRawBufferPointer(rebasing: bytes[offset...])
        let targetOffset = Int(entry.number16(at: offsets))
        let nextOffset = Int(entry.number16(at: offsets + 2))
        guard targetOffset >= headerLength, targetOffset <= nextOffset, nextOffset <= entry.count,
            let target = LegacyExtension(entry, targetOffset..<nextOffset)
        else { return nil }
        self.offset = offset
        end = offset + nextOffset

        let header = LegacyHeader(entry, family)
        switch target.name {
        case "":
            guard target.data.count >= 4 else { return nil }
            let verdict = Int32(bitPattern: target.data.number32(at: 0))
            self.target = .standard(Int(verdict), isGoto: header.isGoto)
        case "ERROR":
            // struct xt_error_target of linux/netfilter/x_tables.h, XT_ERROR_TARGET.
            chainName = ForeignName(target.data)
            self.target = .named(XtablesTarget(name: target.name, revision: 0, target.data))
        default:
            self.target = .named(
                XtablesTarget(name: target.name, revision: UInt32(target.revision), target.data))
        }

        conditions = header.conditions
        var position = headerLength
        while position < targetOffset {
            guard let match = LegacyExtension(entry, position..<targetOffset) else { return nil }
            position = match.end
            let condition = XtablesMatch.condition(
                name: match.name, revision: UInt32(match.revision), match.data)
            if let condition { conditions.append(condition) }
        }
    }

    /// Whether it makes TCP send smaller segments.
    var clampsSegmentSize: Bool {
        if case .named(let target) = target { target.clampsSegmentSize } else { false }
    }

    /// The rule, where the user's chains are known by the offsets of their first rules.
    func rule(_ chainNames: [Int: ForeignName]) -> ForeignRuleset.Rule {
        switch target {
        case .named(let target): .init(conditions, target.effect, markChange: target.markChange)
        case .standard(let verdict, let isGoto): .init(conditions, effect(verdict, isGoto, chainNames))
        }
    }

    private func effect(
        _ verdict: Int, _ isGoto: Bool, _ chainNames: [Int: ForeignName]
    ) -> ForeignRuleset.Effect {
        switch verdict {
        // -NF_DROP - 1, -NF_ACCEPT - 1, and XT_RETURN.
        case -1: .drop
        case -2: .accept
        case -5: .return
        // A rule without a target.
        case end: .none
        default: chainNames[verdict].map { isGoto ? .goto($0) : .jump($0) } ?? .unknown
        }
    }
}

/// `struct ipt_ip` or `struct ip6t_ip6`: what every rule may say.
private struct LegacyHeader {
    let conditions: [ForeignRuleset.Condition]
    /// Whether its jump is a goto.
    let isGoto: Bool

    init(_ bytes: UnsafeRawBufferPointer, _ family: AddressFamily) {
        // Both addresses and their masks, both links' names and their masks, the protocol.
        let length = family.byteCount
        let links = 4 * length
        let nameLength = 16
        let transport = links + 4 * nameLength
        let isIPv4 = family == .ipv4
        let flags = bytes[transport + (isIPv4 ? 2 : 3)]
        let inversions = bytes[transport + (isIPv4 ? 3 : 4)]
        // IPT_F_GOTO; IP6T_F_PROTO and IP6T_F_GOTO.
        let goto: UInt8 = isIPv4 ? 2 : 4
        let known = isIPv4 ? goto : goto | 1
        isGoto = flags & goto != 0

        var conditions: [ForeignRuleset.Condition] = []
        func require(_ condition: ForeignRuleset.Condition?, inversion: UInt8) {
            let isInverted = inversions & inversion != 0
            if let condition {
                conditions.append(isInverted ? .not(condition) : condition)
            } else if isInverted {
                conditions.append(.unknown)
            }
        }
        func address(_ side: ForeignRuleset.Side, _ index: Int) -> ForeignRuleset.Condition? {
            let mask = Array(bytes[(index + 2) * length..<(index + 3) * length])
            guard mask.contains(where: { $0 != 0 }) else { return nil }
            let value = ForeignValue(field: .address(side, family), mask: mask)
            return value.equals(Array(bytes[index * length..<(index + 1) * length])) ?? .unknown
        }
        func link(_ side: ForeignRuleset.Side, _ index: Int) -> ForeignRuleset.Condition? {
            let name = links + index * nameLength
            let mask = bytes[name + 2 * nameLength..<name + 3 * nameLength]
            let count = mask.prefix { $0 == 0xff }.count
            guard mask.contains(where: { $0 != 0 }) else { return nil }
            guard mask.dropFirst(count).allSatisfy({ $0 == 0 }) else { return .unknown }
            let value = ForeignValue(field: .linkName(side), mask: nil)
            return value.equals(Array(bytes[name..<name + count])) ?? .unknown
        }
        // IPT_INV_VIA_IN, _VIA_OUT, _SRCIP, _DSTIP and _PROTO, and the same of IP6T.
        require(link(.source, 0), inversion: 1)
        require(link(.destination, 1), inversion: 2)
        require(address(.source, 0), inversion: 8)
        require(address(.destination, 1), inversion: 16)
        let number = bytes.number16(at: transport)
        let hasTransport = isIPv4 ? number != 0 : flags & 1 != 0
        require(
            hasTransport ? UInt8(exactly: number).map { .transport($0) } ?? .unknown : nil, inversion: 64)
        // Fragments, and the traffic class.
        if flags & ~known != 0 || inversions & (4 | 32) != 0 { conditions.append(.unknown) }
        self.conditions = conditions
    }
}

/// `struct xt_entry_match` or `struct xt_entry_target` of linux/netfilter/x_tables.h: size, name, revision, and data.
private struct LegacyExtension {
    let name: String
    let revision: UInt8
    let data: UnsafeRawBufferPointer
    /// Where the next one begins.
    let end: Int

    /// Reads what begins where a range does; nothing where it does not fit there.
    init?(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) {
        let headerLength = 32
        guard range.count >= headerLength else { return nil }
        let size = Int(bytes.number16(at: range.lowerBound))
        guard (headerLength...range.count).contains(size) else { return nil }
        end = range.lowerBound + size
        let all = UnsafeRawBufferPointer(rebasing: bytes[range.lowerBound..<end])
        // char[XT_EXTENSION_MAXNAMELEN], and the revision.
        name = UnsafeRawBufferPointer(rebasing: all[2..<31]).text
        revision = all[31]
        data = UnsafeRawBufferPointer(rebasing: all[headerLength...])
    }
}

extension UnsafeRawBufferPointer {
    fileprivate func number16(at offset: Int) -> UInt16 {
        loadUnaligned(fromByteOffset: offset, as: UInt16.self)
    }

    fileprivate func number32(at offset: Int) -> UInt32 {
        loadUnaligned(fromByteOffset: offset, as: UInt32.self)
    }

    /// What comes before the first NUL.
    fileprivate var text: String { String(decoding: prefix { $0 != 0 }, as: UTF8.self) }
}
