#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# demo.sh MASQD: shows the main job of the masqd given by its path, between network namespaces of its own.
# Works as root and as anybody else; exits non-zero when a step does not do what it says.
#
#   lan: client 192.168.1.2 -- lan0 192.168.1.1 [gateway: this script, masqd] ppp0 203.0.113.x -- wan: server 198.51.100.80
set -euo pipefail

masqd=$(realpath "${1:?usage: demo.sh path/to/masqd}")
project=$(realpath "$(dirname "$0")/..")
export PATH=$PATH:/usr/sbin:/sbin

# The gateway is a namespace too: the machine's own network is not touched.
if [ -z "${MASQD_DEMO_INSIDE-}" ]; then
    MASQD_DEMO_INSIDE=1 exec "$project/scripts/private-network.sh" "$0" "$masqd"
fi

bold='' plain=''
if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; fi
steps=0
step() { steps=$((steps + 1)); echo; echo "$bold$steps. $*$plain"; }
say() { echo "   $*"; }

folder=$(mktemp -d "${TMPDIR:-/tmp}/masqd-demo-XXXXXX")
log=$folder/log
notified=$folder/notified
started=()
# The namespaces have no names: they end with the processes in them.
cleanup() {
    for pid in "${started[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

fail() {
    echo
    echo "The demo failed: $*" >&2
    if [ -s "$log" ]; then
        echo "masqd's log ends with:" >&2
        tail -n 5 "$log" >&2
    fi
    exit 1
}

# Every process dies with this script, however that ends.
background() {
    setpriv --pdeathsig KILL "$@" &
    started+=($!)
}

# Asks 50 times a second, 10 seconds long, until the command after the first word succeeds.
exec {never}<> <(:)
until_true() {
    local what=$1 i
    shift
    for ((i = 0; i < 500; i++)); do
        if "$@"; then return; fi
        read -r -t 0.02 -u "$never" || true
    done
    fail "waited 10 seconds in vain until $what"
}

in_lan() { nsenter --target "$lan" --net "$@"; }
in_wan() { nsenter --target "$wan" --net "$@"; }

# What masqd tells the service manager, READY=1 and STATUS=..., is collected in a file.
readies() { grep -os 'READY=1' "$notified" | wc -l; }
is_ready() { [ "$(readies)" -gt "$1" ]; }
status() {
    sed -E 's/(READY|RELOADING|STOPPING|WATCHDOG|MONOTONIC_USEC|STATUS)=/\n\1=/g' "$notified" |
        sed -n 's/^STATUS=//p' | tail -n 1
}
status_has() { [[ $(status) == *"$1"* ]]; }

reload() {
    local before
    before=$(readies)
    kill -HUP "$daemon"
    until_true "masqd has read its configuration again" is_ready "$before"
}

is_link_up() { "$1" ip -o link show dev "$2" | grep -q 'state UP'; }
here() { "$@"; }

# What pppd does: a new interface, a point-to-point address, the default route.
dial_up() {
    ip link add ppp0 type veth peer name customer netns "$wan"
    # As on PPP nobody asks for hardware addresses: both ends have the same one.
    ip link set ppp0 address 02:00:00:00:00:01 arp off
    in_wan ip link set customer address 02:00:00:00:00:01 arp off
    in_wan ip addr add 203.0.113.1 peer "$1" dev customer
    in_wan ip link set customer up
    ip addr add "$1" peer 203.0.113.1 dev ppp0
    ip link set ppp0 up
    until_true "ppp0 is up" is_link_up here ppp0
    until_true "the provider's end is up" is_link_up in_wan customer
    ip route add default dev ppp0
}

# The address and the port that the server outside sees when the client connects; empty if it can't.
ask() { in_lan socat -T 5 - TCP4:198.51.100.80:80,connect-timeout=5 </dev/null 2>/dev/null || true; }

expect_seen() {
    read -r seen port <<<"$(ask)" || true
    [ "$seen" = "$1" ] || fail "the server should have seen the client as $1, and saw: ${seen:-nothing}"
    say "The client 192.168.1.2 asks the server 198.51.100.80 who it is, and the answer is: $seen (port $port)"
}

rules() { nft --stateless --handle list table inet masqd; }
leaks() { in_wan nft list counter inet watch leaks | sed -n 's/.*packets \([0-9]*\).*/\1/p'; }

step "A private network, a gateway and the world, each in a network namespace of its own"
unshare --net setpriv --pdeathsig KILL sleep infinity &
lan=$! started+=($!)
unshare --net setpriv --pdeathsig KILL sleep infinity &
wan=$! started+=($!)
own=$(readlink /proc/self/ns/net)
is_apart() { [ "$(readlink "/proc/$1/ns/net")" != "$own" ]; }
until_true "the client's namespace is there" is_apart "$lan"
until_true "the world's namespace is there" is_apart "$wan"
for place in here in_lan in_wan; do
    "$place" ip link set lo up
    for scope in all default; do
        echo 0 | "$place" tee "/proc/sys/net/ipv4/conf/$scope/rp_filter" >/dev/null
    done
done
echo 0 >/proc/sys/net/ipv4/ip_forward
ip link add lan0 type veth peer name eth0 netns "$lan"
ip addr add 192.168.1.1/24 dev lan0
ip link set lan0 up
in_lan ip addr add 192.168.1.2/24 dev eth0
in_lan ip link set eth0 up
until_true "the private network is up" is_link_up here lan0
until_true "the client's link is up" is_link_up in_lan eth0
in_lan ip route add default via 192.168.1.1
in_wan ip addr add 198.51.100.80/32 dev lo
in_wan nft -f - <<'END'
table inet watch {
    counter leaks { }
    chain arriving {
        type filter hook prerouting priority raw; policy accept;
        ip saddr 192.168.0.0/16 counter name leaks
    }
}
END
# shellcheck disable=SC2016 # socat's shell knows these two
background nsenter --target "$wan" --net \
    socat TCP4-LISTEN:80,fork,reuseaddr SYSTEM:'echo $SOCAT_PEERADDR $SOCAT_PEERPORT'
is_listening() { in_wan ss --no-header --listening --tcp --numeric | grep -q ':80 '; }
until_true "the server listens" is_listening
say "The client is 192.168.1.2, behind the gateway's lan0. The gateway has no uplink, and does not forward."
say "The server outside answers whoever connects with the address that it sees."

step "masqd starts before ppp0 is there: it waits, and its rules are in the kernel already"
cp "$project/config/masqd.toml" "$folder/masqd.toml"
background socat -u "UNIX-RECV:$folder/notify" "OPEN:$notified,creat,append"
until_true "somebody listens to what masqd tells" [ -S "$folder/notify" ]
NOTIFY_SOCKET=$folder/notify setpriv --pdeathsig KILL "$masqd" --config "$folder/masqd.toml" 2>"$log" &
daemon=$! started+=($!)
is_running() { kill -0 "$daemon" 2>/dev/null; }
is_started() { is_ready 0 || ! is_running; }
until_true "masqd is ready" is_started
is_running || fail "masqd did not start"
if ip link show dev ppp0 >/dev/null 2>&1; then fail "there should be no ppp0 yet"; fi
rule=$(nft list table inet masqd | grep -E 'saddr .* masquerade( |$)') || fail "there is no rule that masquerades"
say "masqd says:        $(status | sed "s,$folder/,,")"
say "In the kernel:     $(sed -E 's/^[[:space:]]*//; s/ comment .*//' <<<"$rule")"
[ "$(cat /proc/sys/net/ipv4/ip_forward)" = 1 ] || fail "ip_forward should be 1"
say "net.ipv4.ip_forward was 0, and is 1."

step "ppp0 appears with 203.0.113.7: the server sees the gateway's address, not the client's"
dial_up 203.0.113.7
expect_seen 203.0.113.7
first=$(ip -o link show dev ppp0 | cut -d: -f1)
until_true "masqd says that ppp0 is there" status_has 203.0.113.7
say "masqd's log:       $(grep -F 203.0.113.7 "$log" | tail -n 1)"

step "The line drops and comes back with another interface index and another address"
before=$(rules)
ip link del ppp0
until_true "masqd says that ppp0 is gone" status_has "waiting for ppp0"
[ -z "$(ask)" ] || fail "without ppp0 nothing should be reachable"
say "ppp0 is gone, and the server out of reach."
dial_up 203.0.113.99
expect_seen 203.0.113.99
second=$(ip -o link show dev ppp0 | cut -d: -f1)
[ "$first" != "$second" ] || fail "ppp0 should have got another index"
[ "$(rules)" = "$before" ] || fail "the rules should be the same ones as before"
say "The interface's index was $first, and is $second; the rules are the same ones, they name it by name."

step "The configuration changes, and SIGHUP applies it: only the source ports 50000 to 50099"
sed -i '0,/^# ports = .*/s//ports = "50000-50099"/' "$folder/masqd.toml"
grep -q '^ports' "$folder/masqd.toml" || fail "the shipped configuration has no line for ports"
reload
expect_seen 203.0.113.99
((port >= 50000 && port <= 50099)) || fail "the port should be between 50000 and 50099"

step "A broken file is refused, with its line and column, and the old rules stay"
before=$(rules)
sed -i 's,^source = .*,source = ["192.168.0.0/33"],' "$folder/masqd.toml"
reload
error=$(grep -oE 'masqd.toml:[0-9]+:[0-9]+: error: .*' "$log" | tail -n 1) || fail "the error has no line and column"
status_has "${error%%: error:*}: error: " || fail "the status should say the same, and is: $(status)"
say "masqd's log:       $error"
[ "$(rules)" = "$before" ] || fail "the rules should be the same ones as before"
expect_seen 203.0.113.99

step "masqd is stopped, and leaves nothing behind"
leaked=$(leaks)
kill -TERM "$daemon"
result=0
wait "$daemon" || result=$?
[ "$result" = 0 ] || fail "masqd ended with status $result"
[ -z "$(nft list ruleset)" ] || fail "there should be no rules left: $(nft list ruleset)"
[ "$(cat /proc/sys/net/ipv4/ip_forward)" = 0 ] || fail "ip_forward should be 0 again"
say "No rule is left in the kernel, and net.ipv4.ip_forward is 0 as it was."

[ "$leaked" = 0 ] || fail "$leaked packets with a private address reached the world"
echo
echo "${bold}All of it is true.$plain From start to stop $leaked packets with a private address reached the world."
