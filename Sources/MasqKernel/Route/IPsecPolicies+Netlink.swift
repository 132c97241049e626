// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import MasqCore

/// The socket that IPsec policies are listed by, open for the daemon's life; none where the kernel has no IPsec.
struct IPsecConnection: ~Copyable {
    private var conversation: NetlinkConversation?

    /// Opens the socket in the calling thread's network namespace.
    ///
    /// - Throws: ``NetlinkError``.
    init() throws(NetlinkError) {
        do throws(NetlinkError) {
            conversation = try NetlinkConversation(bus: NETLINK_XFRM, name: "IPsec")
        } catch  where error.code == EPROTONOSUPPORT {
            conversation = nil
        }
    }

    /// Lists the policies for what leaves the machine.
    ///
    /// - Throws: ``NetlinkError``; a listing that was disturbed is repeated first.
    mutating func policies() throws(NetlinkError) -> IPsecPolicies {
        try retrying { () throws(NetlinkError) in
            var policies: [IPsecPolicies.Policy] = []
            try conversation?.ask("IPsec policies", Self.writeQuestion) {
                if let policy = IPsecPolicies.Policy($0) { policies.append(policy) }
            }
            return IPsecPolicies(policies)
        }
    }

    private static func writeQuestion(to request: inout MessageWriter, _ sequence: UInt32) {
        let flags = UInt16(NLM_F_REQUEST) | UInt16(NLM_F_DUMP)
        request.beginMessage(type: UInt16(XFRM_MSG_GETPOLICY), flags: flags, sequence: sequence)
        // struct xfrm_userpolicy_id, of which a listing looks at nothing.
        request.append(padding: [UInt8](repeating: 0, count: 64))
    }
}

extension IPsecPolicies.Policy {
    /// Reads a policy of a listing (XFRM_MSG_NEWPOLICY); nothing where it is not about what leaves the machine.
    init?(_ message: NetlinkMessage) {
        // struct xfrm_userpolicy_info: a selector of 56 bytes, lifetimes of 64 and 32, priority 4, index 4, direction 1,
        // action 1, and padding to 168. The selector: destination 16, source 16, two ports with a mask each, family 2,
        // prefix lengths of destination and source, protocol 1.
        let payload = message.payload
        guard message.type == UInt16(XFRM_MSG_NEWPOLICY), payload.count >= 168,
            payload[160] == UInt8(XFRM_POLICY_OUT),
            let family = AddressFamily(rawValue: UInt8(truncatingIfNeeded: payload.number16(40))),
            let destination = payload.network(at: 0, family, prefixLength: payload[42]),
            let source = payload.network(at: 16, family, prefixLength: payload[43])
        else { return nil }
        var hasTemplate = false
        for attribute in message.attributes(after: 168) {
            switch UInt32(attribute.type) {
            case XFRMA_TMPL.rawValue: hasTemplate = true
            // Only for what is routed to an xfrm interface.
            case XFRMA_IF_ID.rawValue where attribute.native32 != 0: return nil
            default: break
            }
        }
        self.init(from: source, to: destination)
        transport = payload[44]
        destinationPort = Port(
            UInt16(bigEndian: payload.number16(32)), mask: UInt16(bigEndian: payload.number16(34)))
        sourcePort = Port(
            UInt16(bigEndian: payload.number16(36)), mask: UInt16(bigEndian: payload.number16(38)))
        priority = payload.loadUnaligned(fromByteOffset: 152, as: UInt32.self)
        isProtecting = hasTemplate && payload[161] == UInt8(XFRM_POLICY_ALLOW)
    }
}

extension UnsafeRawBufferPointer {
    fileprivate func number16(_ offset: Int) -> UInt16 {
        loadUnaligned(fromByteOffset: offset, as: UInt16.self)
    }

    fileprivate func network(at offset: Int, _ family: AddressFamily, prefixLength: UInt8) -> IPNetwork? {
        let bytes = UnsafeRawBufferPointer(rebasing: self[offset..<offset + family.byteCount])
        guard Int(prefixLength) <= family.bitCount, let address = IPAddress(networkOrder: bytes) else {
            return nil
        }
        return IPNetwork(containing: address, prefixLength: Int(prefixLength))
    }
}
