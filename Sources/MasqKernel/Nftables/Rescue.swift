// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore

/// The batch that makes the whole table out of nothing, written before it is needed.
///
/// Whoever deletes a table waits in close(2) until the kernel has freed it, 5 to 20 ms, and holds nf_tables' only mutex
/// for so long (`nft_rcv_nl_event` in net/netfilter/nf_tables_api.c). `nft` closes 50 µs after its commit, so a restoring
/// batch that comes within that time takes 0.3 ms, and a later one waits for the rest.
struct Rescue: ~Copyable {
    /// What it makes.
    let changes: [Change]
    private var batch: Batch

    /// A batch larger than this is not worth its memory: the kernel takes longer for it than it would have to wait.
    private static let maximumLength = 65536

    /// Writes the batch; nothing where it would be large.
    init?(_ desired: Snapshot, _ connection: inout NftablesConnection) {
        let changes = Difference.changes(from: Snapshot(), to: desired)
        guard changes.reduce(0, { $0 + $1.estimatedLength }) <= Self.maximumLength else { return nil }
        self.changes = changes
        batch = connection.batch(of: changes, generation: 0)
    }

    /// Commits it, if the ruleset is of this generation still.
    ///
    /// - Returns: the generation after the commit.
    /// - Throws: ``NetlinkError``; a transient one where somebody committed meanwhile.
    mutating func commit(
        over connection: inout NftablesConnection, generation: UInt32
    ) throws(NetlinkError) -> UInt32 {
        batch.rebase(on: generation)
        return try connection.commit(batch, changes, generation: generation)
    }
}
