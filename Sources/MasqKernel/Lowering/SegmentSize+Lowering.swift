// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import MasqCore

extension Rule.SegmentSize {
    func lower(into rule: borrowing RuleObject) {
        switch self {
        case .pathMTU:
            // tcp option maxseg size set rt mtu: in the machine's order, so it is turned round
            rule.add("rt") {
                $0.set(NFTNL_EXPR_RT_KEY, NFT_RT_TCPMSS.rawValue)
                $0.set(NFTNL_EXPR_RT_DREG, NFT_REG_1.rawValue)
            }
            rule.add("byteorder") {
                $0.set(NFTNL_EXPR_BYTEORDER_SREG, NFT_REG_1.rawValue)
                $0.set(NFTNL_EXPR_BYTEORDER_DREG, NFT_REG_1.rawValue)
                $0.set(NFTNL_EXPR_BYTEORDER_OP, NFT_BYTEORDER_HTON.rawValue)
                $0.set(NFTNL_EXPR_BYTEORDER_LEN, 2)
                $0.set(NFTNL_EXPR_BYTEORDER_SIZE, 2)
            }
        case .fixed(let size):
            // tcp option maxseg size set 1452
            rule.load([UInt8(size >> 8), UInt8(size & 0xff)], into: NFT_REG_1)
        }
        // Option 2 (TCPOPT_MAXSEG): kind, length, and the size in two bytes (RFC 9293, 3.2).
        rule.add("exthdr") {
            $0.set(NFTNL_EXPR_EXTHDR_SREG, NFT_REG_1.rawValue)
            $0.set8(NFTNL_EXPR_EXTHDR_TYPE, 2)
            $0.set(NFTNL_EXPR_EXTHDR_OFFSET, 2)
            $0.set(NFTNL_EXPR_EXTHDR_LEN, 2)
            $0.set(NFTNL_EXPR_EXTHDR_OP, NFT_EXTHDR_OP_TCPOPT.rawValue)
        }
    }
}
