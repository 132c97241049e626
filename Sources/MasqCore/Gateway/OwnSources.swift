// SPDX-License-Identifier: GPL-3.0-or-later

/// The uplinks for which masqd has told the kernel to choose IPv6 sources among their own addresses alone
/// (`use_oif_addrs_only`).
///
/// An IPv6 default route stays when the uplink's address goes. Until masqd has seen that, masquerade would borrow another
/// link's address; with this setting the kernel itself does not, not even for a moment. It is set once the uplink has an
/// address of its own, and goes where it has none and what could be borrowed is public: then the provider has given the
/// addresses to the network inside, and the gateway speaks with one of those.
struct OwnSources: Sendable {
    /// The indexes of the links that masqd has set it for.
    private(set) var restricted: Set<Int32> = []
    /// Those for which somebody else had set it before.
    private var others: Set<Int32> = []
    /// What is set already may be an earlier process's: it left word of that.
    private var isInherited = false
    /// What the next process has to know; it stays until the stop, so that no link that goes changes the table.
    private(set) var memory: KernelMemory = []

    /// Recalls what an earlier process left.
    mutating func found(_ memory: KernelMemory) {
        isInherited = memory.contains(.ownSourcesWereOff)
        self.memory.formUnion(memory.intersection(.ownSourcesWereOff))
    }

    /// Takes note of what ``follow(_:_:)`` would set, before it does.
    ///
    /// - Returns: whether ``memory`` is another one now.
    mutating func remember(_ configuration: Configuration, _ links: Links) -> Bool {
        guard memory.isEmpty else { return false }
        var next = self
        guard !next.follow(configuration, links).isEmpty else { return false }
        memory.insert(.ownSourcesWereOff)
        return true
    }

    /// Says what to set for the links as they are.
    mutating func follow(_ configuration: Configuration, _ links: Links) -> [Action] {
        restricted.formIntersection(links.byIndex.keys)
        others.formIntersection(links.byIndex.keys)
        let blocks = configuration.outbound.filter { $0.kind == .masquerade && $0.families.contains(.ipv6) }
        let hidden = configuration.outbound.filter(\.translation.hidesSource).flatMap(\.source)
        let source = MasqueradeSource(
            links: links, family: .ipv6, hidden: AddressRanges(family: .ipv6, networks: hidden))
        var actions: [Action] = []
        let patterns = Set(blocks.lazy.flatMap(\.outInterfaces))
        func isUplink(_ link: Link) -> Bool { patterns.contains { $0.matches(link.name) } }
        let concerned = links.byIndex.values.filter { restricted.contains($0.index) || isUplink($0) }
        for link in concerned.sorted(by: { $0.index < $1.index }) {
            let isUplink = isUplink(link)
            if restricted.contains(link.index) {
                guard !isUplink || !source.hasOwn(link) && !source.isMissing(on: link) else { continue }
                restricted.remove(link.index)
                actions.append(.restrictSources(link: link.index, name: link.name, false))
            } else if isUplink, !others.contains(link.index), source.hasOwn(link) {
                restricted.insert(link.index)
                actions.append(.restrictSources(link: link.index, name: link.name, true))
            }
        }
        return actions
    }

    /// It was set before. Unless an earlier process may have done that, it is not for masqd to put back.
    ///
    /// - Returns: whether ``memory`` is another one now.
    mutating func wasSet(_ link: Int32) -> Bool {
        guard !isInherited else { return false }
        restricted.remove(link)
        others.insert(link)
        guard restricted.isEmpty, !memory.isEmpty else { return false }
        memory = []
        return true
    }

    /// What puts all back.
    func release(_ links: Links) -> [Action] {
        restricted.sorted().compactMap { index in
            links.byIndex[index].map { .restrictSources(link: index, name: $0.name, false) }
        }
    }
}
