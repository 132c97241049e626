// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// Finds the rules that make TCP send smaller segments: whose they are, and for which packets, is not looked at.
public enum ClampReader {
    /// The chains of the calling thread's network namespace that have such a rule, as `nft list chain` takes them, sorted; then
    /// those of iptables-legacy.
    ///
    /// A listing that somebody disturbs is taken as it is: it is about whether there is any.
    ///
    /// - Throws: ``NetlinkError``.
    public static func chains() throws(NetlinkError) -> [String] {
        var connection = try NftablesConnection()
        var chains: Set<String> = []
        do {
            try connection.list(NFT_MSG_GETRULE, "the rules of others", family: UInt8(AF_UNSPEC)) {
                if let chain = clampingChain($0) { chains.insert(chain) }
            }
        } catch  where error.code == EINTR {
            // Enough was read.
        }
        return chains.sorted() + LegacyReader.read(for: nil).clampingChains.sorted()
    }

    private static func clampingChain(_ message: NetlinkMessage) -> String? {
        guard let family = ForeignRuleset.Family(message) else { return nil }
        let attributes = message.attributes(after: 4)
        guard
            let expressions = attributes.first(where: { $0.type == UInt16(NFTA_RULE_EXPRESSIONS.rawValue) }),
            expressions.nested.contains(where: { clamps($0.nested) })
        else { return nil }
        let table = attributes.name(NFTA_RULE_TABLE.rawValue)
        return "\(family.rawValue) \(table) \(attributes.name(NFTA_RULE_CHAIN.rawValue))"
    }

    private static func clamps(_ expression: Attributes) -> Bool {
        guard let data = expression.first(where: { $0.type == UInt16(NFTA_EXPR_DATA.rawValue) })?.nested
        else {
            return false
        }
        switch expression.string(NFTA_EXPR_NAME.rawValue) {
        // -j TCPMSS
        case "target": return data.string(NFTA_TARGET_NAME.rawValue) == "TCPMSS"
        // tcp option maxseg size set …: it reads its value from a register; TCPOPT_MAXSEG is 2.
        case "exthdr":
            return data.number(NFTA_EXTHDR_OP.rawValue) == UInt32(NFT_EXTHDR_OP_TCPOPT.rawValue)
                && data.number(NFTA_EXTHDR_SREG.rawValue) != nil
                && data.first { $0.type == UInt16(NFTA_EXTHDR_TYPE.rawValue) }?.bytes.first == 2
        default: return false
        }
    }
}
