#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# fuzz.sh [TARGET...]: lets libFuzzer, with AddressSanitizer, search each target for inputs that break it.
# FUZZ_SECONDS: for each target, 60 if not given. What it finds beyond the corpus stays in .build-fuzz/TARGET, and is
# where the next run begins; an input that breaks something is printed with its path, and belongs into
# Tests/Fuzz/Corpus/TARGET once it is mended.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=.build-fuzz
seconds=${FUZZ_SECONDS:-60}
[ $# -gt 0 ] || set -- configuration route nftables conntrack

# Optimised, since it is about speed; the targets import what is internal all the same. The two sanitizers are named
# in one flag: SwiftPM passes --sanitize in any order, and the compiler takes the last one only. Exclusivity is not
# enforced, since what a library gives up in the middle leaves accesses open.
MASQD_FUZZ=build swift build -c release --product fuzz --scratch-path "$scratch" --sanitize fuzzer \
    -Xswiftc -sanitize=fuzzer,address -Xswiftc -enable-testing \
    -Xswiftc -enforce-exclusivity=unchecked -Xcc -fsanitize=fuzzer-no-link,address

status=0
for target; do
    arguments=("Tests/Fuzz/Corpus/$target")
    [ "$target" != configuration ] || arguments=(-dict=Tests/Fuzz/configuration.dict Tests/MasqCoreTests/Golden)
    found=$scratch/$target
    mkdir -p "$found"
    echo "fuzz: $target, $seconds s"
    # A crash needs its input, not Swift's own stack trace, which can hang for minutes.
    MASQD_FUZZ=$target SWIFT_BACKTRACE=enable=no ASAN_OPTIONS=detect_leaks=0 \
        "$scratch/release/fuzz" -max_total_time="$seconds" -max_len=32768 -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -verbosity=1 -artifact_prefix="$scratch/$target-" \
        "$found" "${arguments[@]}" >"$scratch/$target.log" 2>&1 </dev/null || {
        status=1
        echo "fuzz: $target FAILED; the end of $scratch/$target.log:"
        tail -n 25 "$scratch/$target.log"
    }
    awk '/ cov: / { cov = $4; ft = $6 } /number_of_executed_units/ { n = $2 } /average_exec_per_sec/ { rate = $2 }
        END { printf "fuzz: %d inputs, %d a second, %d edges covered, %d features\n", n, rate, cov, ft }' \
        "$scratch/$target.log"
done
exit $status
