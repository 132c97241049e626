#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs in the virtual machine (scripts/vm-test.sh boots it): the package was installed and enabled before the boot. The
# cases follow each other, as the life of one gateway.
set -uo pipefail

# shellcheck source=scripts/lab/guest/usr/local/lib/lab/claims.sh
. /usr/local/lib/lab/claims.sh
# shellcheck source=Tests/VM/guest/usr/local/lib/lab/line.sh
. /usr/local/lib/lab/line.sh

echo "# Linux $(uname -r), $(systemctl --version | head -n 1), $(pppd --version 2>&1)," \
    "$(nft --version), masqd $(dpkg-query -W -f '${Version}' masqd)"

case_boot() {
    # multi-user.target does not wait for a unit of early boot; network-pre.target does.
    claim "masqd is running" eventually 60 is_running
    claim "there is no ppp0 yet" is_gone ppp0
    claim "its rules are in the kernel" table_is_there
    claim "forwarding is on" equal 1 "$(forwarding)"
    claim "the network waited for it" test "$(property ActiveEnterTimestampMonotonic)" -le \
        "$(systemctl show -P ActiveEnterTimestampMonotonic network-pre.target)"
    make_network
    open_line 10.64.0.10
}

# What is in the kernel must be the same, whatever the line does: rules match by name.
case_dial() {
    before=$(rules)
    claim "the line is dialled" dial
    passes "as soon as it is up"
    claim "status says that the uplink is up" eventually 10 status_says 'ppp0'
}

case_redial() {
    local index address
    index=$(index_of ppp0) address=$(address_of ppp0)
    claim "the line is hung up" hang_up
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
is_up_again() { has_address ppp0 && [ "$(index_of ppp0)" != "$1" ] && ip route get $outside | grep -q ppp0; }

case_killed_dialler() {
    kill -KILL "$(dialler)"
    claim "with pppd killed ppp0 is gone" eventually 30 is_gone ppp0
    claim "the line is dialled again" dial
    passes "after that"
}

case_renamed() {
    hang_up
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

case_streams() {
    begin_stream tcp
    begin_stream udp
    both_live "before"
    claim "while they do masqd sleeps" eventually 30 is_asleep
}
# Its processor time, in clock ticks (fields 14 and 15 of proc_pid_stat(5)), while packets pass.
ticks() { awk '{ print $14 + $15 }' "/proc/$(pid)/stat"; }
is_asleep() {
    local before
    before=$(ticks)
    stream_is_alive tcp
    [ "$before" = "$(ticks)" ]
}
# both_live WHEN: the same connections as ever.
both_live() {
    claim "the TCP connection goes on $1" stream_is_alive tcp
    claim "the UDP connection goes on $1" stream_is_alive udp
}

case_restart() {
    local main
    main=$(pid)
    claim "restart succeeds" systemctl restart masqd
    claim "the process is another one" is_another_process "$main"
    both_live "over a restart"
    passes "after the restart"
}

case_upgrade() {
    local main
    main=$(pid)
    claim "the package is upgraded" dpkg --install /root/newer.deb
    claim "the process is another one" is_another_process "$main"
    claim "it runs the new program" equal /usr/sbin/masqd "$(readlink "/proc/$(pid)/exe")"
    both_live "over the upgrade"
    passes "after the upgrade"
}

case_bad_reload() {
    cp /etc/masqd.toml /root/good.toml
    sed -i 's|192.168.0.0/16|192.168.0.0/33|' /etc/masqd.toml
    claim "reload fails with a bad file" fails systemctl reload masqd
    claim "the journal says where and why" contains "$(journal)" '/etc/masqd\.toml:3:[0-9]+: error: '
    claim "status says where and why" status_says '/etc/masqd\.toml:3:[0-9]+: error: '
    passes "with the old rules"
    cp /root/good.toml /etc/masqd.toml
    claim "reload succeeds with a good one" systemctl reload masqd
    both_live "over both reloads"
}
status_says() { contains "$(systemctl status --no-pager -n 0 masqd)" "$1"; }

case_killed() {
    local main
    main=$(pid)
    kill -KILL "$main"
    claim "systemd starts it again after kill -9" eventually 30 is_another_process "$main"
    both_live "over kill -9"
    passes "after that"
}

case_suspended() {
    local main
    main=$(pid)
    kill -STOP "$main"
    end_streams
    hang_up
    claim "with masqd suspended the line is dialled again" dial
    passes "with masqd suspended"
    kill -CONT "$main"
    claim "it goes on where it was" eventually 30 status_says "ppp0"
    claim "and is the same process" equal "$main" "$(pid)"
    begin_stream tcp
    begin_stream udp
}

case_watchdog() {
    local main
    mkdir -p /run/systemd/system/masqd.service.d
    printf '[Service]\nWatchdogSec=4s\n' >/run/systemd/system/masqd.service.d/watchdog.conf
    systemctl daemon-reload
    systemctl restart masqd
    main=$(pid)
    kill -STOP "$main"
    claim "a hung masqd is killed by the watchdog and started again" eventually 60 is_another_process "$main"
    claim "it was the watchdog" contains "$(journal)" 'Watchdog timeout'
    both_live "over that"
    rm -r /run/systemd/system/masqd.service.d
    systemctl daemon-reload
}

# What leaves in the moment between a flush and the repair can't be held back: connections of that moment and the wire are
# not asked.
case_flushed() {
    nft flush ruleset
    claim "the table is back after a flush" eventually 10 table_is_there
    claim "the journal says who it was" eventually 10 journal_says 'nft \(pid [0-9]+'
    passes "after that"
    claim "no system call was refused in all that" fails journal_says 'status=31/SYS'
}
journal_says() { contains "$(journal)" "$1"; }

case_wire() {
    claim "all along, packets were on the wire" test "$(public_packets)" -gt 50
    claim "not one with a private address" equal "" "$(private_packets | head -n 3)"
}

case_stop() {
    claim "stop succeeds" systemctl stop masqd
    claim "the table is gone" fails table_is_there
    claim "forwarding is as it was" equal 0 "$(forwarding)"
    claim "nothing else of it is left" equal "" "$(nft list ruleset)"
    sysctl -qw net.ipv4.ip_forward=1
    nothing_passes
    sysctl -qw net.ipv4.ip_forward=0
    claim "the capture sees what leaves untranslated: now it does" eventually 30 has_private_packets
}
has_private_packets() { [ -n "$(private_packets | head -n 1)" ]; }

case_remove() {
    systemctl start masqd
    claim "the package is removed" dpkg --remove masqd
    claim "the daemon and its table are gone" eval 'fails pidof masqd && fails table_is_there'
    claim "the package is purged" dpkg --purge masqd
    claim "its configuration is gone" test ! -e /etc/masqd.toml
}

run_cases boot dial redial dead_line killed_dialler renamed down_up streams restart upgrade bad_reload killed suspended \
    watchdog wire flushed stop remove
status=$?

echo "# what a person reads:"
journal | sed 's/^/# /'
[ $status = 0 ]
