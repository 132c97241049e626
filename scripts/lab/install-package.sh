#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# install-package.sh ROOT PACKAGE TREE [COMMAND...]: installs the .deb into a guest's root tree as an image builder does,
# without systemd around it, runs COMMAND there, and leaves in TREE what that changed. ROOT stays as it is.
# With MASQD_LAB_APT=1 apt installs it with what it depends on, which has to be in the tree's archive already.
set -euo pipefail
root=$(realpath -e "$1") package=$(realpath -e "$2") tree=$(realpath -e "$3")
shift 3

# shellcheck disable=SC2317,SC2329  # called through unshare
install() {
    mount --make-rprivate /
    mount -t tmpfs tmpfs /mnt
    mkdir /mnt/{upper,work,root}
    mount -t overlay overlay -o "lowerdir=$root,upperdir=/mnt/upper,workdir=/mnt/work" /mnt/root
    cp "$package" /mnt/root/package.deb
    mount -t proc proc /mnt/root/proc
    if [ -n "${MASQD_LAB_APT:-}" ]; then
        chroot /mnt/root env DEBIAN_FRONTEND=noninteractive \
            apt-get -q -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 install -y --no-install-recommends \
            /package.deb
    else
        chroot /mnt/root dpkg --install /package.deb
    fi
    rm /mnt/root/package.deb
    [ $# = 0 ] || chroot /mnt/root "$@"
    umount /mnt/root/proc
    cp -rT --preserve=mode,links --no-dereference /mnt/upper "$tree"
}
export -f install
export root package tree
unshare --mount --net bash -euc 'install "$@"' install "$@" </dev/null
