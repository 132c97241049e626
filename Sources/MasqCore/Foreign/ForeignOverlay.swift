// SPDX-License-Identifier: GPL-3.0-or-later

/// Where masqd's rule is to be thought in a base chain, and that it is nowhere else: others' rules are not copied for that.
struct ForeignOverlay: Sendable {
    /// The numbers of the rules that it stands before; none is the end.
    typealias Insertions = Set<Int?>

    /// The bit that the rule accepts.
    var mark: UInt32 = 0
    /// Whether the rules that accept it are to be thought away.
    var removes = false
    /// By chain.
    var insertions: [ForeignName: Insertions] = [:]
}
