#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# bare-test.sh [SUITE [WHO]]: runs README's two commands, `make demo` and `make test`, on a bare Debian: its minimum, git and
# make, and a clone of what is committed. SUITE is bookworm (the default) or trixie; WHO is root (the default) or user, who has sudo.
# Debian 12 has no Swift, so it gets the machine's toolchain; Debian 13 installs its own.
#
# Everything is mounted in a namespace of its own, and what is the machine's is read-only there. Outside of that
# namespace nothing is mounted, so removing the tree behind it can't reach a file of the machine.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=${1:-bookworm} who=${2:-root}
[[ $who == root || $who == user ]] || { echo "bare-test: \"$who\" is neither root nor user." >&2; exit 64; }
[ "$(id -u)" = 0 ] || { echo "bare-test: only root can make a root tree: sudo make bare-test" >&2; exit 77; }
scripts/install-deps.sh bare
root=$(scripts/lab/build-guest.sh "$suite" clone)

# Beside the tree, which is on a disk: two builds and a toolchain are too much for /tmp where that is memory.
work=$(mktemp -d "${root%/root}/run.XXXXXX")
child=
cleanup() {
    [ -z "$child" ] || kill -KILL "$child" 2>/dev/null || true
    wait
    rm -rf --one-file-system "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

home=/root name=root
[ "$who" = root ] || home=/home/masqd name=masqd
upper=$work/upper
mkdir -p "$upper/etc/apt/apt.conf.d" "$upper$home" "$work/overlay" "$work/mount"
git clone --quiet --no-local . "$upper$home/masqd"
git diff --quiet HEAD || echo "bare-test: what is not committed is not tested"

# How this machine reaches Debian's archive. Its hooks around dpkg stay here: they call programs that the tree lacks.
apt-config dump | grep '^Acquire::' | grep -v Auto-Detect >"$upper/etc/apt/apt.conf.d/00machine" || true
# shellcheck disable=SC2016  # apt's variables
archives=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(RELEASE)' 'Created-By: Packages')
security=$(awk '$1 == "Debian" && $3 ~ /-security$/ { print $2; exit }' <<<"$archives")
mirror=${MASQD_LAB_MIRROR:-$(awk '$1 == "Debian" && $3 !~ /-/ { print $2; exit }' <<<"$archives")}
{
    echo "deb $mirror $suite main"
    echo "deb $mirror $suite-updates main"
    [ -z "$security" ] || echo "deb $security $suite-security main"
} >"$upper/etc/apt/sources.list"

# What is shared, at the same place as here.
shared=()
for file in /etc/resolv.conf /etc/hosts /etc/apt/auth.conf /etc/apt/auth.conf.d; do
    [ ! -e "$file" ] || shared+=("$file")
done
while read -r key value; do
    git config --file "$upper/etc/gitconfig" --add "$key" "$value"
    folder=${key#url.}
    folder=${folder%.*}
    [[ $folder != /* || ! -d $folder || " ${shared[*]} " == *" $folder "* ]] || shared+=("$folder")
done < <(git config --get-regexp '^url\..*\.insteadof$')
path=/usr/local/bin:/usr/bin:/bin
[ "$who" = user ] || path=/usr/local/sbin:/usr/sbin:/sbin:$path
if [ "$suite" = bookworm ]; then
    swift=$(readlink -f "$(command -v swift)") || { echo "bare-test: this machine has no Swift to share." >&2; exit 69; }
    toolchain=${swift%/usr/bin/*}/usr
    [ "$toolchain" != /usr ] || { echo "bare-test: $swift is part of this system and can't be shared." >&2; exit 69; }
    shared+=("$toolchain")
    path+=:$toolchain/bin
fi

# shellcheck disable=SC2317,SC2329  # called through unshare
inside() {
    mount -t overlay overlay -o "lowerdir=$root,upperdir=$upper,workdir=$work/overlay" "$work/mount"
    cd "$work/mount"
    mount -t proc proc proc
    mount -t sysfs -o ro sysfs sys
    mount -t tmpfs -o mode=755 tmpfs dev
    for device in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
        IFS=: read -r node major minor <<<"$device"
        mknod -m 666 "dev/$node" c "$major" "$minor"
    done
    mkdir dev/pts dev/shm
    mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts dev/pts
    ln -s pts/ptmx dev/ptmx
    ln -s /proc/self/fd dev/fd
    for number in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${number%:*}" "dev/${number#*:}"; done
    mount -t tmpfs -o mode=1777 tmpfs dev/shm
    for place in "${@:2}"; do
        if [ -d "$place" ]; then mkdir -p ".$place"; else rm -f ".$place" && touch ".$place"; fi
        mount --bind "$place" ".$place"
        mount -o remount,bind,ro ".$place"
    done
    # Not chroot: there the kernel makes no user namespace (create_user_ns in kernel/user_namespace.c).
    pivot_root . .
    umount -l .
    cd /

    environment=(HOME="$home" USER="$name" LOGNAME="$name" TERM=dumb LANG=C.UTF-8)
    as=()
    if [ "$name" != root ]; then
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive sh -ec '
            apt-get -q update && apt-get -q install -y --no-install-recommends sudo' >/dev/null
        useradd --no-create-home --shell /bin/bash "$name"
        chown -R "$name:" "$home"
        echo "$name ALL=(ALL) NOPASSWD: ALL" >"/etc/sudoers.d/$name"
        as=(setpriv --reuid "$name" --regid "$name" --init-groups)
    fi
    cd "$home/masqd"
    for target in demo test; do
        start=$SECONDS
        echo "bare-test: $suite, $who: make $target"
        env -i PATH="$1" "${environment[@]}" "${as[@]}" make "$target" || {
            echo "bare-test: $suite, $who: make $target failed after $((SECONDS - start)) s" >&2
            exit 1
        }
        echo "bare-test: $suite, $who: make $target took $((SECONDS - start)) s"
    done
    version=$(env -i PATH="$1" "${environment[@]}" swift --version 2>/dev/null | grep -om 1 'Swift version [0-9.]*')
    echo "bare-test: make demo and make test pass on a bare $(. /etc/os-release && echo "$PRETTY_NAME") as $who, with $version"
}
export -f inside
export root upper work home name who suite
unshare --mount --propagation private --pid --fork --kill-child --ipc --uts \
    bash -euc 'inside "$@"' inside "$path" "${shared[@]}" </dev/null &
child=$!
wait "$child"
