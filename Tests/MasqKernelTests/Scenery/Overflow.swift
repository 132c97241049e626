// SPDX-License-Identifier: GPL-3.0-or-later

import CNetfilter
import Glibc
import TestSupport

@testable import MasqKernel

extension NetlinkSocket {
    /// Makes the kernel lose answers: more than the smallest buffer holds, and nobody reads them.
    borrowing func overflow() throws { try overflowNetlink(descriptor) }
}

/// The same, for a netlink socket that only its descriptor is known of.
func overflowNetlink(_ descriptor: CInt) throws {
    var size: CInt = 1
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<CInt>.size))
    // NLMSG_NOOP, which asks for nothing, and an acknowledgement of it.
    var request = MessageWriter()
    request.beginMessage(type: 1, flags: UInt16(NLM_F_REQUEST) | UInt16(NLM_F_ACK), sequence: .max)
    request.endMessage()
    for _ in 0..<100 {
        guard send(descriptor, request.bytes.baseAddress, request.bytes.count, 0) == request.bytes.count
        else { throw Failure("send", code: errno) }
    }
}
