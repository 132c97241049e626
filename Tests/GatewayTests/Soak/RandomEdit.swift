// SPDX-License-Identifier: GPL-3.0-or-later

import TestSupport

/// Something that somebody may type: a script for `nft -f`.
struct RandomEdit {
    let script: String

    /// An edit of masqd's table, of which this is the listing with handles.
    init(of listing: String, using random: inout SplitMix64) {
        var chains: [String] = []
        var sets: [String] = []
        var rules: [(chain: String, handle: Substring)] = []
        for line in listing.split(separator: "\n") {
            let words = line.split(separator: " ").map { $0.drop { $0 == "\t" } }
            guard words.count > 1 else { continue }
            if line.hasPrefix("\tchain ") {
                chains.append(String(words[1]))
            } else if line.hasPrefix("\tset ") || line.hasPrefix("\tmap ") {
                sets.append(String(words[1]))
            } else if line.hasPrefix("\t\t"), words[words.count - 2] == "handle", let chain = chains.last {
                rules.append((chain, words[words.count - 1]))
            }
        }
        let chain = chains.randomElement(using: &random) ?? "forward"
        let set = sets.randomElement(using: &random) ?? "outward"
        let rule = rules.randomElement(using: &random) ?? ("forward", "1")
        script =
            [
                "flush chain inet masqd \(chain)",
                "delete chain inet masqd \(chain)",
                "delete rule inet masqd \(rule.chain) handle \(rule.handle)",
                "insert rule inet masqd \(chain) accept",
                "add rule inet masqd \(chain) ip saddr 192.0.2.\(random.next() % 200) counter drop",
                "insert rule inet masqd \(chain) ip daddr { 192.0.2.1, 192.0.2.9 } log prefix \"x\" accept",
                "flush set inet masqd masquerade_1_source",
                "flush map inet masqd \(set)",
                "delete element inet masqd masquerade_1_source { 192.168.0.0/16 }",
                "add element inet masqd masquerade_1_source { 172.20.0.0/16 }",
                "add element inet masqd \(set) { \"eth9\" : drop }",
                "add chain inet masqd stray { type filter hook forward priority 10; policy drop; }",
                "add chain inet masqd stray_nat { type nat hook postrouting priority 90; }",
                "add chain inet masqd lonely\nadd rule inet masqd lonely drop",
                "add set inet masqd strange { type inet_service; elements = { 80, 443 }; }",
                "add counter inet masqd mine",
                "delete counter inet masqd spoofed",
                "flush table inet masqd",
                "add chain inet masqd forward { policy drop; }",
                "add table inet masqd { flags dormant; }",
                "delete table inet masqd\nadd table inet masqd\nadd chain inet masqd forward",
            ].randomElement(using: &random) ?? ""
    }

    /// An edit of somebody's own table, which may not be there yet.
    static func foreign(
        present: [String], using random: inout SplitMix64
    ) -> (table: String, script: String) {
        let names = ["ip masqd", "inet soak", "ip soak", "ip6 masqd", "inet other", "arp soak"]
        let table = (present + names).randomElement(using: &random) ?? "ip soak"
        let isNew = !present.contains(table)
        let hook = table.hasPrefix("arp") ? "input" : "forward"
        let scripts =
            isNew
            ? [
                "add table \(table)",
                """
                add table \(table)
                add chain \(table) mine { type filter hook \(hook) priority \(random.next() % 20); policy accept; }
                add rule \(table) mine counter accept
                """,
            ]
            : [
                "add chain \(table) mine { type filter hook \(hook) priority 0; policy accept; }",
                "add rule \(table) mine meta mark \(random.next() % 100) counter",
                "insert rule \(table) mine limit rate 10/second accept",
                "flush chain \(table) mine",
                "add set \(table) friends { type ifname; elements = { \"eth\(random.next() % 9)\" }; }",
                "add element \(table) friends { \"eth\(random.next() % 99)\" }",
                "delete table \(table)",
            ]
        return (table, scripts.randomElement(using: &random) ?? "add table \(table)")
    }
}
