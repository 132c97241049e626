// SPDX-License-Identifier: GPL-3.0-or-later

extension Ruleset {
    /// What should be in the kernel for a configuration: a pure function, the same at every call.
    ///
    /// Interfaces are matched by name, so nothing here waits for a link to be there.
    ///
    /// - Parameter memory: what the table has to remember for masqd's next process.
    /// - Parameter lacking: what the running kernel does not have, so that it is left out.
    public static func desired(
        _ configuration: Configuration, memory: KernelMemory = [], without lacking: Set<KernelFeature> = []
    ) -> Ruleset {
        RulesetBuilder(configuration, memory: memory, lacking: lacking).build().inliningSingleElements()
    }

    /// The same with all that `foreign_drop = "open"` may add where others drop masqueraded traffic: what people read.
    public static func complete(_ configuration: Configuration) -> Ruleset {
        let forward = configuration.forward
        return desired(
            configuration,
            memory: forward.foreignDrop == .open ? .opening(for: .all, with: forward.mark) : [])
    }
}

/// Collects the pages of the ruleset: one for each base chain, and what they share.
struct RulesetBuilder {
    let configuration: Configuration
    let memory: KernelMemory
    let lacking: Set<KernelFeature>
    let blocks: [BlockNames]
    let uplinks: [Uplink]
    /// What the uplinks' chains have in common; absent where there are so few that each has its own.
    let sharedLists: SharedLists?

    /// See ``Uplink/longestSeparateLists``.
    let longestSeparateLists: Int

    init(
        _ configuration: Configuration, memory: KernelMemory, lacking: Set<KernelFeature>,
        longestSeparateLists: Int = Uplink.longestSeparateLists
    ) {
        self.longestSeparateLists = longestSeparateLists
        self.lacking = lacking
        self.configuration = configuration
        self.memory = memory
        blocks = BlockNames.all(of: configuration.outbound)
        let uplinks = Uplink.all(of: configuration.outbound.map(\.outInterfaces))
        self.uplinks = Uplink.withoutCovered(uplinks, beyond: longestSeparateLists)
        sharedLists = SharedLists(of: self.uplinks, beyond: longestSeparateLists)
    }

    func build() -> Ruleset {
        var ruleset = Ruleset()
        ruleset.counters = memory.counterNames + blocks.map(\.counter)
        ruleset.counters += (isTranslating ? ["leak_guard"] : []) + ["spoofed"]
        if holdsBackUnnamed { ruleset.counters.append("unnamed_uplink") }
        if isTranslating, configuration.conntrack.repair { ruleset.alarms = [Ruleset.leakAlarm] }
        ruleset.sets = blocks.flatMap(\.sets) + leakSets
        if !exactUplinks.isEmpty {
            ruleset.sets.append(jumps(Page.outward))
            ruleset.sets.append(jumps(Page.translate))
            if isTranslating { ruleset.sets.append(jumps(Page.own)) }
        }
        if let sameInterface { ruleset.sets.append(sameInterface) }
        if let segmentSizeChain {
            if let uplinkNames { ruleset.sets.append(uplinkNames) }
            ruleset.chains.append(segmentSizeChain)
        }
        ruleset.append(accessPage)
        ruleset.flowtable = flowtable
        ruleset.helpers = helpers
        ruleset.timeouts = timeouts
        ruleset.chains += trackingChains
        ruleset.chains += (isTranslating ? [guardChain] : []) + chains(.outward, outwardChain)
        if isTranslating { ruleset.chains += chains(.own, ownChain) }
        if looksInward {
            if !exactUplinks.isEmpty { ruleset.sets.append(jumps(Page.inward)) }
            if blocks.contains(where: dropsUnsolicited) {
                ruleset.counters.append("unsolicited")
                ruleset.chains.append(unsolicitedChain)
            }
            ruleset.chains += inwardChains
        }
        if holdsBackUnnamed { ruleset.chains.append(unnamedUplinkChain) }
        ruleset.chains += chains(.translate, translateChain)
        ruleset.chains += [forwardChain] + (isTranslating ? [outputChain] : []) + [postroutingChain]
        ruleset.append(preroutingPage)
        ruleset.append(accountingPage)
        if !permission.isEmpty { addPermit(to: &ruleset) }
        if !configuration.uplinks.isEmpty { ruleset.chains += policyRoutingChains }
        ruleset.chains = dropChains(reachedFrom: ruleset.chains) + ruleset.chains
        return ruleset
    }

