#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# unit-test.sh MASQD [SUITE...]: installs masqd as `make install` does into guests with Debian 12's and Debian 13's
# systemd, enables it, boots them, and runs Tests/Unit/cases.sh there. MASQD_LAB_OUT keeps the journals.
set -euo pipefail
cd "$(dirname "$0")/.."

masqd=$1
shift
[ $# -gt 0 ] || set -- bookworm trixie
[ "$(id -u)" = 0 ] || { echo "unit-test: only root can boot a guest: sudo make unit-test" >&2; exit 77; }
scripts/install-deps.sh lab

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
make -s --no-print-directory install MASQD="$masqd" PREFIX=/usr/local DESTDIR="$stage"
cp -rT Tests/Unit/guest "$stage"
mkdir -p "$stage"/etc/systemd/system/{multi-user,sysinit}.target.wants
ln -s /usr/local/lib/systemd/system/masqd.service "$stage/etc/systemd/system/multi-user.target.wants/"
ln -s /lib/systemd/system/nftables.service "$stage/etc/systemd/system/sysinit.target.wants/"
# The stage becomes the guest's /, whose mode is not a secret's.
chmod 755 "$stage"

failed=()
for suite; do
    root=$(scripts/lab/build-guest.sh "$suite")
    echo "unit-test: $suite, $(chroot "$root" systemctl --version | head -n 1)"
    scripts/lab/nspawn.sh -t 180 -i "$stage" ${MASQD_LAB_OUT:+-o "$MASQD_LAB_OUT/$suite"} "$root" Tests/Unit/cases.sh ||
        failed+=("$suite")
done
[ ${#failed[@]} = 0 ] || { echo "unit-test: failed on ${failed[*]}" >&2; exit 1; }
