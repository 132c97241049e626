// SPDX-License-Identifier: GPL-3.0-or-later

import TestSupport

/// A file that changes at random, and always masquerades the client's networks behind ppp0.
struct SoakConfiguration {
    private var options: [String] = []
    private var forward: [String] = []
    private var more: [String] = []
    private var log: [String] = []
    /// With a second network the first one is in a set.
    private var network = ""

    /// What is in the file.
    var text: String {
        let lines = [
            "[[masquerade]]", "out_interface = \"ppp0\"",
            "source = [\"192.168.0.0/16\", \(network)\"fd00:1::/64\"]",
        ]
        return (lines + options + more + ["[forward]"] + forward + log).joined(separator: "\n") + "\n"
    }

    /// Says something else in one section.
    mutating func change(using random: inout SplitMix64) {
        switch random.next() % 6 {
        case 0:
            let some = ["ports = \"40000-49999\"", "random = \"random\"", "persistent = true"]
            options = some.filter { _ in Bool.random(using: &random) }
        case 1:
            options = ["exclude = [\"10.\(random.next() % 250).0.0/16\", \"fd00:8::/64\"]"]
        case 2:
            forward = random.next() % 2 == 0 ? [] : ["unsolicited = \"accept\""]
        case 3: network = network.isEmpty ? "\"100.64.0.0/10\", " : ""
        case 4:
            log =
                random.next() % 2 == 0 ? [] : ["[log]", "drops = \"nflog\"", "group = \(random.next() % 9)"]
        default:
            more = (0..<random.next() % 3).flatMap { index in
                [
                    "[[masquerade]]", "out_interface = [\"ppp0\", \"wan\(index)\", \"tun*\"]",
                    "source = \"10.\(100 + index).\(random.next() % 200).0/24\"",
                ]
            }
        }
    }
}
