#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# unit-test.sh PACKAGE [SUITE...]: installs the Debian package on bare Debian 12 and 13, then into guests with their
# systemd, boots them, and runs Tests/Unit/*.sh there. MASQD_LAB_OUT keeps the journals.
set -euo pipefail
cd "$(dirname "$0")/.."

package=$1
shift
[ $# -gt 0 ] || set -- bookworm trixie
[ "$(id -u)" = 0 ] || { echo "unit-test: only root can boot a guest: sudo make unit-test" >&2; exit 77; }
scripts/install-deps.sh lab

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=()
for suite; do
    bare=$(scripts/lab/build-guest.sh "$suite" bare)
    root=$(scripts/lab/build-guest.sh "$suite")
    echo "# unit-test: $suite, $(chroot "$root" systemctl --version | head -n 1)"

    mkdir -p "$work/$suite"/{bare,cases,bad-boot}
    if MASQD_LAB_APT=1 scripts/lab/install-package.sh "$bare" "$package" "$work/$suite/bare" \
        masqd --check >"$work/$suite/bare.log" 2>&1; then
        echo "ok - the package and what it depends on is all that masqd needs on a bare $suite"
    else
        cat "$work/$suite/bare.log"
        echo "not ok - the package can't be used on a bare $suite"
        failed+=("$suite/bare")
    fi

    for cases in cases bad-boot; do
        scripts/lab/stage.sh "$root" "$package" "$work/$suite/$cases" Tests/Unit/guest
        tree=$work/$suite/$cases
        mkdir -p "$tree/etc/systemd/system/sysinit.target.wants"
        ln -s /lib/systemd/system/nftables.service "$tree/etc/systemd/system/sysinit.target.wants/"
        [ $cases = cases ] || printf '[[masquerade]]\nout_interface = 5\n' >"$tree/etc/masqd.toml"
        scripts/lab/nspawn.sh -t 400 -i "$tree" ${MASQD_LAB_OUT:+-o "$MASQD_LAB_OUT/$suite-$cases"} \
            "$root" "Tests/Unit/$cases.sh" || failed+=("$suite/$cases")
    done
done
[ ${#failed[@]} = 0 ] || { echo "unit-test: failed: ${failed[*]}" >&2; exit 1; }
