#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs in the guest (scripts/unit-test.sh boots it): masqd.service was enabled before the boot. The cases follow each
# other, as the life of one machine.
set -uo pipefail

# shellcheck source=scripts/lab/guest/usr/local/lib/lab/claims.sh
. /usr/local/lib/lab/claims.sh

sources() { nft list chain inet masqd translate_ppp0; }
capabilities() { sed -n "s/^$1:\t*//p" "/proc/$(pid)/status"; }
configure() { printf '[[masquerade]]\nout_interface = "ppp0"\nsource = ["%s"]\n' "$1" >/etc/masqd.toml; }

case_boot() {
    claim "the unit is enabled" systemctl is-enabled masqd
    claim "masqd is running after the boot" systemctl is-active masqd
    claim "its rules are in the kernel, after nftables.service flushed the ruleset" table_is_there
    claim "that was no luck" contains " $(property After) " ' nftables\.service '
    claim "it also comes after sysctl.d" contains " $(property After) " ' systemd-sysctl\.service '
    claim "the foreign table is there too" nft list table ip foreign
    claim "forwarding is on, though sysctl.d said otherwise" equal 1 "$(forwarding)"
    claim "the network waits for it" test "$(property ActiveEnterTimestampMonotonic)" -le \
        "$(systemctl show -P ActiveEnterTimestampMonotonic network-pre.target)"
    claim "no ordering cycle was broken" fails journalctl -b -q --grep 'ordering cycle' --output cat
    claim "it says what is in force" status_says 'Status: "in force: '
    claim "systemd has nothing to complain about in the unit" \
        equal "" "$(journalctl -b -q _PID=1 --no-pager -o cat | grep 'masqd.service:[0-9]')"
}

case_confinement() {
    local kind
    claim "it is not root" differ 0 "$(awk '/^Uid:/ { print $2 }' "/proc/$(pid)/status")"
    for kind in CapInh CapPrm CapEff CapBnd CapAmb; do
        claim "CAP_NET_ADMIN is all it has ($kind)" equal 0000000000001000 "$(capabilities $kind)"
    done
    claim "it can't gain privileges" equal 1 "$(capabilities NoNewPrivs)"
    claim "its system calls are filtered" equal 2 "$(capabilities Seccomp)"
    claim "systemd calls its exposure 1.5 at most" systemd-analyze security --no-pager --threshold=15 masqd.service
    systemd-analyze security --no-pager masqd.service | sed -n 's/^.*Overall/  Overall/p'
}

# within COMMAND...: runs it with root's rights, and with the daemon's mounts: what these forbid, nobody there can do.
within() { nsenter --target "$(pid)" --mount "$@"; }
set_within() { within /bin/sh -c "echo $1 >/proc/sys/net/$2"; }
case_mounts() {
    local program socket
    claim "it can execute itself" within /usr/sbin/masqd --version
    claim "and the shell of a reload" within /bin/sh -c :
    for program in /usr/bin/id /usr/bin/env /usr/bin/systemctl /usr/sbin/nft; do
        claim "the machine has $program" test -x $program
        claim "but the daemon can't execute it" fails within $program --version
    done

    claim "it can write ip_forward" set_within 1 ipv4/ip_forward
    claim "and IPv6's forwarding" set_within 1 ipv6/conf/all/forwarding
    ip link add later0 type veth peer name later1
    claim "and the switches of a link that came later" set_within 1 ipv6/conf/later0/use_oif_addrs_only
    ip link delete later0
    claim "another setting can be written" sysctl -q -w net.ipv4.ip_default_ttl=64
    claim "but not by the daemon" fails set_within 64 ipv4/ip_default_ttl
    claim "nor can it turn off what checks the sources of packets" fails set_within 0 ipv4/conf/all/rp_filter
    for program in /run /etc /usr /var/lib /root; do
        claim "it can make no file in $program" fails within /bin/sh -c ": >$program/made"
    done
    cp /usr/bin/id "/proc/$(pid)/root/tmp/made"
    claim "what it makes in its own /tmp" within /bin/sh -c 'test -e /tmp/made'
    claim "it can't execute" fails within /tmp/made

    claim "it can tell systemd how it is" within /bin/sh -c 'test -S /run/systemd/notify'
    claim "the machine has a bus, and systemd a socket" \
        test -S /run/dbus/system_bus_socket -a -S /run/systemd/private
    for socket in /run/dbus/system_bus_socket /run/systemd/private /run/systemd/userdb /run/user; do
        claim "it does not see $socket" fails within /bin/sh -c "test -e $socket"
    done
}

