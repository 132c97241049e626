// SPDX-License-Identifier: GPL-3.0-or-later

/// Which uplinks get answers from beyond, as their probes tell.
///
/// One round after the other: every target is asked once through its uplink, and the round counts as answered if any
/// of them answers before the next one. So many rounds in a row, as `probe_failures` says, turn the judgement.
struct UplinkProbes: Sendable {
    private var rounds: [Int: Rounds] = [:]
    private var isRunning = false
    /// Why nobody could be asked through an interface, as it was told last.
    private var failures: [InterfaceName: String] = [:]

    /// One uplink's rounds.
    fileprivate struct Rounds: Sendable {
        let interface: InterfaceName
        /// The link is there; without it there is nothing to ask through.
        var isPossible = false
        var isUnanswered = false
        var isAsked = false
        var hasAnswer = false
        /// Rounds in a row that speak against the present judgement.
        var opposing = 0
    }

    /// The numbers of uplinks that get no answer.
    var unanswered: Set<Int> { Set(rounds.lazy.filter(\.value.isUnanswered).map(\.key)) }

    /// Keeps the judgement of uplinks that are still probed.
    mutating func load(_ configuration: Configuration) {
        var kept: [Int: Rounds] = [:]
        for uplink in configuration.uplinks where !uplink.probe.isEmpty {
            let old = rounds.values.first { $0.interface == uplink.interface }
            kept[uplink.number] = old ?? Rounds(interface: uplink.interface)
        }
        rounds = kept
        failures = [:]
    }

    /// Begins to probe what can be probed, and forgets what was known of a link that is not there.
    mutating func look(at conditions: [UplinkCondition], _ configuration: Configuration) -> [Action] {
        for (uplink, condition) in zip(configuration.uplinks, conditions) where rounds[uplink.number] != nil {
            if condition == .usable || condition == .unanswered {
                rounds[uplink.number]?.isPossible = true
            } else {
                rounds[uplink.number] = Rounds(interface: uplink.interface)
            }
        }
        guard !isRunning, rounds.values.contains(where: \.isPossible) else { return [] }
        isRunning = true
        return [.startProbeTimer(milliseconds: Self.firstRoundMilliseconds)]
    }

    /// A link that has just come up has routes a moment later.
    private static let firstRoundMilliseconds = 100

    mutating func answered(_ interface: InterfaceName) {
        for number in rounds.keys where rounds[number]?.interface == interface {
            rounds[number]?.hasAnswer = true
        }
    }

    /// Nobody was asked: the round says nothing. Says whether that is news.
    mutating func failed(_ interface: InterfaceName, _ reason: String) -> Bool {
        for number in rounds.keys where rounds[number]?.interface == interface {
            rounds[number]?.isAsked = false
        }
        defer { failures[interface] = reason }
        return failures[interface] != reason
    }

    /// Judges the round that is over, and begins the next.
    mutating func roundEnded(_ configuration: Configuration) -> (isNews: Bool, actions: [Action]) {
        guard isRunning else { return (false, []) }
        let before = unanswered
        for number in rounds.keys { rounds[number]?.end(limit: configuration.policyRouting.probeFailures) }
        let probes = configuration.uplinks.filter { rounds[$0.number]?.isPossible == true }.map { uplink in
            Probe(
                interface: uplink.interface, mark: configuration.policyRouting.marks.mark(uplink.number),
                targets: uplink.probe)
        }
        guard !probes.isEmpty else {
            isRunning = false
            return (before != unanswered, [])
        }
        return (
            before != unanswered,
            [
                .sendProbes(probes),
                .startProbeTimer(milliseconds: configuration.policyRouting.probeInterval * 1000),
            ]
        )
    }
}

extension UplinkProbes.Rounds {
    /// The round is over, and the next begins.
    fileprivate mutating func end(limit: Int) {
        defer { (isAsked, hasAnswer) = (isPossible, false) }
        guard isAsked else { return }
        opposing = hasAnswer == isUnanswered ? opposing + 1 : 0
        if opposing >= limit {
            isUnanswered.toggle()
            opposing = 0
        }
    }
}

/// One round's questions through one uplink.
public struct Probe: Hashable, Sendable {
    /// The interface that they leave by.
    public var interface: InterfaceName
    /// The mark that routes them by it.
    public var mark: UInt32
    /// Whom to ask.
    public var targets: [SocketAddress]

    /// Makes a round's questions.
    public init(interface: InterfaceName, mark: UInt32, targets: [SocketAddress]) {
        self.interface = interface
        self.mark = mark
        self.targets = targets
    }
}
