// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

extension ForeignRuleset.Effect {
    /// Reads NFTA_DATA_VERDICT.
    init(verdict: Attributes) {
        let chain = verdict.name(NFTA_VERDICT_CHAIN.rawValue)
        let code = Int32(bitPattern: verdict.number(NFTA_VERDICT_CODE.rawValue) ?? 0)
        switch code {
        case NFT_CONTINUE.rawValue: self = .none
        case NFT_JUMP.rawValue: self = .jump(chain)
        case NFT_GOTO.rawValue: self = .goto(chain)
        case NFT_RETURN.rawValue: self = .return
        case CInt(NF_DROP): self = .drop
        case CInt(NF_ACCEPT): self = .accept
        default: self = .unknown
        }
    }
}

extension ForeignRuleset.Hook {
    /// Reads a chain of a listing (NFT_MSG_NEWCHAIN); nothing for one that forwarded traffic does not begin in, or is ours.
    init?(_ message: NetlinkMessage) {
        let attributes = message.attributes(after: 4)
        guard let family = ForeignRuleset.Family(message),
            let base = Snapshot.ChainState(attributes).base, let point = base.point
        else { return nil }
        let table = attributes.name(NFTA_CHAIN_TABLE.rawValue)
        guard family != .inet || table != ForeignName(Ruleset.tableName) else { return nil }
        self.init(
            family, table: table, chain: attributes.name(NFTA_CHAIN_NAME.rawValue), at: point,
            priority: base.priority, dropsByPolicy: base.policy == UInt32(NF_DROP), chains: [:])
    }
}

extension ForeignRuleset.Family {
    /// The family of a message of nf_tables'.
    init?(_ message: NetlinkMessage) {
        switch message.payload.first {
        case 1: self = .inet  // NFPROTO_INET
        case 2: self = .ip
        case 10: self = .ip6
        default: return nil
        }
    }

    /// NFPROTO_* in linux/netfilter.h.
    var number: UInt8 {
        switch self {
        case .inet: 1
        case .ip: 2
        case .ip6: 10
        }
    }
}

extension BaseChain {
    /// What it may do to forwarded traffic: NF_INET_FORWARD is 2, NF_INET_POST_ROUTING 4.
    fileprivate var point: ForeignRuleset.Point? {
        switch (type, hook) {
        case ("filter", 2): .forward
        case ("nat", 4): .sourceNAT
        default: nil
        }
    }
}
