#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# vm-test.sh PACKAGE [SUITE...]: boots Debian 12 and 13 with their own kernels in virtual machines, with the package
# installed and enabled, and runs Tests/VM/cases.sh there: a gateway on a real dialled line. MASQD_LAB_OUT keeps journals
# and consoles.
set -euo pipefail
cd "$(dirname "$0")/.."

package=$1
shift
[ $# -gt 0 ] || set -- bookworm trixie
[ "$(id -u)" = 0 ] || { echo "vm-test: only root can build a guest: sudo make vm-test" >&2; exit 77; }
scripts/install-deps.sh lab vm

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=()
for suite; do
    root=$(scripts/lab/build-guest.sh "$suite")
    mkdir "$work/$suite"
    scripts/lab/stage.sh "$root" "$package" "$work/$suite" Tests/VM/guest
    install -D -m 644 -t "$work/$suite/usr/local/lib/lab/cases" Tests/VM/cases/*.sh
    echo "# vm-test: $suite"
    start=$SECONDS
    scripts/lab/qemu.sh -t 1800 -i "$work/$suite" ${MASQD_LAB_OUT:+-o "$MASQD_LAB_OUT/$suite-vm"} \
        "$root" Tests/VM/cases.sh || failed+=("$suite")
    echo "# vm-test: $suite took $((SECONDS - start)) s"
done
[ ${#failed[@]} = 0 ] || { echo "vm-test: failed on ${failed[*]}" >&2; exit 1; }
