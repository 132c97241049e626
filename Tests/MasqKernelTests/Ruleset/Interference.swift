// SPDX-License-Identifier: GPL-3.0-or-later

import Testing

/// Something that somebody does to masqd's table while the rich golden ruleset is in force.
struct Interference: CustomTestStringConvertible, Sendable {
    let name: String
    /// For `nft -f`; a line of three dashes ends a transaction.
    let script: String
    /// How many batches mend it: more than one where the kernel, or a packet, does not take all at once.
    let batches: UInt32
    /// The beginning of the listing's objects that mending has to touch; the handles of all others stay.
    let touches: [String]

    var testDescription: String { name }

    init(_ name: String, touches: String..., batches: UInt32 = 1, script: String) {
        self.batches = batches
        self.name = name
        self.touches = touches
        self.script = script
    }

    static let withRules = [
        Interference(
            "a rule added", touches: "chain forward",
            script: "add rule inet masqd forward ip saddr 198.51.100.7 drop"),
        Interference(
            "a rule inserted", touches: "chain guard", script: "insert rule inet masqd guard accept"),
        Interference(
            "a rule with an anonymous set", touches: "chain forward",
            script: "insert rule inet masqd forward ip saddr { 198.51.100.7, 198.51.100.9 } drop"),
        Interference(
            "a rule with an anonymous verdict map", touches: "chain forward",
            script:
                "insert rule inet masqd forward ip saddr vmap { 198.51.100.7 : drop, 192.0.2.1 : jump guard }"
        ),
        Interference(
            "a rule with an anonymous counter, limit and log", touches: "chain output",
            script: "add rule inet masqd output limit rate 5/second counter log prefix \"x\" accept"),
        Interference(
            "every rule of a chain deleted", touches: "chain translate_ppp0",
            script: "flush chain inet masqd translate_ppp0"),
        Interference(
            "a chain refilled with something else", touches: "chain postrouting",
            script: """
                flush chain inet masqd postrouting
                add rule inet masqd postrouting masquerade
                """),
        Interference(
            "every rule of the table deleted", touches: "chain", script: "flush table inet masqd"),
    ]

    static let withChains = [
        Interference(
            "a chain added", touches: "chain mine",
            script: "add chain inet masqd mine\nadd rule inet masqd mine drop"),
        Interference(
            "a base chain added", touches: "chain mine",
            script: "add chain inet masqd mine { type filter hook forward priority 10; policy drop; }"),
        Interference(
            "chains added that jump to each other", touches: "chain one", "chain two", "chain forward",
            script: """
                add chain inet masqd two
                add chain inet masqd one
                add rule inet masqd one jump two
                add rule inet masqd two jump guard
                insert rule inet masqd forward jump one
                """),
        Interference(
            "a base chain deleted", touches: "chain output",
            script: "flush chain inet masqd output\ndelete chain inet masqd output"),
        Interference(
            "a policy changed", touches: "chain forward",
            script: "add chain inet masqd forward { policy drop; }"),
        Interference(
            "a base chain with another priority", touches: "chain forward",
            script: """
                flush chain inet masqd forward
                delete chain inet masqd forward
                add chain inet masqd forward { type filter hook forward priority 5; policy accept; }
                """),
        Interference(
            "a base chain with another type and hook", touches: "chain postrouting",
            script: """
                flush chain inet masqd postrouting
                delete chain inet masqd postrouting
                add chain inet masqd postrouting { type filter hook input priority 0; policy drop; }
                add rule inet masqd postrouting accept
                """),
        Interference(
            "a base chain that became an ordinary one", touches: "chain forward", "chain mine",
            script: """
                flush chain inet masqd forward
                delete chain inet masqd forward
                add chain inet masqd forward
                add chain inet masqd mine
                add rule inet masqd mine jump forward
                """),
        Interference(
            "an ordinary chain that became a base chain", touches: "chain outward_", "chain own_",
            "chain guard",
            script: """
                flush chain inet masqd outward_ppp0
                flush chain inet masqd outward_eth1
                flush chain inet masqd own_ppp0
                flush chain inet masqd own_eth1
                flush chain inet masqd guard
                delete chain inet masqd guard
                add chain inet masqd guard { type filter hook input priority 0; policy drop; }
                """),
        Interference(
            "the table made dormant", touches: "table",
            script: "add table inet masqd { flags dormant; }"),
        Interference(
            "the table made dormant, and a base chain replaced", touches: "table", "chain forward",
            batches: 2,
            script: """
                add table inet masqd { flags dormant; }
                ---
                flush chain inet masqd forward
                delete chain inet masqd forward
                add chain inet masqd forward { type filter hook forward priority 5; policy drop; }
                """),
    ]

