// SPDX-License-Identifier: GPL-3.0-or-later

extension InterfacePattern {
    /// The globs that cover this pattern, without itself, the longest first: at most 14, whatever a file has.
    var widerGlobs: [InterfacePattern] {
        let (bytes, longest) =
            switch self {
            case .name(let name): (Array(name.utf8), name.utf8.count)
            case .prefix(let prefix): (Array(prefix.utf8), prefix.utf8.count - 1)
            }
        guard longest > 0 else { return [] }
        return (1...longest).reversed().map { .prefix(String(decoding: bytes.prefix($0), as: UTF8.self)) }
    }
}