    /// Whether any block hides its sources, so that nothing of them may leave as it is.
    var isTranslating: Bool { configuration.outbound.contains { $0.translation.hidesSource } }

    /// Whether new connections from an uplink into a block's networks are dropped.
    func dropsUnsolicited(_ block: BlockNames) -> Bool {
        var policy = configuration.forward.unsolicited
        if case .routed(let routing) = block.block.translation { policy = routing.unsolicited ?? policy }
        return policy == .drop
    }

    /// Whether anything has to be said about new connections from an uplink.
    var looksInward: Bool {
        configuration.forward.policy == .drop || inwardTracking != nil
            || blocks.contains { dropsUnsolicited($0) || $0.isRouted }
    }

    var exactUplinks: [Uplink] { uplinks.filter(\.isExact) }

    /// The kinds of chain that exist once for each uplink, and the maps that lead to them.
    enum Page: String {
        /// Forwarded packets toward the uplink.
        case outward
        /// The gateway's own packets toward the uplink.
        case own
        /// Forwarded packets from the uplink.
        case inward
        /// Forwarded packets from the uplink that claim to come from behind the gateway.
        case inwardSpoofed = "inward_spoofed"
        /// Connections that leave by the uplink.
        case translate
        /// Connections that come in by the interface, to be forwarded.
        case portForward = "port_forward"
        /// Connections from inside to an address of the interface, to be forwarded.
        case reflection
        /// Connections that come in by the interface and claim to come from behind the gateway.
        case disguised
        /// What others' chains are to let pass toward the uplink.
        case permitOutward = "permit_outward"
        /// What others' chains are to let pass from the uplink.
        case permitInward = "permit_inward"
        /// Forwarded packets toward the uplink, to be counted.
        case accountingSent = "accounting_sent"
        /// Forwarded packets from the uplink, to be counted.
        case accountingReceived = "accounting_received"
    }

    func jumps(_ page: Page) -> Ruleset.NamedSet { jumps(page, of: uplinks) }

    /// The map from interfaces' whole names to their chains.
    func jumps(_ page: Page, of uplinks: [Uplink]) -> Ruleset.NamedSet {
        let entries = uplinks.compactMap { uplink in
            uplink.pattern.wholeName.map { ($0, uplink.chainName(page)) }
        }
        return Ruleset.NamedSet(page.rawValue, .jumps(Dictionary(uniqueKeysWithValues: entries)))
    }

    /// Rules that lead each packet to its uplink's chain: one map look-up however many uplinks there are, and
    /// behind it a rule for each glob, which an exact map can't hold.
    func dispatch(
        _ direction: Rule.Direction, to page: Page, when matches: [Rule.Match] = [], _ purpose: String,
        line: Int? = nil
    ) -> [Rule] {
        var rules: [Rule] = []
        if !exactUplinks.isEmpty {
            let text = comment(purpose, line: line)
            rules.append(Rule(matches, .dispatch(direction, map: page.rawValue), comment: text))
        }
        for uplink in uplinks {
            guard case .prefix = uplink.pattern else { continue }
            let text = comment(purpose, line: line ?? uplink.blocks.first.map { blocks[$0].block.line })
            rules.append(
                Rule(
                    matches + [.interface(direction, uplink.pattern)], .jump(uplink.chainName(page)),
                    comment: text))
        }
        return rules
    }

    /// `masqd.toml:4: masquerade`.
    func comment(_ block: BlockNames) -> String {
        comment(block.block.kind.rawValue, line: block.block.line)
    }

    /// `masqd.toml:4: purpose`, with the first block's line where no better one is known.
    func comment(_ purpose: String, line: Int? = nil) -> String {
        let place =
            switch configuration.origin {
            case .commandLine: "command line"
            case .file(let path):
                "\(fileName(path)):\(line ?? configuration.outbound.first?.line ?? 1)"
            }
        return "\(place): \(purpose)"
    }

