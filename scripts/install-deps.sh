#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# install-deps.sh [GROUP...]: installs the Debian packages that are missing, and does nothing if none is.
# Groups: build (compile masqd), run (demo and tests), check (make check), bench (make bench), lab (make unit-test),
# deb (make deb), vm (make vm-test, with lab); default: build run.
set -euo pipefail

# What the Swift toolchain itself loads and calls on a bare Debian: its tools' shared libraries, and a C library,
# C++ library and their start files to compile and link against.
toolchain=(binutils libc6-dev libcurl4 libncurses6 libsqlite3-0 libxml2)
build=(libmnl-dev libnftnl-dev libnetfilter-conntrack-dev libtomlplusplus-dev)
run=(nftables iproute2 conntrack iputils-ping socat procps)
# The last one contains toml-test, the suite that TOML parsers are compared by; without it `make test` skips that.
check=(nftables systemd shellcheck golang-github-burntsushi-toml-dev)
bench=(python3 iptables nftables iproute2)
deb=(binutils dpkg-dev)
vm=(cpio kmod qemu-system-x86 xz-utils)
lab=(debootstrap systemd-container nftables)

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "install-deps: not a Debian system; see scripts/install-deps.sh for what masqd needs, by its Debian names." >&2
    exit 0
fi

# Installed packages and the names that they provide: Debian 13 renamed libcurl4 to libcurl4t64, which provides it.
installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}, ${Provides}\n' | sed -n 's/^ii *//p' |
    tr ',' '\n' | sed 's/ *(.*//; s/ //g')

is_installed() {
    grep -qxF -- "$1" <<<"$installed"
}

# GCC's C++ library carries the compiler's version in its name; the newest that the release has is the one clang takes.
cxx_library() {
    local name='libstdc\+\+-[0-9]+-dev' newest
    newest=$(grep -xE "$name" <<<"$installed" | sort -V | tail -n 1) ||
        newest=$(apt-cache pkgnames libstdc++- | grep -xE "$name" | sort -V | tail -n 1) ||
        newest=g++  # a machine whose package lists were never fetched
    echo "$newest"
}

[ $# -gt 0 ] || set -- build run
wanted=()
for group; do
    case $group in
    build) wanted+=("${toolchain[@]}" "${build[@]}" "$(cxx_library)") ;;
    run) wanted+=("${run[@]}") ;;
    check) wanted+=("${check[@]}") ;;
    bench) wanted+=("${bench[@]}") ;;
    deb) wanted+=("${deb[@]}") ;;
    vm) wanted+=("${vm[@]}") ;;
    lab) wanted+=("${lab[@]}") ;;
    *) echo "install-deps: no group \"$group\"; there are build, run, check, bench, lab, deb and vm." >&2; exit 64 ;;
    esac
done

missing=()
for package in "${wanted[@]}"; do
    is_installed "$package" || [[ " ${missing[*]-} " == *" $package "* ]] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=()
elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    as_root=(sudo)
else
    echo "install-deps: these packages are missing, and only root can install them:" >&2
    echo "    apt-get install ${missing[*]}" >&2
    exit 77
fi

echo "install-deps: installing ${missing[*]}"
apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "$@" </dev/null
}
apt update >/dev/null || echo "install-deps: the package lists could not be renewed; trying with those at hand." >&2
for i in "${!missing[@]}"; do
    [ "${missing[i]}" != g++ ] || missing[i]=$(cxx_library)
done
apt install -y --no-install-recommends "${missing[@]}" >/dev/null || {
    echo "install-deps: apt-get could not install ${missing[*]}; its own words are above." >&2
    exit 69
}
