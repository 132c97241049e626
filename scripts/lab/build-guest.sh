#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# build-guest.sh SUITE [KIND]: makes the lab's root tree of one Debian release (bookworm: systemd 252, trixie: 257), once,
# and prints where it is. The tree stays as Debian ships it: what a run adds is laid over it by the runner.
# KIND: full (the default) has all that the cases call, and the libraries of masqd; bare is Debian's minimum, with the
# libraries downloaded but not installed; clone is Debian's minimum with git and make.
# MASQD_LAB_CACHE: where trees are kept. MASQD_LAB_MIRROR: a Debian archive; default the one that this machine uses.
set -euo pipefail

suite=$1 kind=${2:-full}
case $kind in
bare) packages='' ;;
clone) packages=git,make ;;
full)
    # The daemon's libraries, and a second opinion on what it did.
    packages=systemd-sysv,dbus,libmnl0,libnftnl11,libnetfilter-conntrack3,libstdc++6
    packages+=,nftables,iproute2,conntrack,procps,strace
    # Lines that are dialled, and those who talk and listen on them.
    packages+=,kmod,ppp,pppoe,socat,tcpdump
    ;;
*) echo "lab: no kind \"$kind\" of guest; there are full, bare and clone." >&2; exit 64 ;;
esac
cache=${MASQD_LAB_CACHE:-${XDG_CACHE_HOME:-/var/cache}/masqd-lab}/$suite
[ "$kind" = full ] || cache+=-$kind

[ "$(id -u)" = 0 ] || { echo "lab: only root can build and boot a guest." >&2; exit 77; }
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9

# Another list of packages is another tree.
if [ ! -e "$cache/packages" ] || [ "$(cat "$cache/packages")" != "$packages" ]; then
    # shellcheck disable=SC2016  # apt's variable
    mirror=${MASQD_LAB_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | grep -m 1 /debian)}
    echo "lab: building the $suite guest ($kind), about a minute, once" >&2
    rm -rf "$cache/root" "$cache/packages"
    debootstrap --variant=minbase ${packages:+--include="$packages"} "$suite" "$cache/root" "$mirror" \
        >"$cache/debootstrap.log" 2>&1 </dev/null 9>&- || {
        tail -n 5 "$cache/debootstrap.log" >&2
        echo "lab: debootstrap failed; all it said is in $cache/debootstrap.log" >&2
        exit 69
    }
    # What a package from outside may ask for is at hand, so that later nobody needs the network.
    [ "$kind" != bare ] || chroot "$cache/root" sh -ec '
        apt-get -q -o APT::Sandbox::User=root update
        apt-get -q -o APT::Sandbox::User=root install -y --no-install-recommends --download-only \
            libmnl0 libnftnl11 libnetfilter-conntrack3 libstdc++6' >>"$cache/debootstrap.log" 2>&1 </dev/null 9>&-
    printf '%s\n' "$packages" >"$cache/packages"
fi
echo "$cache/root"