    /// The last component, without what nft's quotes can't hold, cut so that every comment fits.
    private func fileName(_ path: String) -> String {
        let name = path.split(separator: "/").last.map(String.init) ?? path
        let printable = name.unicodeScalars.map {
            (" "..."~").contains($0) && $0 != "\"" && $0 != "\\" ? $0 : "_"
        }
        return String(String.UnicodeScalarView(printable.suffix(48)))
    }
}

/// One block and the names that its objects have in the kernel.
struct BlockNames {
    /// From 1, among the blocks of its kind.
    let number: Int
    let block: OutboundBlock
    /// The families of its sources, IPv4 first.
    let families: [AddressFamily]

    static func all(of blocks: [OutboundBlock]) -> [BlockNames] {
        var numbers: [OutboundBlock.Kind: Int] = [:]
        return blocks.map { block in
            numbers[block.kind, default: 0] += 1
            return BlockNames(number: numbers[block.kind, default: 1], block: block, families: block.families)
        }
    }

    /// `masquerade_1`: what counts its connections, and begins the names of its sets.
    var counter: String { "\(block.kind.rawValue)_\(number)" }
    func source(_ family: AddressFamily) -> String { "\(counter)_source\(family.suffix)" }
    func exclude(_ family: AddressFamily) -> String { "\(counter)_exclude\(family.suffix)" }
    /// The set of the whole names among its interfaces.
    var interfaces: String { "\(counter)_interfaces" }

    var exactInterfaces: Set<InterfaceName> {
        Set(block.outInterfaces.compactMap { if case .name(let name) = $0 { name } else { nil } })
    }

    var isRouted: Bool { !block.translation.hidesSource }

    func hasExclusions(_ family: AddressFamily) -> Bool { block.exclude.contains { $0.family == family } }

    var sets: [Ruleset.NamedSet] {
        var sets: [Ruleset.NamedSet] = []
        for family in families {
            sets.append(.init(source(family), .addresses(sourceRanges(family))))
            guard hasExclusions(family) else { continue }
            sets.append(.init(exclude(family), .addresses(.init(family: family, networks: block.exclude))))
        }
        if !exactInterfaces.isEmpty { sets.append(.init(interfaces, .interfaces(exactInterfaces))) }
        return sets + mappingSets
    }

    /// Without IPv6's unspecified address: the gateway itself sends with it before it has one (RFC 4862, 5.4.2), and
    /// nothing else may.
    private func sourceRanges(_ family: AddressFamily) -> AddressRanges {
        let ranges = AddressRanges(family: family, networks: block.source)
        guard family == .ipv6, let first = ranges.ranges.first, first.first == 0, first.last > 0 else {
            return ranges
        }
        let rest = [AddressRange(first: 1, last: first.last)] + ranges.ranges.dropFirst()
        return AddressRanges(family: family, merging: rest)
    }
}

extension AddressFamily {
    /// What the name of a family's set ends in, beside the other family's.
    var suffix: String { self == .ipv4 ? "" : "_ipv6" }
}

/// One pattern of interfaces that something leaves by, and the blocks that apply to all that it means.
struct Uplink {
    let pattern: InterfacePattern
    /// Indexes of the blocks, in the file's order: the first that matches a packet decides.
    let blocks: [Int]

    /// Whether it is a whole name.
    var isExact: Bool { pattern.wholeName != nil }

    /// `outward_ppp0`: a name that nft's syntax takes and that no other interface's chain has.
    ///
    /// Bytes that nft does not take in an identifier become a slash, which no interface's name can hold, and two
    /// hexadecimal digits: `wan@1` gives `outward_wan/401`, `ppp*` gives `outward_ppp/2a`.
    func chainName(_ page: RulesetBuilder.Page) -> String {
        var name = page.rawValue + "_"
        for byte in "\(pattern)".utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"),
                UInt8(ascii: "."):
                name.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                name += "/" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
            }
        }
        return name
    }
}
