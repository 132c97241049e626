// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// The sole owner of one libnetfilter_conntrack entry, on the way from a message to a ``Flow``.
struct FlowObject: ~Copyable {
    private let entry: OpaquePointer

    /// Reads the entry of a message of the kernel's; nothing where the library does not understand it.
    init?(parsing message: NetlinkMessage) {
        entry = allocated(nfct_new(), "a connection")
        guard let header = message.bytes.baseAddress?.assumingMemoryBound(to: nlmsghdr.self),
            nfct_nlmsg_parse(header, entry) == 0
        else { return nil }
    }

    deinit { nfct_destroy(entry) }

    /// The flow; nothing for a family other than IPv4 and IPv6.
    var flow: Flow? {
        guard let family = AddressFamily(rawValue: nfct_get_attr_u8(entry, ATTR_L3PROTO)) else { return nil }
        let isIPv4 = family == .ipv4
        guard let source = address(isIPv4 ? ATTR_ORIG_IPV4_SRC : ATTR_ORIG_IPV6_SRC, family),
            // The answer's addresses: the two translations are the difference to the question's.
            let destination = address(isIPv4 ? ATTR_REPL_IPV4_SRC : ATTR_REPL_IPV6_SRC, family),
            let translatedSource = address(isIPv4 ? ATTR_REPL_IPV4_DST : ATTR_REPL_IPV6_DST, family)
        else { return nil }
        var flow = Flow(
            source: source, destination: destination, translatedSource: translatedSource,
            transport: nfct_get_attr_u8(entry, ATTR_L4PROTO), sourcePort: port(ATTR_ORIG_PORT_SRC),
            destinationPort: port(ATTR_REPL_PORT_SRC))
        flow.mark = nfct_get_attr_u32(entry, ATTR_MARK)
        // The library's answer for what is not there is 0.
        flow.isInZone = [ATTR_ZONE, ATTR_ORIG_ZONE, ATTR_REPL_ZONE].contains {
            nfct_get_attr_u16(entry, $0) != 0
        }
        flow.isAnswered = nfct_get_attr_u32(entry, ATTR_STATUS) & UInt32(IPS_SEEN_REPLY.rawValue) != 0
        return flow
    }

    private func address(_ attribute: nf_conntrack_attr, _ family: AddressFamily) -> IPAddress? {
        guard let bytes = nfct_get_attr(entry, attribute) else { return nil }
        return IPAddress(networkOrder: UnsafeRawBufferPointer(start: bytes, count: family.byteCount))
    }

    private func port(_ attribute: nf_conntrack_attr) -> UInt16 {
        nfct_attr_is_set(entry, attribute) > 0 ? UInt16(bigEndian: nfct_get_attr_u16(entry, attribute)) : 0
    }
}
