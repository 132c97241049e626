# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by the cases that run in a guest: claims, and what they say about masqd.service. A failed claim is printed
# with what was seen, and the next one goes on.

passed=0 failed=0
# claim SENTENCE COMMAND...: the command has to succeed.
claim() {
    local sentence=$1 seen
    shift
    if seen=$("$@" 2>&1); then
        passed=$((passed + 1))
        echo "ok $((passed + failed)) - $sentence"
    else
        failed=$((failed + 1))
        printf 'not ok %d - %s\n    %s\n' $((passed + failed)) "$sentence" "$*"
        [ -z "$seen" ] || echo "    | ${seen//$'\n'/$'\n    | '}"
        # What the daemon and systemd said lately.
        journalctl -u masqd -n 8 --no-pager -o cat | sed 's/^/    journal: /'
    fi
}

# run_cases NAME...: each is a function case_NAME. Fails if a claim failed.
run_cases() {
    local name
    for name; do
        echo "# $name"
        "case_$name"
    done
    echo "1..$((passed + failed))"
    echo "# $passed passed, $failed failed"
    [ $failed = 0 ]
}

# equal EXPECTED SEEN; contains TEXT PATTERN, where the pattern is extended and may span no lines.
equal() { [ "$1" = "$2" ] || { diff <(echo "$1") <(echo "$2"); false; }; }
differ() { [ "$1" != "$2" ] || { echo "both are: $1"; false; }; }
contains() { grep -qE -- "$2" <<<"$1" || { echo "$1"; false; }; }
fails() { ! "$@"; }
# eventually SECONDS COMMAND...: asks again until it is so.
eventually() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || { "$@"; return; }
        sleep 0.05
    done
}

property() { systemctl show -P "$1" masqd.service; }
journal() { journalctl -u masqd --no-pager -o cat; }
# Both take an extended pattern.
journal_says() { contains "$(journal)" "$1"; }
status_says() { contains "$(systemctl status --no-pager -n 0 masqd)" "$1"; }
pid() { property MainPID; }
restarts_exceed() { [ "$(property NRestarts)" -gt "$1" ]; }
is_running() { [ "$(property ActiveState)/$(property SubState)" = active/running ] && [ "$(pid)" != 0 ]; }
is_another_process() { is_running && [ "$(pid)" != "$1" ]; }
is_older_than() { is_running && [ $(($(cut -d. -f1 /proc/uptime) * 1000000 - $(property ExecMainStartTimestampMonotonic))) -gt "$1" ]; }
table_handle() { nft -a list table inet masqd | sed -n 's/^table inet masqd.*# handle //p'; }
# The whole of it, without what traffic changes.
rules() { nft list table inet masqd | sed 's/packets [0-9]* bytes [0-9]*//'; }
table_is_there() { nft list table inet masqd >/dev/null; }
forwarding() { cat /proc/sys/net/ipv4/ip_forward; }
