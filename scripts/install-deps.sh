#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# install-deps.sh [GROUP...]: installs the Debian packages that are missing, and does nothing if none is.
# Groups: build (compile masqd), run (the demo), test (the tests, with run), check (make check), bench (make bench), lab
# (make unit-test), deb (make deb), vm (make vm-test, with lab), bare (make bare-test); default: build run.
# A Swift toolchain is left to whoever has one. Where none is found, build takes Debian's own, from Debian 13 on.
set -euo pipefail

# What the Swift toolchain itself loads and calls on a bare Debian: its tools' shared libraries, and a C library,
# C++ library and their start files to compile and link against.
toolchain=(binutils libc6-dev libcurl4 libncurses6 libsqlite3-0 libxml2)
build=(libmnl-dev libnftnl-dev libnetfilter-conntrack-dev libtomlplusplus-dev)
run=(nftables iproute2 conntrack iputils-ping socat procps)
# iptables with iptables-legacy, whose rules the tests make; the names of protocols and services; and toml-test, the suite that TOML
# parsers are compared by. Not ufw and firewalld: Debian starts a firewall that it installs, on the machine itself.
test=(iptables netbase golang-github-burntsushi-toml-dev)
check=(nftables systemd shellcheck mandoc)
bench=(python3 iptables nftables iproute2)
deb=(binutils dpkg-dev)
vm=(cpio kmod qemu-system-x86 xz-utils)
lab=(debootstrap systemd-container nftables)
bare=(debootstrap)

no_toolchain() {
    echo "install-deps: there is no Swift toolchain here, and none to install: masqd is built with Swift 6.0 or later." >&2
    echo "    Debian 13 has one (swiftlang); for other systems https://www.swift.org/install has one, whose usr/bin goes into PATH." >&2
    exit 69
}

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "install-deps: not a Debian system; see scripts/install-deps.sh for what masqd needs, by its Debian names." >&2
    command -v swift >/dev/null || no_toolchain
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
needs_toolchain=
for group; do
    case $group in
    build)
        wanted+=("${toolchain[@]}" "${build[@]}" "$(cxx_library)")
        command -v swift >/dev/null || needs_toolchain=yes
        ;;
    run) wanted+=("${run[@]}") ;;
    test) wanted+=("${test[@]}") ;;
    check) wanted+=("${check[@]}") ;;
    bench) wanted+=("${bench[@]}") ;;
    deb) wanted+=("${deb[@]}") ;;
    vm) wanted+=("${vm[@]}") ;;
    lab) wanted+=("${lab[@]}") ;;
    bare) wanted+=("${bare[@]}") ;;
    *) echo "install-deps: no group \"$group\"; there are build, run, test, check, bench, lab, deb, vm, bare." >&2; exit 64 ;;
    esac
done

missing=()
for package in "${wanted[@]}"; do
    is_installed "$package" || [[ " ${missing[*]-} " == *" $package "* ]] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || [ -n "$needs_toolchain" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=()
elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    as_root=(sudo)
else
    echo "install-deps: these packages are missing, and only root can install them:" >&2
    echo "    apt-get install ${missing[*]}${needs_toolchain:+ swiftlang  # unless another Swift 6.0 or later is in PATH}" >&2
    exit 77
fi

apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "$@" </dev/null
}
apt update >/dev/null || echo "install-deps: the package lists could not be renewed; trying with those at hand." >&2
if [ -n "$needs_toolchain" ]; then
    apt-cache show swiftlang >/dev/null 2>&1 || no_toolchain
    missing+=(swiftlang)
fi
echo "install-deps: installing ${missing[*]}"
for i in "${!missing[@]}"; do
    [ "${missing[i]}" != g++ ] || missing[i]=$(cxx_library)
done
apt install -y --no-install-recommends "${missing[@]}" >/dev/null || {
    echo "install-deps: apt-get could not install ${missing[*]}; its own words are above." >&2
    exit 69
}
