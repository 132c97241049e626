// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import Synchronization

/// New connections and flows from the private network to the server outside, all the time.
public final class Traffic: Sendable {
    /// What happened to the connections so far.
    public struct Record: Sendable {
        /// Connections and flows that got their answer, with the expected source.
        public var answered = 0
        /// One sentence for every other.
        public var failures: [String] = []
    }

    private final class State: Sendable {
        let isOver = Atomic(false)
        let record = Guarded(Record())
    }

    private let state = State()
    private let threads: [BackgroundThread]

    /// Starts a thread with TCP connections and one with UDP flows; both expect to be seen as `source`.
    public init(through gateway: Gateway, seenAs source: String) throws {
        let state = state
        let lan = gateway.lan
        threads = try Conversation.Transport.allCases.map { transport in
            try BackgroundThread {
                while !state.isOver.load(ordering: .relaxed) {
                    Self.converse(transport, from: lan, seenAs: source, state)
                }
            }
        }
    }

    deinit { _ = stop() }

    /// Waits until `count` more connections have been answered, so that they certainly ran beside something.
    public func waitForProgress(_ count: Int = 50, limit: Duration = .seconds(20)) throws {
        let start = state.record.withLock { $0.answered }
        try eventually("\(count) connections more", within: limit) {
            state.record.withLock { $0.answered } >= start + count
        }
    }

    /// Ends the traffic after the connections under way, and tells what happened.
    public func stop() -> Record {
        state.isOver.store(true, ordering: .relaxed)
        threads.forEach { $0.join() }
        return state.record.withLock { $0 }
    }

    /// One connection with two questions, so that an established one is seen too.
    private static func converse(
        _ transport: Conversation.Transport, from lan: NetworkNamespace, seenAs source: String, _ state: State
    ) {
        do {
            let conversation = try Conversation(transport, from: lan, to: Gateway.server)
            let answers = [try conversation.ask(), try conversation.ask()].map(\.address)
            state.record.withLock {
                if answers == [source, source] {
                    $0.answered += 1
                } else {
                    $0.failures.append("\(transport) was seen as \(answers)")
                }
            }
        } catch {
            state.record.withLock { $0.failures.append("\(transport): \(error)") }
        }
    }
}
