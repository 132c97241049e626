#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# check-layers-test.sh: seeds one breach at a time into a copy of the sources; check-layers.sh must find each.
set -euo pipefail
cd "$(dirname "$0")/.."

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
licence='// SPDX-License-Identifier: GPL-3.0-or-later'

# seed FILE TEXT WORDS: with FILE holding TEXT, the check fails and says WORDS.
failures=0
seed() {
    rm -rf "${copy:?}"/{*,.ci}
    mkdir -p "$copy"/{.ci,Sources/{CNetfilter,CToml,MasqCore/Config,MasqKernel,masqd},Tests,scripts,systemd}
    printf '# %s\n' "${licence#// }" >"$copy/Makefile"
    printf '%s\n' "$licence" >"$copy/Package.swift"
    printf '%s\nimport CToml\n' "$licence" >"$copy/Sources/MasqCore/Config/TomlDocument.swift"
    printf '%s\nimport Glibc\n// print("in a comment")\n' "$licence" >"$copy/Sources/MasqKernel/Socket.swift"
    if [ -n "$1" ]; then
        mkdir -p "$(dirname "$copy/$1")"
        printf '%s\n' "$2" >"$copy/$1"
    fi
    local said
    if said=$(scripts/check-layers.sh "$copy" 2>&1); then
        [ -z "$3" ] || { echo "layers-test: not found: $1: $2" >&2; failures=$((failures + 1)); }
    else
        [[ -n $3 && $said == *"$3"* ]] ||
            { echo "layers-test: $1: $2: said instead: $said" >&2; failures=$((failures + 1)); }
    fi
}

seed "" "" ""
for module in Glibc Foundation FoundationEssentials Dispatch CNetfilter MasqKernel; do
    seed Sources/MasqCore/New.swift "$licence"$'\n'"import $module" "MasqCore must not import $module"
done
seed Sources/MasqCore/New.swift "$licence"$'\n'"@preconcurrency internal import struct Foundation.URL" "import Foundation"
seed Sources/MasqCore/New.swift "$licence"$'\n'"#if os(Linux)"$'\n'"    import Glibc"$'\n'"#endif" "import Glibc"
seed Sources/MasqCore/Network/New.swift "$licence"$'\n'"print(1)" "only executables print"
seed Sources/MasqKernel/New.swift "$licence"$'\n'"import CToml" "MasqKernel must not import CToml"
seed Sources/MasqKernel/New.swift "$licence"$'\n'"import Foundation" "MasqKernel must not import Foundation"
seed Sources/MasqKernel/New.swift "$licence"$'\n'"    fputs(text, stderr)" "only executables print"
seed Sources/MasqKernel/New.swift "$licence"$'\n'"    { print(text) }" "only executables print"
seed Sources/masqd/New.swift "$licence"$'\n'"import CNetfilter" "masqd must not import CNetfilter"
seed Sources/masqd/New.swift "$licence"$'\n'"import Dispatch" "masqd must not import Dispatch"
seed Sources/MasqCore/Config/New.swift "$licence"$'\n'"import CToml" "by 2 files"
seed Sources/MasqCore/Network/New.swift "$licence"$'\n'"import CToml" "in Sources/MasqCore/Config/ only"
seed Sources/masqother/New.swift "$licence" "no rule says"
for name in Utils Helpers.swift NetlinkHelper.swift String+Extras.swift common.c Extra+More.swift; do
    seed "Sources/MasqKernel/$name" "$licence" "says nothing"
done
seed Tests/MasqCoreTests/New.swift "import Testing" "no SPDX line"
seed Sources/CToml/New.cpp "int x;" "no SPDX line"
seed scripts/new.sh "#!/bin/bash" "no SPDX line"

[ $failures = 0 ] || exit 1
