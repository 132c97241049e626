#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# sanitize.sh [ARGUMENT...]: the tests under AddressSanitizer, then under ThreadSanitizer, each built apart.
set -euo pipefail
cd "$(dirname "$0")/.."

status=0
for sanitizer in address thread; do
    echo "sanitize: $sanitizer"
    # Leaks are looked for at exit with ptrace, which a user namespace may forbid.
    ASAN_OPTIONS=detect_leaks=0 TSAN_OPTIONS=halt_on_error=1 TEST_LIMIT=${TEST_LIMIT:-1800} \
        TEST_BUILD_FLAGS="--sanitize=$sanitizer --scratch-path .build-${sanitizer:0:1}san" scripts/test.sh "$@" || {
        echo "sanitize: the tests failed under the $sanitizer sanitizer." >&2
        status=1
    }
done
exit $status
