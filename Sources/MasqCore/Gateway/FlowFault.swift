// SPDX-License-Identifier: GPL-3.0-or-later

/// Why a connection goes.
public enum FlowFault: CaseIterable, Hashable, Sendable {
    /// Nothing translated it when it began.
    case untranslated
    /// It has an address that it should not have, or should have no more.
    case keptAddress
    /// `[clients]` refuses who began it.
    case clientRefused
    /// `[destinations]` refuses where it goes to.
    case destinationRefused
    /// It came in or left by an uplink that is lost.
    case uplinkLost
}

/// The connections that one walk has deleted, by why they went.
public struct DeletedFlows: Equatable, Sendable {
    private var counts: [FlowFault: Int] = [:]
    /// The first one of each kind.
    private var examples: [FlowFault: Flow] = [:]
    /// Those that look wrong, and were left alone.
    public var undecided = UndecidedFlows()

    /// None.
    public init() {}

    /// Takes in one more.
    public mutating func add(_ flow: Flow, _ fault: FlowFault) {
        counts[fault, default: 0] += 1
        if examples[fault] == nil { examples[fault] = flow }
    }

    /// How many there are of some kinds.
    public func count(_ faults: FlowFault...) -> Int { faults.reduce(0) { $0 + (counts[$1] ?? 0) } }

    /// How many there are to be translated anew.
    public var mistranslated: Int { count(.untranslated, .keptAddress) }

    /// What is to be said of them, a line for each cause; of a lost uplink's connections its loss says enough.
    var lines: [String] {
        var lines: [String] = []
        if let flow = examples[.untranslated] {
            lines.append(line(mistranslated, "to be translated anew", "\(flow) was untranslated"))
        } else if let flow = examples[.keptAddress] {
            let example = "\(flow) kept the address \(flow.translatedSource)"
            lines.append(line(mistranslated, "to be translated anew", example))
        }
        for (fault, table) in [
            (FlowFault.clientRefused, "[clients]"), (.destinationRefused, "[destinations]"),
        ] {
            guard let flow = examples[fault] else { continue }
            lines.append(line(count(fault), "which \(table) refuses", "\(flow)"))
        }
        let lost = count(.uplinkLost)
        if lost > 0 { lines.append("\(Self.connections(lost)) of lost uplinks deleted") }
        return lines
    }

    private func line(_ count: Int, _ why: String, _ example: String) -> String {
        "\(Self.connections(count)) deleted, \(why): \(example)"
    }

    private static func connections(_ count: Int) -> String {
        count == 1 ? "1 connection" : "\(count) connections"
    }
}
