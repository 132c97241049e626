// SPDX-License-Identifier: GPL-3.0-or-later

extension InterfacePattern {
    /// The globs that cover this pattern, without itself, the longest first: at most 14, whatever a file has.
    var widerGlobs: [InterfacePattern] {
        let (bytes, longest) =
            switch self {
            case .name(let name): (name.bytes, name.byteCount)
            case .prefix(let prefix): (prefix.bytes, prefix.byteCount - 1)
            }
        guard longest > 0 else { return [] }
        return (1...longest).reversed().map { .prefix(InterfaceName(bytes.prefix($0))) }
    }
}
