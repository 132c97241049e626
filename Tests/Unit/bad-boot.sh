#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs in the guest (scripts/unit-test.sh boots it): masqd is enabled, and its file was bad when the machine booted.
set -uo pipefail

# shellcheck source=scripts/lab/guest/usr/local/lib/lab/claims.sh
. /usr/local/lib/lab/claims.sh

case_bad_boot() {
    claim "the boot goes on without masqd" systemctl is-active multi-user.target
    claim "masqd failed once, and is not tried in a loop" equal failed/failed/0 \
        "$(property ActiveState)/$(property SubState)/$(property NRestarts)"
    claim "the journal says file, line and column" journal_says '/etc/masqd\.toml:2:[0-9]+: error: '
    claim "status does too" contains "$(systemctl status --no-pager masqd)" '/etc/masqd\.toml:2:[0-9]+: error: '
    claim "nothing is in the kernel" fails table_is_there
    claim "nothing is forwarded" equal 0 "$(forwarding)"
    printf '[[masquerade]]\nout_interface = "ppp0"\nsource = "10.0.0.0/8"\n' >/etc/masqd.toml
    claim "with a good file it starts" systemctl start masqd
    claim "its rules are in the kernel" table_is_there
    claim "and forwarding is on" equal 1 "$(forwarding)"
}

run_cases bad_boot
