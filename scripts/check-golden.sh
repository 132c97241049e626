#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# check-golden.sh: the kernel and nft accept every expected ruleset of the golden cases. Nothing is loaded.
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -d '' -t rulesets < <(find Tests/MasqCoreTests/Golden -name '*.nft' -print0 | sort -z)
if [ ${#rulesets[@]} = 0 ]; then
    echo "golden: no ruleset under Tests/MasqCoreTests/Golden" >&2
    exit 1
fi
# shellcheck disable=SC2016  # the inner shell expands it
scripts/private-network.sh bash -c '
    status=0
    for ruleset; do
        nft -c -f "$ruleset" || { echo "golden: nft refuses $ruleset" >&2; status=1; }
    done
    exit $status' golden "${rulesets[@]}"
