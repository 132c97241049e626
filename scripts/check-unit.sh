#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# check-unit.sh [UNIT]: systemd finds nothing to say about the unit, on a machine where masqd may not be installed.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# Every command of the unit's own program becomes one that is there; all else stays as it ships.
sed 's|=/usr/local/sbin/masqd|=/bin/true|' "${1:-systemd/masqd.service}" >"$folder/masqd.service"

# It exits 0 for an unknown key or value, so what it says counts, not its status. Complaints about other
# units of this machine do not.
said=$(systemd-analyze verify --man=no "$folder/masqd.service" 2>&1) || true
said=$(grep -F 'masqd.service' <<<"$said" || true)
[ -z "$said" ] || { printf '%s\n' "${said//$folder/systemd}" >&2; exit 1; }