# A kernel without IPv6 has no such folder.
case_no_ipv6() {
    mount -t tmpfs none /proc/sys/net/ipv6
    claim "it starts where IPv6 has no switches" systemctl restart masqd
    claim "and runs" is_running
    claim "with its rules" table_is_there
    umount /proc/sys/net/ipv6
    claim "it starts where they are back" systemctl restart masqd
}

# A line that comes and goes, somebody who deletes the rules, somebody who drops all that is forwarded: the paths that
# no other case takes, so that the filter of system calls sees them.
case_work() {
    ip link add ppp0 type veth peer name far0
    ip link set far0 up
    ip address add 203.0.113.7/24 dev ppp0
    ip link set ppp0 up
    claim "it sees a line come" eventually 10 status_says 'ppp0'
    ip route add default dev ppp0
    ip link delete ppp0
    claim "and go" eventually 10 journal_says 'ppp0 is gone'
    nft flush ruleset
    claim "it restores its rules" eventually 10 table_is_there
    nft -f /etc/nftables.conf
    claim "again" eventually 10 table_is_there
    nft 'add table ip rude; add chain ip rude forward { type filter hook forward priority 0; policy drop; }'
    claim "it reports a foreign drop" eventually 10 journal_says 'ip rude forward'
    nft delete table ip rude
    claim "its limits are set" equal "128 0 8" \
        "$(property LimitNOFILE) $(property LimitMEMLOCK) $(property TasksMax)"
    claim "it has one thread" equal 1 "$(sed -n 's/^Threads:\t//p' "/proc/$(pid)/status")"
    claim "it holds fewer than half of the files that it may" test "$(find "/proc/$(pid)/fd" -type l | wc -l)" -lt 64
}

# opened FILE...: what was opened for writing, made, removed or renamed, of traces.
opened() {
    grep -hE '^[0-9 ]*(open|openat|creat)\(.*O_(WRONLY|RDWR|CREAT)|^[0-9 ]*(mkdir|unlink|rename|link|symlink|mknod|truncate|chmod)[a-z0-9]*\(' "$@" |
        sed -E 's/^[0-9]+ +//' | grep -oE '"[^"]*"' | sort -u
}
case_files() {
    local tracer
    strace -f -qq -e trace=%file -o /run/trace.life -p "$(pid)" &
    tracer=$!
    eventually 10 grep -qE 'TracerPid:.[1-9]' "/proc/$(pid)/status"
    systemctl reload masqd
    nft flush ruleset
    eventually 10 table_is_there
    systemctl stop masqd
    wait $tracer
    strace -f -qq -e trace=%file -o /run/trace.start /usr/sbin/masqd &
    tracer=$!
    eventually 10 table_is_there
    eventually 10 equal 1 "$(forwarding)"
    kill -TERM "$(pidof masqd)"
    wait $tracer
    claim "what it opens for writing is the kernel's switches, and nothing else" \
        equal '"/proc/sys/net/ipv4/ip_forward"' "$(opened /run/trace.start /run/trace.life)"
    nft -f /etc/nftables.conf
    systemctl start masqd
}

# permitted COMMAND...: runs it with what the unit permits; fails if a system call was refused.
permitted() {
    local unit=permitted-$RANDOM
    systemd-run -q --wait --unit=$unit -p SystemCallFilter="$(property SystemCallFilter)" -p SystemCallErrorNumber=kill "$@"
    journalctl --sync
    fails contains "$(journalctl -u $unit --no-pager -o cat)" 'status=31/SYS'
}
case_system_calls() {
    claim "in all that no system call was refused" fails journal_says 'status=31/SYS'
    claim "the doctor gets by with them too" permitted masqd --doctor
    claim "one that is refused would have been seen" fails permitted sync
}

