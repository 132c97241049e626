# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The service comes to an end in every way that it has, and what is connected does not notice.

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
    claim "the journal says where and why" journal_says '/etc/masqd\.toml:3:[0-9]+: error: '
    claim "status says where and why" status_says '/etc/masqd\.toml:3:[0-9]+: error: '
    passes "with the old rules"
    cp /root/good.toml /etc/masqd.toml
    claim "reload succeeds with a good one" systemctl reload masqd
    both_live "over both reloads"
}

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
    # A busy machine may take longer for this than systemd waits.
    watchdog 10min
    main=$(pid)
    kill -STOP "$main"
    end_streams
    hang_up
    claim "with masqd suspended the line is dialled again" dial
    passes "with masqd suspended"
    kill -CONT "$main"
    claim "it goes on where it was" eventually 30 status_says "ppp0"
    claim "and is the same process" equal "$main" "$(pid)"
    usual_watchdog
    begin_stream tcp
    begin_stream udp
}

case_watchdog() {
    local main
    watchdog 4s
    systemctl restart masqd
    main=$(pid)
    kill -STOP "$main"
    claim "a hung masqd is killed by the watchdog and started again" eventually 60 is_another_process "$main"
    usual_watchdog
    claim "it was the watchdog" journal_says 'Watchdog timeout'
    both_live "over that"
}
# watchdog TIME: how long masqd may be silent.
watchdog() {
    mkdir -p /run/systemd/system/masqd.service.d
    printf '[Service]\nWatchdogSec=%s\n' "$1" >/run/systemd/system/masqd.service.d/watchdog.conf
    systemctl daemon-reload
}
usual_watchdog() {
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

case_wire() {
    claim "all along, packets were on the wire" test "$(public_packets)" -gt 50
    claim "not one with a private address" equal "" "$(private_packets | head -n 3)"
}

# Who reads it knows no netlink; and a warning is of something that went wrong.
case_journal() {
    claim "the journal tells nobody the same twice in a row" equal "" "$(said | uniq -d)"
    claim "no word in it is the program's own" fails contains "$(said)" 'Optional\(|nil|0x[0-9a-f]{6}|NFT_|RTM_|Error\('
    claim "what it warns of is what these cases did wrong, and nothing else" equal "$(cat <<-'END'
	/etc/masqd.toml:3:11: error: "192.168.0.0/33": prefix length must be 0 to 32
	nft (pid PID) deleted table inet masqd: restored in TIME (COUNT objects)
	the configuration is refused: keeping the previous rules
	the kernel refused devices lan0, ppp0, wan0 of flowtable fastpath: Operation not supported (the network card can't do it: flow_offload = "software"): the previous rules stay in force
	END
    )" "$(said -p warning | sed -E 's/pid [0-9]+/pid PID/; s/[0-9.]+ ms/TIME/; s/[0-9]+ objects/COUNT objects/' | sort -u)"
}
# said [OPTION...]: what masqd itself said, without systemd's words about it.
said() { journalctl _SYSTEMD_UNIT=masqd.service --no-pager -o cat "$@"; }

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
