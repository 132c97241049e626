// SPDX-License-Identifier: GPL-3.0-or-later

import MasqCore
import Testing

@Suite struct SavedRulesetTests {
    private func copies(_ text: String) -> [ClosedRange<Int>] {
        SavedRuleset(path: "/etc/nftables.conf", text: text).copies
    }

    @Test("A copy is found with the line that it begins on and the one that it ends on")
    func found() {
        #expect(
            copies(
                """
                #!/usr/sbin/nft -f
                flush ruleset
                table inet filter {
                    chain forward { type filter hook forward priority filter; }
                }
                table inet masqd {
                    counter leak_guard { packets 0 bytes 0 }
                    chain guard {
                        ct state invalid drop comment "}"  # }
                    }
                }
                table ip nat { }
                """) == [6...11])
        #expect(copies("table inet masqd { }\ntable\tinet   masqd\n{\n}\n") == [1...1, 2...4])
        #expect(copies("add table inet masqd; table inet masqd {\n}") == [1...2])
    }

    @Test("What only looks like a copy is none")
    func notFound() {
        for text in [
            "", "# table inet masqd {\n# }\n", "delete table inet masqd\n", "flush table inet masqd\n",
            "table ip masqd { }", "table inet masqd2 { }",
            "table inet filter { chain c { comment \"table inet masqd {\" } }",
            "define masqd = { table, inet, masqd }", "table inet filter { chain inet masqd { } }",
        ] {
            #expect(copies(text) == [], "\(text)")
        }
    }

    @Test("A copy that is never closed ends with the file")
    func open() {
        #expect(copies("\ntable inet masqd {\n  chain a {\n}\n") == [2...5])
        #expect(copies("}}}\ntable inet masqd {\n}") == [2...3])
    }
}