case_reload() {
    local handle main turn
    handle=$(table_handle) main=$(pid)
    # Whoever waits for `systemctl reload` may rely on the new rules: no waiting here.
    for turn in 1 2 3 4 5 6 7 8 9 10; do
        configure 10.$turn.0.0/16
        claim "reload $turn succeeds" systemctl reload masqd
        claim "reload $turn ends when the new network is in force" contains "$(sources)" "10\.$turn\.0\.0/16"
    done
    claim "the table is the same one" equal "$handle" "$(table_handle)"
    claim "the process is the same one" equal "$main" "$(pid)"
}

case_bad_reload() {
    local before status
    before=$(rules)
    configure 192.168.0.0/33
    claim "reload fails with a bad file" fails systemctl reload masqd
    claim "masqd goes on" is_running
    claim "the rules are as before" equal "$before" "$(rules)"
    status=$(systemctl status --no-pager -n 0 masqd)
    claim "status says which rules are in force" contains "$status" 'Status: "in force: '
    claim "status says file, line and column" contains "$status" '/etc/masqd\.toml:3:[0-9]+: error: '
    claim "the journal does too" journal_says '/etc/masqd\.toml:3:[0-9]+: error: '
    configure 10.10.0.0/16
    claim "reload succeeds with a good one" systemctl reload masqd
    claim "status forgets the error" fails status_says 'error:'
}

case_restart() {
    local handle before main
    handle=$(table_handle) before=$(rules) main=$(pid)
    nft monitor >/tmp/monitor &
    claim "restart succeeds" systemctl restart masqd
    claim "the process is another one" is_another_process "$main"
    claim "the table is the same one" equal "$handle" "$(table_handle)"
    claim "the rules are the same" equal "$before" "$(rules)"
    kill $!
    claim "nothing was taken out of the kernel in between" fails grep -E 'inet masqd' /tmp/monitor
    claim "forwarding stays on" equal 1 "$(forwarding)"
}

# An ordinary user who takes what anybody can take: the address that was an earlier version's lock, at which it listens,
# connects and hangs up without a pause. It ends after so many rounds, and when the shell that began it has ended.
squat() {
    # shellcheck disable=SC2016  # the variables are perl's
    setpriv --reuid 12345 --regid 12345 --clear-groups --bounding-set=-all perl -e '
        use Socket qw(:DEFAULT SOCK_NONBLOCK); my ($name, $shell) = (pack_sockaddr_un("\0masqd"), getppid());
        for (1 .. $ARGV[0]) {
            last if getppid() != $shell;
            socket(S, AF_UNIX, SOCK_SEQPACKET, 0); bind(S, $name); listen(S, 1);
            socket(C, AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0); connect(C, $name); close(C); close(S);
            # The lock itself: NFULNL_CFG_CMD_BIND, which is refused.
            socket(N, 16, 3, 12); bind(N, pack("SxxLL", 16, 0, 0));
            send(N, pack("LSSLL CCn SSCxxx", 28, 0x401, 5, 1, 0, 0, 0, 28017, 5, 1, 1), 0); close(N);
        }' "$1"
}
ticks() { awk '{ print $14 + $15 }' "/proc/$(pid)/stat"; }
group_holders() { awk '$1 == 28017' /proc/net/netfilter/nfnetlink_log | wc -l; }
case_lock() {
    local squatter turn before main
    systemctl stop masqd
    squat 100000000 &
    squatter=$!
    for turn in 1 2 3; do
        claim "start $turn beside a squatter succeeds" systemctl start masqd
        claim "restart $turn too" systemctl restart masqd
        claim "the doctor finds it" contains "$(masqd --doctor)" "masqd is running \(pid $(pid), unit masqd\.service\)"
        claim "so does an ordinary user's" contains \
            "$(setpriv --reuid 12345 --clear-groups masqd --doctor)" "masqd is running \(pid $(pid), unit masqd\.service\)"
        claim "stop $turn" systemctl stop masqd
    done
    kill $squatter
    systemctl start masqd
    before=$(ticks)
    squat 30000
    claim "30 000 visits cost it nothing" test $(($(ticks) - before)) -le 1
    main=$(pid)
    claim "a second one by hand is refused" equal 69 "$(RUNTIME_DIRECTORY=/tmp masqd 2>/tmp/second; echo $?)"
    claim "with the pid of the first" contains "$(cat /tmp/second)" "another masqd \(pid $main\)"
    claim "also where /proc and the pids are others" equal 69 \
        "$(unshare --mount --pid --fork --mount-proc masqd >/dev/null 2>&1; echo $?)"
    claim "in a network namespace of their own anybody has a lock of their own" equal 0 \
        "$(unshare -Urn sh -c 'masqd & sleep 1; kill -TERM $!; wait $!; echo $?' 2>/dev/null | tail -n 1)"

    systemctl stop masqd
    masqd 2>/dev/null &
    main=$!
    eventually 10 table_is_there
    before=$(property NRestarts)
    claim "a start of the unit beside one by hand fails" fails systemctl start masqd
    claim "it tries again" eventually 20 restarts_exceed $((before + 4))
    claim "and says why" journal_says "another masqd \(pid $main\)"
    claim "the first one goes on" test -d "/proc/$main"
    claim "and is the only one" equal 1 "$(group_holders)"
    kill -TERM "$main"
    claim "when it has ended the unit is next" eventually 10 is_running
    claim "there is still one" equal 1 "$(group_holders)"
    kill -STOP "$(pid)"
    claim "one that hangs keeps the lock" equal 69 "$(masqd 2>/dev/null; echo $?)"
    kill -CONT "$(pid)"
}

