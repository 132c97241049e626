#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# check-golden.sh: the kernel and nft accept every expected ruleset of the golden cases. Nothing is loaded.
# Those with a flowtable are left out, and counted, where the kernel has none.
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -d '' -t rulesets < <(find Tests/MasqCoreTests/Golden -name '*.nft' -print0 | sort -z)
if [ ${#rulesets[@]} = 0 ]; then
    echo "golden: no ruleset under Tests/MasqCoreTests/Golden" >&2
    exit 1
fi
# shellcheck disable=SC2016  # the inner shell expands it
scripts/private-network.sh bash -c '
    status=0 skipped=0
    nft -c "table inet probe { flowtable f { hook ingress priority 0; }; }" 2>/dev/null || no_flowtables=1
    for ruleset; do
        if [ -n "${no_flowtables-}" ] && grep -q "^.flowtable " "$ruleset"; then
            skipped=$((skipped + 1))
            continue
        fi
        nft -c -f "$ruleset" || { echo "golden: nft refuses $ruleset" >&2; status=1; }
    done
    [ $skipped = 0 ] || echo "golden: $skipped rulesets not checked, this kernel has no flowtables"
    exit $status' golden "${rulesets[@]}"
