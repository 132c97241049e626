// SPDX-License-Identifier: GPL-3.0-or-later

import TestSupport

@testable import MasqCore
@testable import MasqKernel

extension NetworkNamespace {
    /// A table as the daemon has it, in this namespace.
    func kernelTable() throws -> KernelTable { try run { try KernelTable() } }

    /// A connection beside the table's own.
    func connection() throws -> NftablesConnection { try run { try NftablesConnection() } }

    /// How often anybody has committed.
    func generation() throws -> UInt32 {
        var connection = try connection()
        return try connection.generation()
    }

    /// What is in the kernel, as masqd reads it.
    func snapshot() throws -> Snapshot {
        var connection = try connection()
        return try connection.snapshot().snapshot
    }

    /// The rules' bytecode as `nft` decodes it, without handles and comments.
    func bytecode() throws -> [String: [String]] {
        let output = try Command("nft", "--debug=netlink", "list", "table", "inet", "masqd").run(in: self)
        var bytecode: [String: [String]] = [:]
        var chain = ""
        for line in try output.expectSuccess().standardOutput.split(separator: "\n") {
            let words = line.split(separator: " ")
            if line.hasPrefix("inet masqd"), words.count >= 4 {
                chain = String(words[2])
                bytecode[chain, default: []].append("rule")
            } else if line.hasPrefix("  [") {
                bytecode[chain, default: []].append(String(line))
            } else if line.hasPrefix("table") {
                break
            }
        }
        return bytecode
    }
}

extension Ruleset {
    /// The ruleset of one `[[masquerade]]` behind ppp0, where also sets of one element are sets.
    static func behindPPP0(_ source: [IPNetwork]) -> Ruleset {
        let block = OutboundBlock(line: 2, outInterfaces: [.name("ppp0")], source: source)
        let configuration = Configuration(origin: .file("masqd.toml"), outbound: [block])
        return RulesetBuilder(configuration, memory: [], lacking: []).build()
    }
}
