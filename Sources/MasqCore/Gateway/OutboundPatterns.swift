// SPDX-License-Identifier: GPL-3.0-or-later

/// Which blocks an interface's name belongs to, without asking each block about each name.
struct OutboundPatterns {
    /// The blocks that name an interface exactly, in the file's order.
    private var exact: [InterfaceName: [Int]] = [:]
    /// The globs, each once, and the blocks that have it.
    private var globs: [(pattern: InterfacePattern, blocks: [Int])] = []

    /// What decides which blocks a name belongs to: the globs that match it, and the blocks that name it.
    struct Key: Hashable {
        fileprivate var globs: [Int]
        fileprivate var exact: [Int]
    }

    init(_ blocks: [OutboundBlock]) {
        var positions: [InterfacePattern: Int] = [:]
        for (index, block) in blocks.enumerated() {
            for pattern in block.outInterfaces {
                if case .name(let name) = pattern {
                    exact[name, default: []].append(index)
                } else if let position = positions[pattern] {
                    globs[position].blocks.append(index)
                } else {
                    positions[pattern] = globs.count
                    globs.append((pattern, [index]))
                }
            }
        }
    }

    /// The names that blocks have, whether there are such links or not.
    var names: Set<InterfaceName> { Set(exact.keys) }

    /// Whether a glob matches a name.
    func haveGlob(_ name: InterfaceName) -> Bool { globs.contains { $0.pattern.matches(name) } }

    func key(of name: InterfaceName) -> Key {
        Key(
            globs: globs.indices.filter { globs[$0].pattern.matches(name) },
            exact: exact[name] ?? [])
    }

    /// The blocks of a key, in the file's order, each once.
    func blocks(_ key: Key) -> [Int] {
        Set(key.globs.flatMap { globs[$0].blocks } + key.exact).sorted()
    }
}