# advised PATTERN: types what the doctor says that is like that; fails where there is nothing.
advised() {
    local command
    command=$(masqd --doctor | sed -n 's/^ *type: //p' | grep -E "$1" | sort -u)
    [ -n "$command" ] && sh -ec "$command"
}
case_advice() {
    systemctl stop masqd
    claim "the doctor says how to start it" advised '^systemctl start masqd$'
    claim "and it runs" is_running
    printf '[reconcile]\nmode = "off"\n' >>/etc/masqd.toml
    systemctl reload masqd
    nft flush chain inet masqd forward
    claim "the doctor says how to put the file in force" advised '^systemctl reload masqd\.service$'
    claim "and it is" contains "$(nft list chain inet masqd forward)" 'ct status'
    configure 10.10.0.0/16
    systemctl reload masqd
}

case_killed() {
    local handle before main restarts
    handle=$(table_handle) before=$(rules) main=$(pid) restarts=$(property NRestarts)
    kill -KILL "$main"
    claim "the rules outlive kill -9" equal "$before" "$(rules)"
    claim "systemd starts it again" eventually 10 restarts_exceed "$restarts"
    claim "it is up again" eventually 10 is_another_process "$main"
    claim "it adopted the table" equal "$handle" "$(table_handle)"
    claim "there is one copy of each rule" equal "$before" "$(rules)"
}

case_watchdog() {
    local before main restarts
    before=$(rules)
    claim "the unit has a watchdog" equal 30s "$(property WatchdogUSec)"
    # A shorter one for the rest of this case.
    mkdir -p /run/systemd/system/masqd.service.d
    printf '[Service]\nWatchdogSec=2s\n' >/run/systemd/system/masqd.service.d/watchdog.conf
    systemctl daemon-reload
    systemctl restart masqd
    main=$(pid) restarts=$(property NRestarts)
    claim "it feeds the watchdog while it is well" eventually 10 is_older_than 5000000
    claim "no restart was needed for that" equal "$restarts/$main" "$(property NRestarts)/$(pid)"
    kill -STOP "$main"
    claim "a hung masqd is started again" eventually 15 restarts_exceed "$restarts"
    claim "it is up again" eventually 10 is_another_process "$main"
    claim "it was the watchdog" journal_says 'Watchdog timeout'
    claim "the rules are the same" equal "$before" "$(rules)"
    rm -r /run/systemd/system/masqd.service.d
    systemctl daemon-reload
}

case_bad_restart() {
    local before
    before=$(rules)
    configure 192.168.0.0/33
    claim "restart fails with a bad file" fails systemctl restart masqd
    claim "the rules are left as they were" equal "$before" "$(rules)"
    configure 10.10.0.0/16
    claim "start succeeds with a good one" systemctl start masqd
    claim "there is one copy of each rule" equal "$before" "$(rules)"
}

case_stop() {
    local foreign
    foreign=$(nft -s list table ip foreign)
    claim "stop succeeds" systemctl stop masqd
    claim "the table is gone" fails table_is_there
    claim "forwarding is as it was before masqd" equal 0 "$(forwarding)"
    claim "the foreign table is as it was" equal "$foreign" "$(nft -s list table ip foreign)"
    claim "systemd calls that a success" equal inactive/success "$(property ActiveState)/$(property Result)"
}

