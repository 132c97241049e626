// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import MasqCore

@testable import MasqKernel

extension FuzzTarget {
    /// Whatever a message is about, all take it in that read such messages: the own table, others' tables, the monitor.
    ///
    /// But for the own table's rules: those libnftnl reads, which trusts the kernel and follows null pointers where an
    /// expression lacks what every kernel puts there.
    func nftablesBreach(in bytes: UnsafeRawBufferPointer) -> String? {
        var own = OwnTable()
        var others = OthersTables()
        var activity = NftablesMonitor.Activity()
        var pending: NftablesMonitor.Touch?
        for message in NetlinkMessages(bytes) {
            _ = message.errorCode
            activity.read(message, &pending)
            own.read(message)
            others.read(message)
        }
        // Whatever was found in the own table can be turned into what should be there, or removed.
        let desired = Snapshot(lowering: Ruleset.desired(FuzzScene.configuration))
        Self.write(Difference.changes(from: own.snapshot, to: desired))
        Self.write(Difference.changes(from: own.snapshot, to: Snapshot()))
        _ = own.snapshot.memory

        let audit = ForeignAudit(FuzzScene.configuration, FuzzScene.links)
        for ruleset in [others.ruleset(for: nil), others.ruleset(for: ForeignScope(audit))] {
            for finding in audit.report(on: ruleset).findings {
                let words = [finding.claim] + finding.advice
                guard words.joined().unicodeScalars.allSatisfy({ $0.value >= 0x20 }) else {
                    return "a finding has a control character: \(words)"
                }
            }
        }
        return nil
    }
}

/// What ``NftablesConnection`` reads, with the listings in any order and of any table.
private struct OwnTable {
    private var table = Snapshot()
    private var sets: [String: (shape: Snapshot.SetShape, reader: (any ElementReader)?)] = [:]

    mutating func read(_ message: NetlinkMessage) {
        let attributes = message.attributes(after: 4)
        switch message.nftablesType {
        case NFT_MSG_NEWTABLE: table.tableFlags = attributes.number(NFTA_TABLE_FLAGS.rawValue) ?? 0
        case NFT_MSG_NEWCHAIN: table.chains[attributes.string(NFTA_CHAIN_NAME.rawValue)] = .init(attributes)
        case NFT_MSG_NEWRULE:
            table.chains[attributes.string(NFTA_RULE_CHAIN.rawValue)]?.rules.append(Array(message.payload))
        case NFT_MSG_NEWOBJ: table.objects.insert(.init(attributes))
        case NFT_MSG_NEWSET:
            let shape = Snapshot.SetShape(attributes)
            sets[attributes.string(NFTA_SET_NAME.rawValue)] = (shape, shape.elementReader)
        case NFT_MSG_NEWSETELEM:
            sets[attributes.string(NFTA_SET_ELEM_LIST_SET.rawValue)]?.reader?.read(listing: attributes)
        default: break
        }
    }

    var snapshot: Snapshot {
        var snapshot = table
        snapshot.sets = sets.mapValues { set in
            set.reader.map { .init(shape: set.shape, $0) } ?? .init(shape: set.shape, elements: nil)
        }
        return snapshot
    }
}

/// What ``ForeignReader`` reads, with all rules and sets at hand instead of asked for.
private struct OthersTables {
    private var hooks: [ForeignRuleset.Hook] = []
    private var dormant: Set<ForeignReading.Table> = []
    private var rules: [NetlinkMessage] = []
    private var sets: [ForeignName: ForeignSet] = [:]

    mutating func read(_ message: NetlinkMessage) {
        let attributes = message.attributes(after: 4)
        switch message.nftablesType {
        case NFT_MSG_NEWTABLE:
            if let table = ForeignReading.Table(dormant: message) { dormant.insert(table) }
        case NFT_MSG_NEWCHAIN:
            if let hook = ForeignRuleset.Hook(message) { hooks.append(hook) }
        case NFT_MSG_NEWRULE: rules.append(message)
        case NFT_MSG_NEWSET: sets[attributes.name(NFTA_SET_NAME.rawValue)] = ForeignSet(attributes)
        case NFT_MSG_NEWSETELEM:
            sets[attributes.name(NFTA_SET_ELEM_LIST_SET.rawValue)]?.read(attributes)
        default: break
        }
    }

    /// The hooks that are attached, each with all chains that its table has.
    func ruleset(for scope: ForeignScope?) -> ForeignRuleset {
        ForeignRuleset(
            hooks.filter { !dormant.contains(.init($0)) }.map { hook in
                var hook = hook
                for message in rules {
                    let attributes = message.attributes(after: 4)
                    let chain = attributes.name(NFTA_RULE_CHAIN.rawValue)
                    var parser = ForeignRuleParser(family: hook.family, for: scope)
                    guard case .complete = parser.read(attributes, of: chain) else { continue }
                    let number = (hook.chains[chain]?.count ?? 0) + 1
                    hook.chains[chain, default: []].append(parser.rule(sets, number: number))
                }
                return hook
            })
    }
}
