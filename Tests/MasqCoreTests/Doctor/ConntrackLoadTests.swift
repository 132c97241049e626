// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

@Suite struct ConntrackLoadTests {
    @Test("Failures are the sum over all processors, found by the name of the column")
    func statistics() {
        let failures = ConntrackLoad.Failures(
            statistics: """
                entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error  expect_new expect_create expect_delete search_restart
                00000010  00000000 00000000 00000000 00000005 00000000 00000000 00000000 00000000 0000000a 00000001 00000002 00000000  00000000 00000000 00000000 00000000
                00000010  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000010 00000000 00000001 00000000  00000000 00000000 00000000 00000000

                """)
        #expect(failures == .init(drops: 1, failedInsertions: 26, earlyDrops: 3))
    }

    @Test("Other columns in another order do no harm; a text without them says nothing")
    func otherKernels() {
        #expect(
            ConntrackLoad.Failures(statistics: "early_drop drop new insert_failed\n1 2 3 4\n")
                == .init(drops: 2, failedInsertions: 4, earlyDrops: 1))
        #expect(
            ConntrackLoad.Failures(statistics: "early_drop drop insert_failed\n1 2\n")?.failedInsertions == 0)
        for text in ["", "entries\n", "entries\n1\n", "insert_failed drop early_drop\n"] {
            #expect(ConntrackLoad.Failures(statistics: text) == nil)
        }
    }
}
