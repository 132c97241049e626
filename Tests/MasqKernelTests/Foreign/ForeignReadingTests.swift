// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import MasqCore
import TestSupport
import Testing

@testable import MasqKernel

@Suite("Others' tables are read in pieces")
struct ForeignReadingTests {
    private static let table = """
        table inet t {
            chain a { ip saddr { 192.0.2.1, 192.0.2.2 } drop; drop; }
            chain c { type filter hook forward priority 0; jump a; }
        }

        """

    private func read(
        _ limits: ForeignReading.Limits, in namespace: NetworkNamespace
    ) throws -> ForeignRuleset {
        try namespace.run { () throws -> ForeignRuleset in
            var reader = try ForeignReader()
            reader.begin(for: nil, limits: limits)
            while true {
                if let (ruleset, _) = try reader.step() { return ruleset }
            }
        }
    }

    @Test("A chain with more rules than are kept is unknown, and so is a set with more elements")
    func limits() throws {
        let namespace = try NetworkNamespace()
        try namespace.nft(Self.table)
        let hook = try #require(try read(.init(), in: namespace).hooks.first)
        #expect(hook.chains["a"]?.first?.conditions.contains(.unknown) == false)
        let few = try #require(try read(.init(rules: 2), in: namespace).hooks.first)
        #expect(few.chains["a"] == nil && few.chains["c"]?.count == 1)
        for limits in [ForeignReading.Limits(elements: 1), .init(sets: 0)] {
            let short = try #require(try read(limits, in: namespace).hooks.first)
            #expect(short.chains["a"]?.first?.conditions.contains(.unknown) == true)
            #expect(short.chains["a"]?.count == 2)
        }
        #expect(try read(.init(hooks: 0), in: namespace).isComplete == false)
    }

    @Test("A commit between two pieces ends the reading, and another one can begin at once")
    func disturbance() throws {
        let namespace = try NetworkNamespace()
        try namespace.nft(Self.table)
        for pieces in 5...12 {
            try namespace.run { () throws in
                var reader = try ForeignReader()
                reader.begin(for: nil)
                for _ in 0..<pieces { _ = try reader.step() }
                try namespace.nft("add table ip noise\ndelete table ip noise\n")
                var code: CInt = 0
                do {
                    while try reader.step() == nil {}
                } catch let error as NetlinkError {
                    code = error.code
                }
                #expect(code == EINTR)
                #expect(try reader.read().hooks.count == 1)
            }
        }
    }

    @Test("A reading that is given up for another one leaves nothing behind")
    func givenUp() throws {
        let namespace = try NetworkNamespace()
        try namespace.nft(Self.table)
        try namespace.run { () throws in
            var reader = try ForeignReader()
            for pieces in 0...12 {
                reader.begin(for: nil)
                for _ in 0..<pieces { _ = try reader.step() }
            }
            #expect(try reader.read().hooks.first?.chains.count == 2)
        }
    }
}
