#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# nspawn.sh [-t SECONDS] [-i TREE] [-o DIR] ROOT SCRIPT: boots the root tree with its own systemd in a container on
# this kernel, in half a second, runs SCRIPT there as root, prints what it said and exits with its status.
# TREE is laid over the root before it boots. DIR is /lab in the guest; its journal comes back there.
# Nothing that the guest does reaches ROOT or this machine's network.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

limit=120 tree='' out=''
while getopts t:i:o: option; do
    case $option in
    t) limit=$OPTARG ;;
    i) tree=$OPTARG ;;
    o) out=$OPTARG ;;
    *) exit 64 ;;
    esac
done
shift $((OPTIND - 1))
[ $# = 2 ] || { sed -n 3,6p "$0" >&2; exit 64; }
root=$1 script=$2

[ -n "$out" ] || { out=$(mktemp -d); trap 'rm -rf "$out"' EXIT; }
mkdir -p "$out"
out=$(realpath "$out")
rm -f "$out/status"
cp "$script" "$out/command"
: >"$out/output"
name=masqd-lab-$$

# Both run in mount namespaces of their own, so their mounts go with them.
# shellcheck disable=SC2317,SC2329  # called through unshare
boot() {
    mount --make-rprivate /
    # Without systemd around it the guest needs a cgroup to live in, and one pure cgroup2 tree: 256 insists on it.
    local registration=(--register=no)
    if [ ! -d /run/systemd/system ]; then
        umount -R /sys/fs/cgroup 2>/dev/null || true
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
        mkdir "/sys/fs/cgroup/$name"
        echo "$BASHPID" >"/sys/fs/cgroup/$name/cgroup.procs"
        registration+=(--keep-unit)
    fi
    # What the guest writes stays in memory.
    mount -t tmpfs tmpfs /mnt
    mkdir /mnt/{upper,work,root}
    mount -t overlay overlay -o "lowerdir=$root,upperdir=/mnt/upper,workdir=/mnt/work" /mnt/root
    local layer
    for layer in "$here/guest" ${tree:+"$tree"}; do
        cp -rT --preserve=mode,links --no-dereference "$layer" /mnt/root
    done
    # A known machine: no first-boot presets, no questions.
    echo 0123456789abcdef0123456789abcdef >/mnt/root/etc/machine-id
    echo lab >/mnt/root/etc/hostname
    systemctl -q --root=/mnt/root set-default lab.target

    exec timeout --foreground -k 5 "$limit" systemd-nspawn -q -D /mnt/root -M "$name" "${registration[@]}" \
        --private-network --capability=all --bind="$out:/lab" -b systemd.show_status=0 </dev/null
}
# shellcheck disable=SC2317,SC2329
remove_cgroups() {
    mount --make-rprivate /
    mount -t cgroup2 cgroup2 /mnt
    find "/mnt/$name" -depth -type d -exec rmdir {} + 2>/dev/null
}
export -f boot remove_cgroups
export here limit tree out root name
unshare --mount bash -euc boot >"$out/console.log" 2>&1 || true
unshare --mount bash -c remove_cgroups || true

cat "$out/output"
[ -e "$out/status" ] || {
    echo "lab: the guest left no status within $limit s; the end of its console:" >&2
    tail -n 20 "$out/console.log" >&2
    exit 99
}
exit "$(cat "$out/status")"
