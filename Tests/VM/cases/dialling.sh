# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The line comes and goes in every way that it has.
# shellcheck disable=SC2154  # outside is line.sh's

case_boot() {
    # multi-user.target does not wait for a unit of early boot; network-pre.target does.
    claim "masqd is running" eventually 60 is_running
    claim "there is no ppp0 yet" is_gone ppp0
    claim "its rules are in the kernel" table_is_there
    claim "forwarding is on" equal 1 "$(forwarding)"
    claim "the network waited for it" test "$(property ActiveEnterTimestampMonotonic)" -le \
        "$(systemctl show -P ActiveEnterTimestampMonotonic network-pre.target)"
    make_network
    begin_phone
    open_line 10.64.0.10
}

# What is in the kernel must be the same, whatever the line does: rules match by name.
case_dial() {
    before=$(rules)
    claim "the line is dialled" dial
    passes "as soon as it is up"
    claim "status says that the uplink is up" eventually 10 status_says 'ppp0 is up with 10\.64\.0\.10'
}

case_redial() {
    local index address
    index=$(index_of ppp0) address=$(address_of ppp0)
    claim "the line is hung up" hang_up
    claim "status says that it is waited for" eventually 10 status_says 'waiting for ppp0'
    close_line
    open_line 10.64.0.50
    claim "it is dialled again" dial
    claim "ppp0 has another index" differ "$index" "$(index_of ppp0)"
    claim "and another address" differ "$address" "$(address_of ppp0)"
    passes "the new ppp0"
    claim "no rule was touched" equal "$before" "$(rules)"
    hang_up
}

case_dead_line() {
    local index
    claim "the line is dialled, to persist" dial persist maxfail 0 holdoff 1
    index=$(index_of ppp0)
    passes "before it dies"
    ip -n isp link set isp0 down
    claim "pppd notices that the line is dead" eventually 60 fails has_address ppp0
    ip -n isp link set isp0 up
    claim "and has dialled it again by itself" eventually 90 is_up_again "$index"
    passes "after that"
    claim "no rule was touched" equal "$before" "$(rules)"
}
is_up_again() { has_address ppp0 && [ "$(index_of ppp0)" != "$1" ] && ip route get "$outside" | grep -q ppp0; }

case_killed_dialler() {
    kill -KILL "$(dialler)"
    claim "with pppd killed ppp0 is gone" eventually 30 is_gone ppp0
    claim "the line is dialled again" dial
    passes "after that"
}

# Both ends may agree on another address while the line stays up. The kernel lets connections keep the old one for ever.
case_renumbered() {
    local old new=10.64.0.99
    old=$(address_of ppp0)
    ip -n isp route add $new dev "$(ip -n isp route get "$old" | sed -nE 's/.* dev ([^ ]+).*/\1/p')"
    # As pppd does it. Without an address the kernel takes the routes away.
    ip -batch - <<-END
	address delete $old peer 10.64.0.1 dev ppp0
	address add $new peer 10.64.0.1 dev ppp0
	route add default dev ppp0
	END
    passes "with another address on the same ppp0"
    claim "the journal says what was mended" journal_says "deleted, to be translated anew: .*${old//./\\.}"
    claim "no rule was touched" equal "$before" "$(rules)"
    hang_up
}

case_renamed() {
    claim "the line is dialled as uplink0" dial ifname uplink0
    claim "there is no ppp0" is_gone ppp0
    passes "under that name" uplink0
    hang_up uplink0
    claim "the line is dialled" dial
}

case_down_up() {
    ip link set ppp0 down
    claim "with ppp0 down nothing passes" nothing_passes
    ip link set ppp0 up
    # The kernel took the route away and keeps the address.
    ip route replace default dev ppp0
    passes "once ppp0 is up again"
    claim "no rule was touched" equal "$before" "$(rules)"
}
