#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# test.sh [ARGUMENT...]: builds the tests and runs them in a private network namespace; arguments go to `swift test`.
# TEST_BUILD_FLAGS: for both (a sanitizer, another scratch path). TEST_LIMIT: seconds until a hung run is killed.
set -euo pipefail
cd "$(dirname "$0")/.."

read -ra flags <<<"${TEST_BUILD_FLAGS:-}"
# After a crash Swift's backtracer can hang for minutes.
export SWIFT_BACKTRACE=enable=no

swift build --build-tests "${flags[@]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The namespace has no way out, and needs none: everything is built.
timeout -k 10 "${TEST_LIMIT:-900}" scripts/private-network.sh \
    swift test --skip-build --disable-xctest "${flags[@]}" "$@" </dev/null 2>&1 | tee "$log" && {
    # ➜ Test "title" skipped: "reason", or a suite's name, and then each of its tests follows.
    reasons=$(sed -nE 's/^➜ +Test .* skipped: "(.*)"$/\1/p' "$log" | sort | uniq -c | sed -E 's/^ *([0-9]+) (.*)/\1 (\2)/')
    [ -z "$reasons" ] || echo "tests skipped: ${reasons//$'\n'/, }"
    exit
}

echo "what failed, once more:"
grep -aE -A 8 "recorded an issue" "$log" | grep -avE "^[◇✔]" || tail -n 20 "$log"
exit 1