case_bad_start() {
    configure 192.168.0.0/33
    claim "start fails with a bad file" fails systemctl start masqd
    claim "its status is EX_CONFIG" equal 78 "$(property ExecMainStatus)"
    # RestartSec is a second: one that is to come would be waiting now.
    claim "it is not started in a loop" equal failed/failed/0 \
        "$(property ActiveState)/$(property SubState)/$(property NRestarts)"
    claim "nothing is in the kernel" fails table_is_there
    rm /etc/masqd.toml
    claim "start fails without a file" fails systemctl start masqd
    claim "the journal names the file" contains "$(journal | tail -n 5)" '/etc/masqd\.toml'
    claim "it is not started in a loop either" equal failed/failed "$(property ActiveState)/$(property SubState)"
    configure 10.10.0.0/16
    claim "start succeeds with a good one" systemctl start masqd
    claim "the rules are in the kernel" table_is_there
}

dpkg_quietly() { DEBIAN_FRONTEND=noninteractive dpkg "$@" </dev/null; }
status_of_package() { dpkg-query -W -f '${db:Status-Abbrev}' masqd; }
program() { readlink "/proc/$(pid)/exe"; }

case_upgrade() {
    local handle before main
    handle=$(table_handle) before=$(rules) main=$(pid)
    nft monitor >/tmp/monitor &
    claim "the package is upgraded" dpkg_quietly --install /root/newer.deb
    claim "the process is another one" is_another_process "$main"
    claim "it runs the new program" equal /usr/sbin/masqd "$(program)"
    claim "the table is the same one" equal "$handle" "$(table_handle)"
    claim "the rules are the same" equal "$before" "$(rules)"
    kill $!
    claim "nothing was taken out of the kernel in between" fails grep -E 'inet masqd' /tmp/monitor
    claim "the changed configuration was kept" contains "$(cat /etc/masqd.toml)" '10\.10\.0\.0/16'
    claim "the unit is still enabled" systemctl is-enabled masqd
    systemctl stop masqd
    claim "an upgrade while it is stopped" dpkg_quietly --install /root/newer.deb
    claim "leaves it stopped" equal inactive "$(property ActiveState)"
}

case_remove() {
    systemctl start masqd
    claim "the package is removed" dpkg_quietly --remove masqd
    claim "the daemon was stopped" equal "" "$(pidof masqd)"
    claim "the table is gone" fails table_is_there
    claim "forwarding is as it was before masqd" equal 0 "$(forwarding)"
    claim "the configuration stays" contains "$(cat /etc/masqd.toml)" '10\.10\.0\.0/16'
    claim "the package is installed again" dpkg_quietly --install /root/masqd.deb
    claim "the unit is enabled as it was" systemctl is-enabled masqd
    claim "the package is purged" dpkg_quietly --purge masqd
    claim "the configuration is gone" test ! -e /etc/masqd.toml
    claim "nothing is left of it in /etc, /var/lib/systemd and /run" equal "" \
        "$(find /etc /var/lib/systemd /run -name '*masqd*' ! -path '/run/systemd/*' ! -path '*/masqd.service.d*' 2>/dev/null)"
    claim "dpkg knows nothing of it" fails status_of_package
}

case_first_install() {
    claim "the package is installed" dpkg_quietly --install /root/masqd.deb
    claim "the unit is not enabled" fails systemctl is-enabled masqd
    claim "the daemon is not started" equal inactive "$(property ActiveState)"
    claim "nothing is in the kernel" fails table_is_there
    claim "forwarding is off" equal 0 "$(forwarding)"
    claim "the configuration is there, for everybody to read" equal 644 "$(stat -c %a /etc/masqd.toml)"
    claim "the administrator enables it" systemctl enable --now masqd
    claim "its rules are in the kernel" table_is_there
    claim "an upgrade keeps it running" dpkg_quietly --install /root/newer.deb
    claim "with the new program" equal /usr/sbin/masqd "$(program)"
}

run_cases boot confinement mounts no_ipv6 work files reload bad_reload restart lock advice killed watchdog bad_restart stop bad_start \
    upgrade system_calls remove first_install
