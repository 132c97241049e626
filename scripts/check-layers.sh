#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# check-layers.sh [ROOT]: the rules of docs/DESIGN.md that the compiler does not enforce; prints every breach, exits 1.
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

# What a Swift target of Sources/ may import; a target that is not here is a breach too.
declare -A allowed=(
    [MasqCore]="CToml"
    [MasqKernel]="Glibc CNetfilter MasqCore"
    [masqd]="Glibc MasqCore MasqKernel"
)
# Targets in C, which import nothing.
c_targets=" CNetfilter CToml "

breaches=0
breach() {
    echo "layers: $*" >&2
    breaches=$((breaches + 1))
}

# `@testable import struct A.B` and all other forms, as "file:line:A".
imports() {
    grep -rnE --include='*.swift' \
        '^\s*(@\w+(\([^)]*\))?\s+)*((public|package|internal|fileprivate|private)\s+)?import\s' "$@" |
        sed -E 's/^([^:]+:[0-9]+):.*\bimport\s+((struct|class|enum|protocol|typealias|func|let|var)\s+)?(\w+).*/\1:\4/' ||
        true
}

for folder in Sources/*/; do
    target=$(basename "$folder")
    [[ $c_targets != *" $target "* ]] || continue
    [[ -v allowed[$target] ]] ||
        breach "Sources/$target: no rule says what it may import; add it to scripts/check-layers.sh and docs/DESIGN.md"
    while IFS=: read -r file line module; do
        [[ " ${allowed[$target]-} " == *" $module "* ]] ||
            breach "$file:$line: $target must not import $module (it may: ${allowed[$target]-nothing})"
    done < <(imports "$folder")
done

# toml++ has one door.
mapfile -t doors < <(imports Sources/MasqCore | sed -n 's/:[0-9]*:CToml$//p' | sort -u)
for file in "${doors[@]}"; do
    [[ $file == Sources/MasqCore/Config/* ]] ||
        breach "$file: CToml is imported in Sources/MasqCore/Config/ only"
done
[ ${#doors[@]} -le 1 ] || breach "CToml is imported by ${#doors[@]} files, not by one: ${doors[*]}"

# Only executables speak.
while IFS=: read -r file line text; do
    breach "$file:$line: only executables print or log: $text"
done < <(grep -rnE --include='*.swift' \
    '(^|[^A-Za-z0-9_.])(print|debugPrint|fputs|puts|perror|vfprintf|vprintf|syslog|vsyslog)\s*\(|\b(stdout|stderr|STDOUT_FILENO|STDERR_FILENO)\b' \
    Sources/MasqCore Sources/MasqKernel | grep -vE '^[^:]+:[0-9]+:\s*//' || true)

# A name must say what lives there.
while read -r path; do
    breach "$path: a name that says nothing about what it holds"
done < <(find Sources Tests scripts -regextype posix-extended \
    -iregex '.*/([^/]*[+_-])?(utils?|utilities|helpers?|common|extras?|misc)([+_.-][^/]*)?' -o \
    -regextype posix-extended -regex '.*[a-z](Utils?|Utilities|Helpers?|Common|Extras?|Misc)([+.][^/]*)?')

# The licence, within the first lines: a shebang or the tools version may come before it.
while read -r file; do
    head -n 3 "$file" | grep -qE 'SPDX-License-Identifier: GPL-3.0-or-later( \*/)?$' ||
        breach "$file: no SPDX line at its top"
done < <(find Package.swift Makefile .ci Sources Tests scripts systemd -type f \( -name '*.swift' -o -name '*.[ch]' \
    -o -name '*.cpp' -o -name '*.hpp' -o -name '*.modulemap' -o -name '*.sh' -o -name '*.service' -o -name '*.target' \
    -o -name Makefile -o -path '.ci/*' \))

[ $breaches = 0 ]
