// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// Matches of iptables', in nf_tables' `match` expressions and in iptables-legacy's entries alike.
enum XtablesMatch {
    /// The condition that a match stands for; nothing where it is none, as for a comment.
    static func condition(
        name: String, revision: UInt32, _ bytes: UnsafeRawBufferPointer
    ) -> ForeignRuleset.Condition? {
        switch (name, revision) {
        case ("comment", _): nil
        case ("conntrack", 1...3): conntrack(bytes, revision: revision)
        case ("state", 0) where bytes.count >= 4:
            // struct xt_state_info in linux/netfilter/xt_state.h.
            states(bytes.loadUnaligned(as: UInt32.self)) ?? .unknown
        case ("mark", 1) where bytes.count >= 9:
            // struct xt_mark_mtinfo1 in linux/netfilter/xt_mark.h: mark, mask, invert.
            inverted(
                bytes[8] != 0,
                .mark(
                    bytes.loadUnaligned(as: UInt32.self),
                    mask: bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
        default: .unknown
        }
    }

    /// struct xt_conntrack_mtinfo3 in linux/netfilter/xt_conntrack.h, whose beginning revision 2 shares.
    private static func conntrack(
        _ bytes: UnsafeRawBufferPointer, revision: UInt32
    ) -> ForeignRuleset.Condition {
        // Revision 1 has both masks in one byte each.
        guard revision >= 2, bytes.count >= 154 else { return .unknown }
        let flags = bytes.loadUnaligned(fromByteOffset: 146, as: UInt16.self)
        let inverts = bytes.loadUnaligned(fromByteOffset: 148, as: UInt16.self)
        let stateMask = bytes.loadUnaligned(fromByteOffset: 150, as: UInt16.self)
        let stateFlag: UInt16 = 1  // XT_CONNTRACK_STATE
        let aliasFlag: UInt16 = 1 << 13  // XT_CONNTRACK_STATE_ALIAS: it was written "-m state"
        guard flags & ~aliasFlag == stateFlag, let states = states(UInt32(stateMask)) else { return .unknown }
        return inverted(inverts & stateFlag != 0, states)
    }

    /// XT_CONNTRACK_STATE_* as conditions; the lower bits are those of nf_tables.
    private static func states(_ mask: UInt32) -> ForeignRuleset.Condition? {
        var conditions: [ForeignRuleset.Condition] = []
        let plain = mask & 0b1111  // INVALID, ESTABLISHED, RELATED, NEW
        if plain != 0 { conditions.append(.state(plain)) }
        // A packet that is on its way through the forward hook the first time is not translated yet; IPS_SRC_NAT, IPS_DST_NAT.
        if mask & 1 << 6 != 0 { conditions.append(.status(16)) }
        if mask & 1 << 7 != 0 { conditions.append(.status(32)) }
        // XT_CONNTRACK_STATE_UNTRACKED is none of a connection's packets.
        let known: UInt32 = 0b1111 | 1 << 6 | 1 << 7 | 1 << 8
        return mask & ~known == 0 ? .any(conditions) : nil
    }

    private static func inverted(
        _ isInverted: Bool, _ condition: ForeignRuleset.Condition
    ) -> ForeignRuleset.Condition {
        isInverted ? .not(condition) : condition
    }
}

/// A target of iptables'.
struct XtablesTarget {
    /// What it does with the packet.
    let effect: ForeignRuleset.Effect
    /// What it does with the packet's mark; absent where that stays.
    let markChange: ForeignRuleset.MarkChange?
    /// Whether it changes the MSS that a SYN announces.
    let clampsSegmentSize: Bool

    /// Reads a target.
    init(name: String, revision: UInt32, _ bytes: UnsafeRawBufferPointer) {
        clampsSegmentSize = name == "TCPMSS"
        switch name {
        case "REJECT": effect = .reject
        case "MASQUERADE": effect = .translate("masquerade")
        case "SNAT": effect = .translate("snat")
        case "NETMAP": effect = .translate("netmap")
        case "MARK", "LOG", "NFLOG", "TCPMSS", "CONNMARK", "TRACE", "SET", "CHECKSUM", "CLASSIFY", "DSCP",
            "TTL", "HL", "AUDIT", "TEE", "TCPOPTSTRIP":
            effect = .none
        default: effect = .unknown
        }
        switch (name, revision) {
        case ("MARK", 2) where bytes.count >= 8:
            // struct xt_mark_tginfo2 in linux/netfilter/xt_mark.h: mark, mask.
            let mark = bytes.loadUnaligned(as: UInt32.self)
            markChange = .init(keep: ~bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self), flip: mark)
        case ("CONNMARK", 1) where bytes.count >= 13:
            // struct xt_connmark_tginfo1 in linux/netfilter/xt_connmark.h: ctmark, ctmask, nfmask, mode.
            markChange = bytes[12] == Self.connmarkRestore ? .anything : nil
        case ("CONNMARK", 2) where bytes.count >= 15:
            // struct xt_connmark_tginfo2: a shift's direction and width stand before the mode.
            markChange = bytes[14] == Self.connmarkRestore ? .anything : nil
        case ("SET", 0...2): markChange = nil
        // SET with --map-mark, and whatever a target does that masqd does not know.
        case ("MARK", _), ("CONNMARK", _), ("SET", _): markChange = .anything
        default: markChange = effect == .unknown ? .anything : nil
        }
    }

    /// XT_CONNMARK_RESTORE in linux/netfilter/xt_connmark.h.
    private static let connmarkRestore: UInt8 = 2
}
