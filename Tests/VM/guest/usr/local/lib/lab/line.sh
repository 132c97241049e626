# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by the cases: a line that is dialled, and who talks over it. The gateway is the guest's own network namespace.
#
#   lan (192.168.50.2) --lan0-- gateway --wan0, over it ppp0-- isp (10.64.0.1, and 203.0.113.80 in the wide world)

outside=203.0.113.80

# The wires, and who answers outside: with the address that he sees, and then with every line that he gets.
make_network() {
    modprobe -a pppoe veth dummy
    # What nobody ever writes into: to wait for a fraction of a second without a process.
    mkfifo /run/nothing
    sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
    ip netns add isp
    ip netns add lan
    ip link add wan0 type veth peer name isp0 netns isp
    ip link add lan0 type veth peer name eth0 netns lan
    ip address add 192.168.50.1/24 dev lan0
    ip link set lan0 up
    ip link set wan0 up
    ip -n lan link set lo up
    ip -n lan address add 192.168.50.2/24 dev eth0
    ip -n lan link set eth0 up
    ip -n lan route add default via 192.168.50.1
    ip -n isp link set lo up
    ip -n isp link set isp0 up
    ip -n isp link add inet0 type dummy
    ip -n isp address add $outside/32 dev inet0
    ip -n isp link set inet0 up
    # shellcheck disable=SC2016  # the shell of each connection
    ip netns exec isp socat "TCP4-LISTEN:7,bind=$outside,fork,reuseaddr" SYSTEM:'echo $SOCAT_PEERADDR; exec cat' 2>/dev/null &
    # shellcheck disable=SC2016
    ip netns exec isp socat "UDP4-LISTEN:7,bind=$outside,fork,reuseaddr" SYSTEM:'echo $SOCAT_PEERADDR; exec cat' 2>/dev/null &
    ip netns exec isp perl /usr/local/lib/lab/registrar.pl $outside 5060 &
    # All that passes on the wire, once as it is.
    ip netns exec isp tcpdump -i isp0 -U -w /run/wire.pcap pppoes 2>/dev/null &
    eventually 30 test -s /run/wire.pcap
    eventually 30 servers_listen
}

servers_listen() { [ "$(ip netns exec isp ss -Hltun 'sport = 7 or sport = 5060' | wc -l)" = 3 ]; }

# open_line ADDRESS: the provider takes calls, and gives this address to the next one.
open_line() {
    ip netns exec isp pppoe-server -F -I isp0 -L 10.64.0.1 -R "$1" -N 8 >/dev/null 2>&1 &
    server=$!
    eventually 30 pgrep -x pppoe-server
}
close_line() {
    kill "$server"
    wait "$server" 2>/dev/null
    # The provider's pppds, one for each call.
    pkill -f pppoe-server-options
    eventually 30 fails pgrep -f pppoe-server-options
}
# dial [OPTION...]: returns when the line is up. The first lines of its pid file are the pid and the interface.
dial() { timeout 60 pppd call lab updetach linkname wan "$@" >/run/dial.log 2>&1 </dev/null || { cat /run/dial.log; false; }; }
dialler() { head -n 1 /run/ppp-wan.pid 2>/dev/null || head -n 1 /run/pppd/ppp-wan.pid; }
hang_up() { kill -TERM "$(dialler)" && eventually 30 is_gone "${1:-ppp0}"; }
is_gone() { [ ! -e "/sys/class/net/$1" ]; }
address_of() { ip -4 -o address show dev "$1" 2>/dev/null | sed -nE 's/.* inet ([0-9.]+).*/\1/p'; }
has_address() { [ -n "$(address_of "$1")" ]; }
index_of() { cat "/sys/class/net/$1/ifindex"; }

# begin: in a shell of the LAN's, a connection tcp|udp to the far side, as descriptor 3; prints the address that it sees.
# bash reads byte by byte, and of a datagram the first byte only: so a datagram is dd's to read.
# shellcheck disable=SC2016  # the LAN's shell
begin='
    exec 3<>"/dev/$1/$2/7" || exit
    printf 0 >&3
    if [ "$1" = tcp ]; then read -r -t 20 -u 3 seen; else seen=$(timeout 20 dd bs=1500 count=1 status=none <&3); fi
    # The digit came back in the same datagram: whoever waits for it needs another.
    [ "$seen" = "${seen%%[[:space:]]*}" ] || printf 0 >&3
    echo "${seen%%[[:space:]]*}"'
# seen_outside tcp|udp: a new connection of the LAN's; prints the address that the far side sees, or nothing.
seen_outside() { timeout 40 ip netns exec lan bash -c "$begin" seen "$1" $outside; }
nothing_passes() { [ -z "$(timeout 3 ip netns exec lan bash -c "$begin" seen udp $outside)" ]; }
# passes WHAT [INTERFACE]: claims that new connections pass, and that the far side sees the uplink's address.
passes() {
    local protocol address
    address=$(address_of "${2:-ppp0}")
    for protocol in tcp udp; do
        claim "${protocol^^} passes $1, and the far side sees ${2:-ppp0}'s address" equal "$address" "$(seen_outside $protocol)"
    done
    rm -f /run/phone
    claim "the phone, which talks from one port all the time, is seen with it too" eventually 20 phone_is_seen_as "$address"
}

# begin_phone: one of the LAN's, with one port for life, that talks whether the line is there or not.
begin_phone() { ip netns exec lan perl /usr/local/lib/lab/phone.pl $outside 5060 /run/phone & }
phone_is_seen_as() { equal "$1" "$(cat /run/phone)"; }

# begin_stream tcp|udp: one connection of the LAN's that says a digit, waits for it to come back, and goes on until one
# does not, or end_streams. stream_is_alive tcp|udp: it said and heard more than when it was asked last.
streams=()
begin_stream() {
    # shellcheck disable=SC2016  # the LAN's shell
    ip netns exec lan bash -c "$begin"'
        n=0
        while read -r -N 1 -t 30 -u 3 digit && [ "$digit" = $((n % 10)) ]; do
            echo "$n" >>"/run/stream-$1"
            read -r -t 0.05 <>/run/nothing
            printf %d $((++n % 10)) >&3
        done' stream "$1" $outside >/dev/null 2>&1 &
    streams+=($!)
    eventually 60 test -s "/run/stream-$1"
}
end_streams() {
    kill "${streams[@]}" 2>/dev/null
    wait "${streams[@]}" 2>/dev/null
    rm -f /run/stream-*
    streams=()
}
stream_is_alive() {
    local before
    before=$(wc -l <"/run/stream-$1")
    eventually 30 stream_is_longer "$1" "$((before + 2))"
}
stream_is_longer() { [ "$(wc -l <"/run/stream-$1")" -gt "$2" ]; }

# private_packets: those that were on the wire with an address of the LAN.
private_packets() { tcpdump -nr /run/wire.pcap 'pppoes and net 192.168.0.0/16' 2>/dev/null; }
public_packets() { tcpdump -nr /run/wire.pcap "pppoes and host $outside" 2>/dev/null | wc -l; }
