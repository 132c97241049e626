#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""record-corpus.py: records the corpora of the netlink targets from the kernel.

Run it in a network namespace of its own: scripts/private-network.sh python3 Tests/Fuzz/record-corpus.py
Each file is what one listing, or one burst of events, was answered with, byte for byte, as masqd's own sockets read it.
"""

import pathlib
import re
import socket
import struct
import subprocess
import textwrap

HERE = pathlib.Path(__file__).resolve().parent
TESTS = HERE.parent

NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP = 270, 1
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETNETCONF = 18, 22, 26, 82
NFNL_SUBSYS_CTNETLINK, NFNL_SUBSYS_NFTABLES = 1, 10
# enum nf_tables_msg_types in linux/netfilter/nf_tables.h
GETTABLE, GETCHAIN, GETRULE, GETSET, GETSETELEM, GETGEN, GETOBJ = 1, 4, 7, 10, 13, 16, 19
NFTA_SET_TABLE, NFTA_SET_NAME = 1, 2

# Every expression that nft 1.0.6 can write into a forward chain or behind it, and sets of all kinds.
MANY_EXPRESSIONS = """
table inet many {
    set names { type ifname; elements = { "lan0", "wg0" } }
    set pairs { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/8 . 1-1023 } }
    set timed { type ipv4_addr; flags dynamic,timeout; timeout 1m; }
    map marks { type ipv4_addr : mark; elements = { 192.168.1.2 : 0x1 } }
    counter hits { }
    quota some { over 1 mbytes }
    limit few { rate 3/second }
    ct helper sip { type "sip" protocol udp; }
    chain forward {
        type filter hook forward priority 10; policy drop;
        iifname @names counter name hits accept
        iif "lo" oif "lo" accept
        ip saddr . udp dport @pairs accept
        ip6 saddr fd00::/8 ip6 daddr != { ::/96, fe80::/10 } accept
        tcp flags syn / syn,rst tcp option maxseg size set rt mtu
        meta mark set ip saddr map @marks
        meta mark & 0x4000 == 0x4000 ct mark set meta mark accept
        ct state vmap { established : accept, related : accept, invalid : drop }
        ct status dnat ct direction original accept
        ct count over 20 drop
        limit rate over 10/second burst 5 packets drop
        limit name "few" quota name "some" accept
        fib daddr type local reject with icmpx type admin-prohibited
        add @timed { ip saddr limit rate 1/second } log prefix "many: " level warn
        udp dport 5060 ct helper set "sip"
        ether saddr 02:00:00:00:00:01 meta length > 100 meta pkttype unicast return
        numgen random mod 4 vmap { 0 : jump rest, 1 : goto rest }
        jhash ip saddr mod 4 != 3 return
        ip frag-off & 0x1fff != 0 drop
        @th,16,16 443 ip dscp set cs1 notrack
        exthdr frag exists drop
        meta hour "08:00"-"18:00" meta day "Monday" accept
    }
    chain rest {
        meta l4proto { tcp, udp } th dport 53 accept
        oifname "ppp*" reject with tcp reset
    }
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        meta l4proto tcp ip saddr 192.168.9.0/24 snat ip to 203.0.113.9-203.0.113.12:1024-2048 random,persistent
        oifname "ppp0" meta l4proto udp ip saddr != 10.0.0.0/8 masquerade to :1024-65535 fully-random
    }
    chain prerouting {
        type nat hook prerouting priority dstnat;
        iifname "ppp0" tcp dport { 80, 443 } dnat ip to 192.168.1.2
        udp dport 53 redirect to :5353
    }
}
table ip sleeping {
    flags dormant
    chain forward { type filter hook forward priority 0; policy drop; }
}
"""


def run(command, **options):
    done = subprocess.run(command, shell=isinstance(command, str), capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise SystemExit(f"record-corpus.py: {command}: {done.stderr}")


def write(target, name, datagrams):
    folder = HERE / "Corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    data = b"".join(datagrams)
    (folder / name).write_bytes(data)
    print(f"{target}/{name}: {len(data)} bytes")


def messages(datagram):
    while len(datagram) >= 16:
        length, kind = struct.unpack_from("=IH", datagram)
        yield kind, datagram[:length]
        datagram = datagram[(length + 3) & ~3:]


def ask(bus, kind, payload, flags=NLM_F_DUMP):
    """All messages of an answer, without the end mark."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, bus) as netlink:
        netlink.bind((0, 0))
        netlink.send(struct.pack("=IHHII", 16 + len(payload), kind, NLM_F_REQUEST | flags, 1, 0) + payload)
        answers = []
        while True:
            for kind, message in messages(netlink.recv(65536)):
                if kind in (NLMSG_DONE, NLMSG_ERROR):
                    return answers
                answers.append(message)
            if not flags & NLM_F_DUMP:
                return answers


def attribute(kind, text):
    data = text.encode() + b"\0"
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


class Events:
    """What a multicast group says between two moments."""

    def __init__(self, bus, groups):
        self.netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, bus)
        self.netlink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.netlink.bind((0, 0))
        for group in groups:
            self.netlink.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)

    def taken(self):
        datagrams = []
        while True:
            try:
                datagrams.append(self.netlink.recv(65536, socket.MSG_DONTWAIT))
            except BlockingIOError:
                return datagrams


