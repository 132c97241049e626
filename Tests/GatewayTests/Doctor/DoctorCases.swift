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
        Self(
            "no route",
            "wrong no IPv4 default route leads out of ppp0: only 203.0.113.1/32 is reached through it"
        ) { try $0.gateway.router.ip("route del default") },
        Self(
            "no route of IPv6",
            "wrong no IPv6 default route leads out of ppp0: only 2001:db8::1/128 is reached through it"
        ) { try $0.gateway.router.ip("route del ::/0") },
        Self(
            "the route leads elsewhere",
            "warn  no IPv4 default route leads out of ppp0: only 203.0.113.1/32 is reached through it; the default route "
                + "leads out of dmz0, which is no out_interface of PATH", isCured: false
        ) { try $0.gateway.router.ip("route replace default via 10.9.0.2 dev dmz0") },
        Self(
            "policy routing sends a network elsewhere",
            "warn  what 172.20.0.0/24 behind lan0 sends into the Internet leaves by dmz0, which is no out_interface "
                + "of masqd.toml:1: masqd does not translate it", isCured: false
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
        ) { ward in
            // Between the networks inside somebody has seen to it.
            for words in [["-P", "FORWARD", "DROP"]]
                + [("lan0", "dmz0"), ("dmz0", "lan0")].map({
                    ["-A", "FORWARD", "-i", $0.0, "-o", $0.1, "-j", "ACCEPT"]
                })
            {
                try Command("iptables-nft", words).run(in: ward.gateway.router).expectSuccess()
            }
        },
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
                + "filtered, connections hang once data flows", editor: "sed -i s/off/pmtu/"
        ) { try $0.gateway.router.ip("link set ppp0 mtu 1492") },
        Self(
            "an old copy of the rules at the next boot",
            "warn  /etc/nftables.conf:3 has a copy of table inet masqd, which is loaded at boot, however old it is"
        ) {
            let table = try $0.gateway.router.nftListing("table", "inet", "masqd")
            try $0.saveRuleset("#!/usr/sbin/nft -f\nflush ruleset\n\(table)table ip other {\n}\n")
        },
        Self(
            "a private uplink address, and a forward", with: forward,
            """
            warn  ppp0 is up with 10.64.0.7, a private address: the router before it translates again (double NAT), \
            and what comes from outside has to be forwarded there too
            """, isCured: false
        ) {
            try $0.gateway.hangUp()
            try $0.gateway.dialUp(address: "10.64.0.7")
        },
        Self(
            "carrier-grade NAT, and a forward", with: forward,
            """
            warn  ppp0 is up with 100.64.0.7, of 100.64.0.0/10: the provider translates again, and nothing from \
            outside gets here; only they can give a public address (RFC 6598)
            """, isCured: false
        ) {
            try $0.gateway.hangUp()
            try $0.gateway.dialUp(address: "100.64.0.7")
        },
        Self(
            "a public network that is not there",
            "warn  192.186.0.0/16 of masqd.toml:1 is in none of the networks that are behind this machine now: 10.9.0.0/24 "
                + "(dmz0), 172.20.0.0/24 (lan0), 192.168.1.0/24 (lan0), fd00:1::/64 (lan0)",
            isCured: false
        ) {
            try $0.masqd.reload(
                $0.configuration.replacing("192.168.0.0/16", with: "192.168.0.0/16\", \"192.186.0.0/16"))
        },
        Self(
            "segments that do not fit", with: "[mss]\nclamp = 1433\n",
            "warn  the MTU of ppp0 is 1492, and [mss] clamp is 1433, larger than the 1432 that fit: where ICMP is "
                + "filtered, connections hang once data flows", editor: "sed -i s/1433/1432/"
        ) { try $0.gateway.router.ip("link set ppp0 mtu 1492") },
    ]

    private static let forward = "[[port_forward]]\nport = 443\nto = \"192.168.1.2\"\n"
}
