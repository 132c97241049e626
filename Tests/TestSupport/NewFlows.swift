// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import Synchronization

/// Begins a new UDP flow with every datagram, some thousand in a second, and listens to no answer.
public final class NewFlows: Sendable {
    private final class State: Sendable {
        let isOver = Atomic(false)
        let sent = Atomic(0)
    }

    private let state = State()
    private let thread: BackgroundThread

    /// Starts to send to every port of a server in turn.
    public init(in namespace: NetworkNamespace, to address: String) throws {
        let state = state
        let family = address.contains(":") ? AF_INET6 : AF_INET
        let socket = try namespace.run { () throws in try Socket(.udp, family: family) }
        thread = try BackgroundThread {
            var port: UInt16 = 1024
            while !state.isOver.load(ordering: .relaxed) {
                for _ in 0..<10 {
                    port = port == .max ? 1024 : port + 1
                    do {
                        try socket.send([0], to: Endpoint(address, port))
                        state.sent.wrappingAdd(1, ordering: .relaxed)
                    } catch {
                        // An ICMP error about an earlier one, or no way at this moment: it just goes on.
                    }
                }
                poll(nil, 0, 3)
            }
        }
    }

    deinit { stop() }

    /// How many have left the client.
    public var sent: Int { state.sent.load(ordering: .relaxed) }

    /// Ends it.
    public func stop() {
        state.isOver.store(true, ordering: .relaxed)
        thread.join()
    }
}