def record_route():
    # RTNLGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV4_NETCONF, _IPV6_IFADDR, _IPV6_ROUTE, _IPV6_NETCONF
    events = Events(NETLINK_ROUTE, [1, 5, 7, 24, 9, 11, 25])
    run("ip link set lo up; ip link add lan0 type veth peer name eth0; ip link add ppp0 type veth peer name isp")
    write("route", "link-events", events.taken()[-2:])
    run("ip addr add 192.168.1.1/24 dev lan0; ip addr add 203.0.113.7 peer 203.0.113.1 dev ppp0; ip link set lan0 up")
    run("ip link set ppp0 up; ip link set isp up; ip link set eth0 up; ip -6 addr add fd00:1::1/64 dev lan0 nodad")
    run("ip route add default dev ppp0; ip -6 route add default dev ppp0; sysctl -qw net.ipv4.ip_forward=1")
    write("route", "dial-up-events", events.taken())
    write("route", "links", ask(NETLINK_ROUTE, RTM_GETLINK, bytes(16)))
    both = ask(NETLINK_ROUTE, RTM_GETLINK, bytes(16))[:2] + ask(NETLINK_ROUTE, RTM_GETADDR, bytes(8))
    write("route", "links-and-addresses", both)
    write("route", "routes", ask(NETLINK_ROUTE, RTM_GETROUTE, bytes(12)))
    write("route", "switches", ask(NETLINK_ROUTE, RTM_GETNETCONF, bytes(1) + bytes(3)))
    # struct rtmsg of a question about one address, and RTA_DST
    question = struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 0, 0, 0, 0, 0) + struct.pack("=HH4s", 8, 1, bytes([198, 51, 100, 80]))
    write("route", "route-answer", ask(NETLINK_ROUTE, RTM_GETROUTE, question, flags=0))
    unreachable = question[:-4] + bytes([127, 0, 0, 1])
    write("route", "route-answer-local", ask(NETLINK_ROUTE, RTM_GETROUTE, unreachable, flags=0))


def nftables(kind, family, *attributes, flags=NLM_F_DUMP):
    payload = struct.pack(">BBH", family, 0, 0) + b"".join(attributes)
    return ask(NETLINK_NETFILTER, NFNL_SUBSYS_NFTABLES << 8 | kind, payload, flags)


def whole_ruleset():
    """All objects of all tables, the elements of each set behind the set."""
    answers = []
    for kind in (GETTABLE, GETCHAIN, GETOBJ, GETRULE):
        answers += nftables(kind, 0)
    for message in nftables(GETSET, 0):
        answers.append(message)
        names, rest = {}, message[20:]
        while len(rest) >= 4:
            length, kind = struct.unpack_from("=HH", rest)
            names[kind & 0x3FFF] = rest[4:length].split(b"\0")[0].decode(errors="replace")
            rest = rest[(length + 3) & ~3:]
        # NFTA_SET_ELEM_LIST_TABLE and _SET have the same numbers.
        where = attribute(NFTA_SET_TABLE, names[NFTA_SET_TABLE]), attribute(NFTA_SET_NAME, names[NFTA_SET_NAME])
        answers += nftables(GETSETELEM, message[16], *where)
    return answers


def record_nftables():
    events = Events(NETLINK_NETFILTER, [7])  # NFNLGRP_NFTABLES

    def load(name, command, text):
        run("nft flush ruleset")
        events.taken()
        run(command, input=text)
        write("nftables", f"{name}-events", events.taken())
        write("nftables", name, whole_ruleset())

    golden = TESTS / "MasqCoreTests" / "Golden"
    for case in ("masquerade/01-howto", "interfaces/07-two-blocks-on-one", "ipv6/02-dual-stack"):
        load(case.replace("/", "-"), ["nft", "-f", "-"], (golden / f"{case}.nft").read_text())
    load("many-expressions", ["nft", "-f", "-"], MANY_EXPRESSIONS)
    # The same rulesets of others that the gateway tests load.
    swift = (TESTS / "GatewayTests" / "ForeignRules.swift").read_text()
    for name, text in re.findall(r'static let (\w+) = """\n(.*?)\n *"""', swift, re.S):
        text = textwrap.dedent(text).replace('\\"', '"') + "\n"
        command = ["iptables-restore"] if text.startswith("*") else ["nft", "-f", "-"]
        load(name, command, text)
    run("nft delete table ip filter || true")
    write("nftables", "deletion-events", events.taken())
    write("nftables", "generation", nftables(GETGEN, 0, flags=0))
    run("nft flush ruleset")


def record_conntrack():
    run("modprobe -q nf_conntrack_netlink || true")
    common = "-t 600 --src 192.168.1.2 --dst 198.51.100.80"
    for flow in (
        f"-p udp {common} --sport 5060 --dport 5060 -m 7",
        f"-p tcp {common} --sport 40000 --dport 443 --state ESTABLISHED --reply-src 198.51.100.80 --reply-dst 203.0.113.7 "
        "--reply-port-src 443 --reply-port-dst 40000",
        f"-p icmp {common} --icmp-type 8 --icmp-code 0 --icmp-id 77",
        "-p udp -t 600 --src fd00:1::2 --dst 2001:db8:80::80 --sport 1 --dport 2",
        "-p tcp -t 600 --src 10.1.1.1 --dst 203.0.113.7 --sport 1024 --dport 80 --state SYN_SENT -w 9 --reply-src 192.168.1.2 "
        "--reply-dst 10.1.1.1 --reply-port-src 8080 --reply-port-dst 1024",
    ):
        run(f"conntrack -I {flow}")
    payload = struct.pack(">BBH", 0, 0, 0)
    entries = ask(NETLINK_NETFILTER, NFNL_SUBSYS_CTNETLINK << 8 | 1, payload)
    write("conntrack", "all", entries)
    for index, entry in enumerate(entries):
        write("conntrack", f"entry-{index}", [entry])


record_route()
record_nftables()
record_conntrack()
