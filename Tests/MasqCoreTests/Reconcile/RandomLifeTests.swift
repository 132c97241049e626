// SPDX-License-Identifier: GPL-3.0-or-later

import Testing

@Suite struct RandomLifeTests {
    @Test(
        "Whatever happens, once it is quiet all is as it should be, and nothing is left to do",
        arguments: 0..<4)
    func settles(worker: UInt64) {
        for seed in worker * 500..<(worker + 1) * 500 {
            var life = RandomLife(seed: seed)
            life.run()
            #expect(life.problems.isEmpty, "seed \(seed)")
        }
    }
}
