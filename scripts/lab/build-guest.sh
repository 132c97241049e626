#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# build-guest.sh SUITE: makes the lab's root tree of one Debian release (bookworm: systemd 252, trixie: 257), once, and
# prints where it is. The tree stays as Debian ships it: what a run adds is laid over it by the runner.
# MASQD_LAB_CACHE: where trees are kept. MASQD_LAB_MIRROR: a Debian archive; default the one that this machine uses.
set -euo pipefail

suite=$1
cache=${MASQD_LAB_CACHE:-${XDG_CACHE_HOME:-/var/cache}/masqd-lab}/$suite
# The daemon's libraries, and a second opinion on what it did.
packages=systemd-sysv,dbus,libmnl0,libnftnl11,libnetfilter-conntrack3,libstdc++6
packages+=,nftables,iproute2,conntrack,procps

[ "$(id -u)" = 0 ] || { echo "lab: only root can build and boot a guest." >&2; exit 77; }
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9

# Another list of packages is another tree.
if [ "$(cat "$cache/packages" 2>/dev/null)" != "$packages" ]; then
    # shellcheck disable=SC2016  # apt's variable
    mirror=${MASQD_LAB_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | grep -m 1 /debian)}
    echo "lab: building the $suite guest, about a minute, once" >&2
    rm -rf "$cache/root" "$cache/packages"
    debootstrap --variant=minbase --include="$packages" "$suite" "$cache/root" "$mirror" \
        >"$cache/debootstrap.log" 2>&1 </dev/null 9>&- || {
        tail -n 5 "$cache/debootstrap.log" >&2
        echo "lab: debootstrap failed; all it said is in $cache/debootstrap.log" >&2
        exit 69
    }
    printf '%s\n' "$packages" >"$cache/packages"
fi
echo "$cache/root"
