// SPDX-License-Identifier: GPL-3.0-or-later

/// What a look at others' tables came to.
public struct ForeignReport: Equatable, Sendable {
    /// What is in the way, and stays there.
    public var findings: [ForeignFinding] = []
    /// The packets that have to carry the mark.
    public var permission: Permission = []
    /// What has to be changed in others' chains, where that is wanted; nothing where all is in place.
    public var edits: [ForeignEdit] = []
    /// Whether everything was looked at: iptables-legacy's tables may be hidden.
    public var isComplete = true
    /// Whether others have a chain in which sources are translated: for whom is not asked, since silence of the walk, which
    /// is a TCP packet's to the Internet, is no promise.
    public var mayTranslate = false
    /// The generation that this was computed from: the edits hold for no other.
    public var generation: UInt32 = 0

    /// Makes a report.
    public init(
        findings: [ForeignFinding] = [], permission: Permission = [], edits: [ForeignEdit] = [],
        generation: UInt32 = 0
    ) {
        self.findings = findings
        self.permission = permission
        self.edits = edits
        self.generation = generation
    }
}
