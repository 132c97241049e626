// SPDX-License-Identifier: GPL-3.0-or-later

/// The own table against the one that the configuration asks for.
public struct TableComparison: Equatable, Sendable {
    /// Whether there is such a table at all.
    public var isThere: Bool
    /// What would make it equal; none where it is.
    public var changes: [Change]
    /// Why the kernel would not take the changes; absent where it would.
    public var refusal: CommitFailure?
    /// What the kernel lacks, and was left out of what the table is compared with.
    public var lacking: Set<KernelFeature> = []

    /// Makes a comparison.
    public init(isThere: Bool, changes: [Change], refusal: CommitFailure? = nil) {
        self.isThere = isThere
        self.changes = changes
        self.refusal = refusal
    }

    /// Compares the table with what a daemon would put in force: what the kernel lacks and the gateway can do without is
    /// left out.
    ///
    /// - Parameter compare: compares the table with a ruleset, and asks the kernel whether it would take the changes.
    public static func of<Failure>(
        _ configuration: Configuration, memory: KernelMemory, _ links: Links,
        _ defaults: DefaultRoutes = DefaultRoutes(),
        compare: (Ruleset) throws(Failure) -> TableComparison
    ) throws(Failure) -> TableComparison {
        var lacking: Set<KernelFeature> = []
        while true {
            var ruleset = Ruleset.desired(configuration, memory: memory, without: lacking)
            ruleset.follow(links, defaults)
            var comparison = try compare(ruleset)
            comparison.lacking = lacking
            guard let refusal = comparison.refusal, lacking.learn(from: refusal, for: configuration) else {
                return comparison
            }
        }
    }
}

extension TableComparison {
    /// Which objects are how: `chain forward differs, counter leak_guard is missing`.
    var summary: String {
        var states: [(object: String, state: State)] = []
        for change in changes {
            let (object, state) = change.judgement
            if let index = states.firstIndex(where: { $0.object == object }) {
                states[index].state = states[index].state.merged(with: state)
            } else {
                states.append((object, state))
            }
        }
        let shown = states.prefix(5).map { "\($0.object) \($0.state.rawValue)" }
        let more = states.count > shown.count ? ", and \(states.count - shown.count) more" : ""
        return shown.joined(separator: ", ") + more
    }

    fileprivate enum State: String {
        case missing = "is missing"
        case surplus = "should not be there"
        case differs

        /// An object that is deleted and made anew differs; what a new one is filled with is no difference.
        func merged(with other: State) -> State {
            switch (self, other) {
            case (.missing, .differs), (.differs, .missing), (.missing, .missing): .missing
            case (.surplus, .differs), (.differs, .surplus), (.surplus, .surplus): .surplus
            case (.differs, .differs), (.missing, .surplus), (.surplus, .missing): .differs
            }
        }
    }
}

extension Change {
    /// The object that a change is about, and what the change says about it.
    fileprivate var judgement: (String, TableComparison.State) {
        switch self {
        case .addTable: ("the table's state", .differs)
        case .deleteTable: ("\(self)", .surplus)
        case .addObject: ("\(self)", .missing)
        case .deleteObject: ("\(self)", .surplus)
        case .addFlowtable: ("\(self)", .missing)
        case .deleteFlowtable: ("\(self)", .surplus)
        case .addDevices(let flowtable, _, _), .deleteDevices(let flowtable, _, _):
            ("flowtable \(flowtable)", .differs)
        case .addSet: ("\(self)", .missing)
        case .deleteSet: ("\(self)", .surplus)
        case .flushSet(let set), .addElements(let set, _), .deleteElements(let set, _):
            ("set \(set)", .differs)
        case .addChain: ("\(self)", .missing)
        case .deleteChain: ("\(self)", .surplus)
        case .setPolicy(let chain, _), .flushChain(let chain), .addRule(let chain, _):
            ("chain \(chain)", .differs)
        }
    }
}
