// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import Synchronization

/// A client that sends a datagram from one port every few milliseconds, whatever happens, as a SIP phone does.
///
/// Its conntrack entry never times out, so that only a repair can make a wrong one right.
public final class Phone: Sendable {
    private final class State: Sendable {
        let isOver = Atomic(false)
        let seen = Guarded<String?>(nil)
    }

    private let state = State()
    private let thread: BackgroundThread

    /// Begins to send to an ``AddressServer``.
    public init(in namespace: NetworkNamespace, to server: Endpoint = Gateway.server) throws {
        let conversation = try Conversation(.udp, from: namespace, to: server)
        let state = state
        thread = try BackgroundThread {
            while !state.isOver.load(ordering: .relaxed) {
                do {
                    let seen = try conversation.ask(limit: .milliseconds(5)).address
                    state.seen.withLock { $0 = seen }
                    poll(nil, 0, 5)
                } catch {
                    // Lost, or an ICMP error because there is no way at this moment: it just goes on.
                    poll(nil, 0, 1)
                }
            }
        }
    }

    deinit { stop() }

    /// Ends it.
    public func stop() {
        state.isOver.store(true, ordering: .relaxed)
        thread.join()
    }

    /// Waits until the server has seen the phone as `source`, after this call.
    public func waitUntilSeen(as source: String, limit: Duration = .seconds(10)) throws {
        forget()
        var last: String?
        do {
            try eventually("the phone is seen as \(source)", within: limit) {
                last = state.seen.withLock { $0 } ?? last
                return last == source
            }
        } catch {
            throw Failure("\(error); it was seen as \(last ?? "nothing at all")")
        }
    }

    /// Whether it falls silent: nothing is answered for a tenth of a second, once what was under way has arrived.
    public func isSilent() -> Bool {
        for _ in 0..<50 {
            forget()
            poll(nil, 0, 100)
            if state.seen.withLock({ $0 }) == nil { return true }
        }
        return false
    }

    private func forget() { state.seen.withLock { $0 = nil } }
}