    static let withSets = [
        Interference(
            "an element added", touches: "set masquerade_1_source",
            script: "add element inet masqd masquerade_1_source { 198.51.100.0/24 }"),
        Interference(
            "an element deleted", touches: "set masquerade_2_source",
            script: "delete element inet masqd masquerade_2_source { 10.0.0.0/8 }"),
        Interference(
            "an element with a comment", touches: "set masquerade_2_exclude",
            script: "add element inet masqd masquerade_2_exclude { 198.51.100.0/24 comment \"x\" }"),
        Interference(
            "an IPv6 element replaced", touches: "set masquerade_2_source_ipv6",
            script: """
                delete element inet masqd masquerade_2_source_ipv6 { fd00::/8 }
                add element inet masqd masquerade_2_source_ipv6 { fd00::/9 }
                """),
        Interference(
            "an interface added", touches: "set masquerade_1_interfaces",
            script: "add element inet masqd masquerade_1_interfaces { \"lan0\" }"),
        Interference(
            "a map's element deleted", touches: "map outward",
            script: "delete element inet masqd outward { \"ppp0\" }"),
        Interference(
            "a map's element added", touches: "map translate",
            script: "add element inet masqd translate { \"lan0\" : jump translate_eth1 }"),
        Interference(
            "a map's element that leads elsewhere", touches: "map inward",
            script: """
                delete element inet masqd inward { "ppp0", "eth1" }
                add element inet masqd inward { "ppp0" : drop, "eth1" : goto inward_ppp0 }
                """),
        Interference(
            "a map's element that goes to the right chain and does not come back", touches: "map inward",
            script: """
                delete element inet masqd inward { "eth1" }
                add element inet masqd inward { "eth1" : goto inward_eth1 }
                """),
        Interference(
            "a map's element that leads to a chain of somebody's", touches: "map outward", "chain mine",
            script: """
                add chain inet masqd mine
                delete element inet masqd outward { "ppp0" }
                add element inet masqd outward { "ppp0" : jump mine }
                """),
        Interference(
            "a map's element for every other name", touches: "map outward",
            script: "add element inet masqd outward { * : jump guard }"),
        Interference(
            "an element for every other name, and a chain emptied", touches: "set uplinks", "chain forward",
            script: """
                add element inet masqd uplinks { * }
                flush chain inet masqd forward
                """),
        Interference(
            "a set emptied", touches: "set masquerade_1_source",
            script: "flush set inet masqd masquerade_1_source"),
        Interference(
            "sets and maps added", touches: "set mine", "map mine", "chain mine",
            // The map to a chain, and the chain, go after the rules.
            batches: 2,
            script: """
                add set inet masqd mine { type inet_service; flags interval; elements = { 1-5 }; }
                add set inet masqd mine_too { type ipv4_addr . inet_service; flags interval,timeout; }
                add chain inet masqd mine { ip saddr . tcp dport @mine_too accept; }
                add map inet masqd mine_map { type ipv4_addr : verdict; elements = { 192.0.2.1 : jump mine }; }
                """),
        Interference(
            "a set of another type", touches: "set masquerade_1_source", "chain",
            script: replacing("set", "masquerade_1_source", with: "type ipv6_addr; flags interval;")),
        Interference(
            "a set with other flags", touches: "set masquerade_1_source", "chain",
            script: replacing("set", "masquerade_1_source", with: "type ipv4_addr; flags interval, timeout;")),
        Interference(
            "a set with room for one", touches: "set masquerade_2_interfaces", "chain",
            script: replacing("set", "masquerade_2_interfaces", with: "type ifname; size 1;")),
        Interference(
            "a map that became a set", touches: "map translate", "set translate", "chain",
            script: replacing("map", "translate", with: "type ifname;", setKeyword: "set")),
        Interference(
            "a map to something else", touches: "map translate", "chain",
            script: replacing("map", "translate", with: "type ifname : ipv4_addr;")),
    ]

    static let withObjects = [
        Interference("a counter added", touches: "counter mine", script: "add counter inet masqd mine"),
        Interference(
            "objects of other kinds added", touches: "quota", "limit", "map mine",
            script: """
                add quota inet masqd masquerade_1 { over 1 mbytes; }
                add limit inet masqd mine { rate 5/second; }
                add map inet masqd mine { type ipv4_addr : quota; elements = { 192.0.2.1 : "masquerade_1" }; }
                """),
        Interference(
            "the leak alarm made anew with a quota that never rings", touches: "quota leak_alarm", "chain",
            script: """
                flush table inet masqd
                delete quota inet masqd leak_alarm
                add quota inet masqd leak_alarm { over 1 mbytes; }
                """),
        Interference(
            "a counter deleted", touches: "counter unsolicited", "chain unsolicited",
            script: """
                flush chain inet masqd unsolicited
                delete counter inet masqd unsolicited
                """),
    ]

    /// A set can only be replaced where no rule refers to it.
    static func replacing(
        _ keyword: String, _ name: String, with body: String, setKeyword: String? = nil
    ) -> String {
        """
        flush table inet masqd
        delete \(keyword) inet masqd \(name)
        add \(setKeyword ?? keyword) inet masqd \(name) { \(body) }
        """
    }

    static let all = withRules + withChains + withSets + withObjects
}
