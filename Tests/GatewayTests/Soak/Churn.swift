// SPDX-License-Identifier: GPL-3.0-or-later

import Synchronization
import TestSupport

/// New flows all the time, over TCP and UDP; that many fail while there is no way is no wonder.
final class Churn: Sendable {
    private final class State: Sendable {
        let isOver = Atomic(false)
        let record = Guarded((answered: 0, sources: Set<String>()))
    }

    private let state = State()
    private let threads: [BackgroundThread]

    init(in lan: NetworkNamespace) throws {
        let state = state
        threads = try Conversation.Transport.allCases.map { transport in
            try BackgroundThread {
                while !state.isOver.load(ordering: .relaxed) { Self.converse(transport, lan, state) }
            }
        }
    }

    deinit { stop() }

    /// How many questions were answered.
    var answered: Int { state.record.withLock { $0.answered } }

    /// Every source that the server has seen.
    var sources: Set<String> { state.record.withLock { $0.sources } }

    func stop() {
        state.isOver.store(true, ordering: .relaxed)
        threads.forEach { $0.join() }
    }

    private static func converse(
        _ transport: Conversation.Transport, _ lan: NetworkNamespace, _ state: State
    ) {
        let limit = Duration.milliseconds(20)
        do {
            let conversation = try Conversation(transport, from: lan, to: Gateway.server, limit: limit)
            for _ in 0..<3 {
                let source = try conversation.ask(limit: limit).address
                state.record.withLock {
                    $0.answered += 1
                    $0.sources.insert(source)
                }
            }
        } catch {
            return  // the next one may be luckier
        }
    }
}
