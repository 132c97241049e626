#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# bench.sh MASQD [JSON]: measures the masqd given by its path beside nft, iptables, firewalld where it is installed, and
# a C program; prints tables, and writes everything measured into JSON (.build/bench.json). QUICK=1: half a minute.
set -euo pipefail
cd "$(dirname "$0")/.."

masqd=${1:?usage: bench.sh path/to/masqd [JSON]}
json=${2:-.build/bench.json}
tools=.build/bench
mkdir -p "$tools" "$(dirname "$json")"
export PATH=$PATH:/usr/sbin:/sbin

# The toolchain has a clang.
compiler=${CC:-$(command -v clang || command -v cc)}
"$compiler" -O2 -Wall -Wextra -o "$tools/bursts" Benchmarks/bursts.c
"$compiler" -O2 -Wall -Wextra -o "$tools/send-batch" Benchmarks/send-batch.c
"$compiler" -O2 -Wall -Wextra -shared -fPIC -o "$tools/record-batch.so" Benchmarks/record-batch.c

exec scripts/private-network.sh python3 -B Benchmarks/bench.py "$masqd" "$tools" "$json"
