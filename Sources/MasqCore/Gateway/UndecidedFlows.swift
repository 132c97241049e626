// SPDX-License-Identifier: GPL-3.0-or-later

/// The connections that one walk has left alone although they look wrong: their route is not certain.
public struct UndecidedFlows: Equatable, Sendable {
    /// How many there are.
    public private(set) var count = 0
    /// The first one, and why.
    public private(set) var example: Example?

    /// A connection, and why it was left alone.
    public struct Example: Equatable, Sendable {
        /// The connection.
        public var flow: Flow
        /// The cause.
        public var doubt: Doubt
    }

    /// None.
    public init() {}

    /// Takes in one more.
    public mutating func add(_ flow: Flow, _ doubt: Doubt) {
        count += 1
        if example == nil { example = Example(flow: flow, doubt: doubt) }
    }

    /// What is said of them; nothing where there are none.
    var line: String? {
        guard let example else { return nil }
        let connections = count == 1 ? "1 connection" : "\(count) connections"
        let translation =
            example.flow.translatedSource == example.flow.source
            ? "untranslated" : "with the address \(example.flow.translatedSource)"
        return
            "\(connections) left alone, since their route is not certain: \(example.flow) is \(translation); "
            + "cause: \(example.doubt)"
    }
}
