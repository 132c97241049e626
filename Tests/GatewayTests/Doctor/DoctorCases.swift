// SPDX-License-Identifier: GPL-3.0-or-later

import Glibc
import TestSupport
import Testing

extension DoctorTests.Case {
    static let all: [Self] = [
        Self(
            "ip_forward is 0", with: "[gateway]\nip_forward = \"ignore\"\n",
            "wrong net.ipv4.ip_forward is 0: nothing is forwarded"
        ) { try $0.gateway.router.setSysctl("ipv4/ip_forward", to: "0") },
        Self(
            "forwarding is off for the inside link",
            "wrong net.ipv4.conf.lan0.forwarding is 0: what comes in by lan0 is not forwarded"
        ) { try $0.gateway.router.setSysctl("ipv4/conf/lan0/forwarding", to: "0") },
        Self("the uplink is gone", "wrong ppp0 is not there: nothing leaves by it", isCured: false) {
            try $0.gateway.hangUp()
        },
        Self("no route", "wrong no IPv4 default route leads out of ppp0: nothing leaves by it") {
            try $0.gateway.router.ip("route del default")
        },
        Self(
            "the route leads elsewhere",
            "wrong no IPv4 default route leads out of ppp0; it leads out of dmz0: nothing leaves by it"
        ) { try $0.gateway.router.ip("route replace default via 10.9.0.2 dev dmz0") },
        Self(
            "policy routing sends a network elsewhere",
            "wrong what 172.20.0.0/24 behind lan0 sends into the Internet leaves by dmz0, which is no out_interface "
                + "of masqd.toml:1: nobody masquerades it", isCured: false
        ) {
            try $0.gateway.router.ip(
                "route add default via 10.9.0.2 dev dmz0 table 100", "rule add from 172.20.0.0/24 lookup 100")
        },
        Self(
            "a strict rp_filter on a second uplink",
            "wrong rp_filter of ppp1 is strict, and the best default route leads out of ppp0: what comes in by ppp1 "
                + "is dropped"
        ) {
            try $0.gateway.dialUp(
                "ppp1", address: "203.0.113.9", addressIPv6: "2001:db8::9", destinations: ["198.51.100.81/32"]
            )
            try $0.gateway.router.ip(
                "route add default dev ppp1 metric 100", "route replace ::/0 dev ppp0",
                "route add ::/0 dev ppp1 metric 2000")
            try $0.gateway.router.setSysctl("ipv4/conf/ppp1/rp_filter", to: "1")
        },
        Self(
            "a rule deleted by nft", with: "[reconcile]\nmode = \"off\"\n",
            "wrong table inet masqd is not as PATH asks for: chain forward differs"
        ) { try $0.gateway.router.nft("flush chain inet masqd forward\n") },
        Self(
            "a file that was not put in force",
            "wrong table inet masqd is not as PATH asks for: set masquerade_1_source differs"
        ) {
            try $0.masqd.write(
                configuration: $0.configuration.replacing("192.168.0.0/16", with: "192.168.0.0/17"))
        },
        Self(
            "iptables -P FORWARD DROP",
            "wrong ip filter FORWARD (iptables) drops what 192.168.0.0/16 and 2 more sends out of ppp0, and the answers: "
                + "its policy is drop"
        ) { try Command("iptables-nft", "-P", "FORWARD", "DROP").run(in: $0.gateway.router).expectSuccess() },
        Self(
            "a second masquerade",
            "warn  ip nat POSTROUTING (iptables) translates what 192.168.0.0/16 and 2 more sends out of ppp0 before masqd "
                + "does: rule 1 is masquerade"
        ) {
            try Command("iptables-nft", "-t", "nat", "-A", "POSTROUTING", "-o", "ppp0", "-j", "MASQUERADE")
                .run(in: $0.gateway.router).expectSuccess()
        },
        Self(
            "an MTU that nobody clamps the MSS to", with: "[mss]\nclamp = \"off\"\n",
            "warn  the MTU of ppp0 is 1492, [mss] clamp is \"off\", and nobody else clamps the MSS: where ICMP is "
                + "filtered, connections hang once data flows", isCured: false
        ) { try $0.gateway.router.ip("link set ppp0 mtu 1492") },
        Self(
            "an old copy of the rules at the next boot",
            "warn  /etc/nftables.conf:3 has a copy of table inet masqd, which is loaded at boot, however old it is"
        ) {
            let table = try $0.gateway.router.nftListing("table", "inet", "masqd")
            try $0.saveRuleset("#!/usr/sbin/nft -f\nflush ruleset\n\(table)table ip other {\n}\n")
        },
        Self(
            "a private uplink address",
            """
            warn  ppp0 is up with 10.64.0.7, a private address: the router before it translates again (double NAT), \
            and what comes from outside has to be forwarded there too
            """, isCured: false
        ) {
            try $0.gateway.hangUp()
            try $0.gateway.dialUp(address: "10.64.0.7")
        },
        Self(
            "carrier-grade NAT",
            """
            warn  ppp0 is up with 100.64.0.7, of 100.64.0.0/10: the provider translates again, and nothing from \
            outside gets here; only he can give a public address (RFC 6598)
            """, isCured: false
        ) {
            try $0.gateway.hangUp()
            try $0.gateway.dialUp(address: "100.64.0.7")
        },
        Self(
            "nobody behind it is in the file",
            "warn  192.186.0.0/16 of masqd.toml:1 is no network behind this machine, which are 10.9.0.0/24 (dmz0), "
                + "172.20.0.0/24 (lan0), 192.168.1.0/24 (lan0), fd00:1::/64 (lan0): a typo, or a link that is not up",
            isCured: false
        ) {
            try $0.masqd.reload(
                $0.configuration.replacing("192.168.0.0/16", with: "192.168.0.0/16\", \"192.186.0.0/16"))
        },
    ]
}
