// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// Lets masqd's one rule come to others' chains, and go; it touches nothing else there.
public struct ForeignEditor: ~Copyable {
    private var connection: NftablesConnection

    /// Opens the connection in the calling thread's network namespace.
    ///
    /// - Throws: ``NetlinkError``.
    public init() throws(NetlinkError) { connection = try NftablesConnection() }

    /// The port ID by which the kernel names these commits in events.
    public var portID: UInt32 { connection.portID }

    /// Makes edits: all of them, or none.
    ///
    /// - Parameter generation: the one that they were computed from.
    public mutating func perform(_ edits: [ForeignEdit], generation: UInt32) -> ForeignEditOutcome {
        do {
            try connection.commit(edits, generation: generation)
            return .done
        } catch {
            if error.error.isTransient { return .outdated }
            let baseChain = error.edit.map(\.baseChain).flatMap { $0.isEmpty ? nil : $0 }
            return .refused(
                reason: "\(error.error)", baseChain: baseChain ?? edits.first?.baseChain ?? "")
        }
    }

    /// Deletes every rule of any chain of others' that is masqd's by its mark, and by its verdict.
    ///
    /// - Parameter marks: the bits of the mark in question.
    /// - Throws: ``NetlinkError``; then none is deleted.
    public mutating func removeAll(accepting marks: UInt32) throws(NetlinkError) {
        try retrying { () throws(NetlinkError) in
            let generation = try connection.generation()
            let edits = try deletions(accepting: marks)
            guard !edits.isEmpty else { return }
            do throws(ForeignEditError) {
                try connection.commit(edits, generation: generation)
            } catch {
                throw error.error
            }
        }
    }

    private mutating func deletions(accepting marks: UInt32) throws(NetlinkError) -> [ForeignEdit] {
        var edits: [ForeignEdit] = []
        try connection.list(NFT_MSG_GETRULE, "the rules of others", family: UInt8(AF_UNSPEC)) { message in
            guard let family = ForeignRuleset.Family(message) else { return }
            let attributes = message.attributes(after: 4)
            let table = attributes.name(NFTA_RULE_TABLE.rawValue)
            let chain = attributes.name(NFTA_RULE_CHAIN.rawValue)
            guard family != .inet || table != ForeignName(Ruleset.tableName) else { return }
            var parser = ForeignRuleParser(family: family, for: nil)
            guard case .complete = parser.read(attributes, of: chain), parser.setNames.isEmpty else { return }
            let rule = parser.rule([:], number: 0)
            guard let mark = rule.passedMark, mark & marks != 0 else { return }
            edits.append(.init(family, table: table, chain: chain, .delete(handle: rule.handle)))
        }
        return edits
    }
}

/// Edits that did not take effect, and the one that the kernel refused, where there is one.
struct ForeignEditError: Error {
    let error: NetlinkError
    let edit: ForeignEdit?
}

extension NftablesConnection {
    /// Makes edits in others' chains: all of them, or none.
    mutating func commit(_ edits: [ForeignEdit], generation: UInt32) throws(ForeignEditError) {
        var batch = Batch(
            firstSequence: conversation.nextSequence(), generation: generation, capacity: 1024 * edits.count)
        for edit in edits { batch.append(edit) }
        finish(&batch)
        do {
            try commit(batch)
        } catch {
            let index = error.owner
            let object = index.map {
                "masqd's rule in \(edits[$0].family.rawValue) \(edits[$0].table) \(edits[$0].chain)"
            }
            throw ForeignEditError(
                error: error.named(object ?? "masqd's rules in others' chains"), edit: index.map { edits[$0] }
            )
        }
    }
}

extension Batch {
    /// Writes an edit.
    mutating func append(_ edit: ForeignEdit) {
        let family = edit.family.number
        switch edit.change {
        case .insert(let mark, let position):
            // Before a rule it is inserted, without NLM_F_APPEND.
            let flags = position == nil ? NLM_F_CREATE | NLM_F_APPEND : NLM_F_CREATE
            begin(NFT_MSG_NEWRULE, flags: flags, family: family, table: edit.table, chain: edit.chain)
            if let position { attribute(NFTA_RULE_POSITION, position) }
            let rule = RuleObject()
            rule.acceptMarked(mark)
            rule.setComment("masqd: what it permits")
            append(payload: rule.payload())
        case .delete(let handle):
            begin(NFT_MSG_DELRULE, family: family, table: edit.table, chain: edit.chain)
            attribute(NFTA_RULE_HANDLE, handle)
        }
        end()
    }
}
