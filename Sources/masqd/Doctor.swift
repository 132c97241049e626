// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore
import MasqKernel

/// Looks at everything that a packet meets on its way, and changes nothing; what it means is the examination's.
struct Doctor {
    let source: Arguments.Source

    /// Where Debian's nftables.service loads its rules from at boot.
    private static let savedRulesetPath = "/etc/nftables.conf"

    /// Looks, prints what is so a line a step, and says how the process ends.
    func run() -> CInt {
        let reading = source.read()
        let examination = Examination(reading, from: source.origin, observe(reading.configuration))
        for finding in examination.findings { outputLines("\(finding)") }
        outputLines(examination.summary)
        if reading.configuration == nil { return Action.ExitStatus.configuration.rawValue }
        if examination.needsAction { return 1 }
        return examination.isIncomplete ? Action.ExitStatus.notPermitted.rawValue : 0
    }

    private func observe(_ configuration: Configuration?) -> Observations {
        var seen = Observations()
        seen.holder = .seen(NamespaceLock.currentHolder())
        seen.forwarding = observed { try Forwarding.read() }
        seen.links = observed {
            var routes = try RouteConnection()
            return try routes.links()
        }
        seen.routes = observed {
            var routes = try RouteConnection()
            return try routes.routes()
        }
        for link in seen.links.value?.byIndex.values.map(\.name) ?? [] {
            seen.linkSettings[link] = Sysctl.settings(ofLink: link)
        }
        seen.conntrack = observed { try Sysctl.conntrackLoad() }
        seen.savedRuleset = observed { try savedRuleset() }
        if let configuration { observe(configuration, &seen) }
        return seen
    }

    /// What can only be looked at with a configuration in mind.
    private func observe(_ configuration: Configuration, _ seen: inout Observations) {
        seen.segmentClamps = observed { try ClampReader.chains() }
        guard let links = seen.links.value else { return }
        var configuration = configuration
        if !configuration.uplinks.isEmpty {
            seen.routing = observed {
                var routing = try PolicyRouting()
                // The rules know the uplinks' numbers, and those the tables.
                configuration.keepNumbers(of: try routing.state(tables: []).rules)
                return try routing.state(tables: configuration.uplinks.map(\.routingTable))
            }
        }
        seen.table = observed {
            var table = try KernelTable()
            // Which switches masqd turned on, and whose chains, is for the table to remember and not for the file to say.
            let memory = try table.memory()
            let defaults = DefaultRoutes(seen.routes.value ?? [])
            return try TableComparison.of(configuration, memory: memory, links, defaults) {
                try table.rehearsal(of: $0)
            }
        }
        seen.foreign = observed {
            var reader = try ForeignReader()
            let audit = ForeignAudit(configuration, links)
            return audit.report(on: try reader.read(for: audit))
        }
        seen.listeners = observed { try ListenerReader.listeners() }
        guard let routes = seen.routes.value else { return }
        seen.ways = observed {
            var finder = try RouteFinder()
            var ways = Way.questions(configuration, links, routes)
            for index in ways.indices { ways[index].outputLink = try finder.outputLink(of: ways[index].flow) }
            return ways
        }
    }

    private func savedRuleset() throws(SystemError) -> SavedRuleset? {
        let path = Self.savedRulesetPath
        do {
            return SavedRuleset(path: path, text: try ConfigurationFile.text(path))
        } catch  where error.code == ENOENT {
            return nil
        }
    }

    private func observed<Value>(_ look: () throws -> Value) -> Observed<Value> {
        do {
            return .seen(try look())
        } catch let error as NetlinkError where error.commitFailure.kind == .notPermitted {
            return .unseen(why: "needs CAP_NET_ADMIN")
        } catch {
            return .unseen(why: "\(error)")
        }
    }
}

extension Arguments.Source {
    /// The same, as a configuration names it.
    fileprivate var origin: Configuration.Origin {
        switch self {
        case .file(let path): .file(path)
        case .commandLine: .commandLine
        }
    }
}
