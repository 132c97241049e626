#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# nspawn.sh [-t SECONDS] [-i TREE] [-o DIR] ROOT SCRIPT: boots the root tree with its own systemd in a container on
# this kernel, in half a second, runs SCRIPT there as root, prints what it said and exits with its status.
# TREE is laid over the root before it boots. DIR is /lab in the guest; its journal comes back there.
# Nothing that the guest does reaches ROOT or this machine's network.
set -euo pipefail
# shellcheck source=scripts/lab/contract.sh
. "$(dirname "$0")/contract.sh"
take_arguments 120 "$@"
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
    lay_over /mnt/root
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
export -f boot remove_cgroups lay_over
export lab limit tree out root name
unshare --mount bash -euc boot >"$out/console.log" 2>&1 || true
unshare --mount bash -c remove_cgroups || true

cat "$out/output"
finish
