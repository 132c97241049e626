#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# check.sh: everything that can be said about the sources in seconds, without building; all checks run, then it fails.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

failed=()
check() {
    local name=$1 start=$EPOCHREALTIME
    shift
    if "$@"; then
        printf 'check: %-14s ok, %d ms\n' "$name" $(((${EPOCHREALTIME/[.,]/} - ${start/[.,]/}) / 1000))
    else
        printf 'check: %-14s FAILED\n' "$name"
        failed+=("$name")
    fi
}
# check_with TOOL NAME COMMAND...: not having the tool is said, not failed.
check_with() {
    if command -v "$1" >/dev/null; then
        check "${@:2}"
    else
        printf 'check: %-14s skipped, %s is not installed (scripts/install-deps.sh check)\n' "$2" "$1"
    fi
}

check format swift format lint --strict --parallel --recursive Package.swift Sources Tests
check layers scripts/check-layers.sh
check layers-test scripts/check-layers-test.sh
check_with nft golden scripts/check-golden.sh
check_with systemd-analyze unit scripts/check-unit.sh
# Not "style": a title in brackets and a line of more than 80 bytes are meant.
check_with mandoc manuals mandoc -T lint -W warning docs/man/masqd.8 docs/man/masqd.toml.5
mapfile -d '' -t shell < <(find scripts Tests .ci packaging -type f \( -name '*.sh' -o -path '.ci/*' -o -name lab-run \
    -o -name 'p*inst' -o -name 'p*rm' \) -print0)
check_with shellcheck shellcheck shellcheck -x "${shell[@]}"

[ ${#failed[@]} = 0 ] || { echo "check: failed: ${failed[*]}" >&2; exit 1; }
