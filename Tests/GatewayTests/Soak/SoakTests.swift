// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport
import Testing

@Suite("Whatever others do")
struct SoakTests {
    /// A number from the environment, which `make soak` sets.
    private static func setting(_ name: String, or standard: UInt64) -> UInt64 {
        getenv(name).flatMap { UInt64(String(cString: $0)) } ?? standard
    }

    @Test("Random edits, flaps and reloads under traffic: everything is as it should be after each of them")
    func soak() throws {
        let steps = Int(Self.setting("MASQD_SOAK_STEPS", or: 40))
        let seed = Self.setting("MASQD_SOAK_SEED", or: 20_261_121)
        let soak = try Soak(seed: seed)
        print("soak: \(steps) steps, seed \(seed)")
        // The first steps are for the memory that a daemon grows to once.
        let warmUp = min(steps / 4, 100)
        for _ in 0..<warmUp { try soak.step() }
        let memory = try soak.masqd.processStatus("RssAnon")
        for _ in warmUp..<steps { try soak.step() }
        try soak.settle()
        print(
            "soak: \(soak.summary); RssAnon \(memory) kB, then \(try soak.masqd.processStatus("RssAnon")) kB")
        #expect(soak.leaksElsewhere == 0, "private packets that no deed of others' let out")
        #expect(soak.strangeSources == [])
        #expect(try soak.masqd.isRunning)
        if steps >= 400 {
            #expect(try soak.masqd.processStatus("RssAnon") <= memory + 512, "memory grows")
        }
    }
}
