#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# build-kernel.sh ROOT: fetches Debian's kernel for a tree of build-guest.sh, and packs the tree and the modules that a
# network lab wants into one image, once. Prints the folder with both: vmlinuz, root.cpio, version.
# Nothing is installed on this machine, and the tree stays as it is.
set -euo pipefail

root=$1
cache=$(dirname "$root")/kernel
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
# The image is of this tree.
if [ -e "$cache/root.cpio" ] && [ "$(dirname "$root")/packages" -ot "$cache/root.cpio" ]; then
    echo "$cache"
    exit
fi
echo "lab: fetching the kernel of $root, once" >&2
rm -rf "$cache"/{root.cpio,vmlinuz,version,download,unpacked,modules}
mkdir "$cache/download"

# The guest's own apt takes the suite's kernel; what it writes is laid over the tree and gone afterwards.
# shellcheck disable=SC2317,SC2329  # called through unshare
fetch() {
    mount --make-rprivate /
    mount -t tmpfs tmpfs /mnt
    mkdir /mnt/{upper,work,root}
    mount -t overlay overlay -o "lowerdir=$root,upperdir=/mnt/upper,workdir=/mnt/work" /mnt/root
    cp /etc/resolv.conf /etc/hosts /mnt/root/etc/
    mount --bind "$cache/download" /mnt/root/media
    # shellcheck disable=SC2016  # the guest's shell
    chroot /mnt/root sh -ec '
        cd /media
        apt-get -q update
        kernel=$(apt-cache depends linux-image-amd64 | sed -n "s/.*Depends: \(linux-image-[0-9].*\)/\1/p")
        apt-get -q -o APT::Sandbox::User=root download "$kernel"'
}
export -f fetch
export root cache
unshare --mount bash -euc fetch >"$cache/fetch.log" 2>&1 </dev/null 9>&- || {
    tail -n 5 "$cache/fetch.log" >&2
    echo "lab: no kernel; all that apt said is in $cache/fetch.log" >&2
    exit 69
}
dpkg -x "$cache"/download/linux-image-*.deb "$cache/unpacked"
cp "$cache"/unpacked/boot/vmlinuz-* "$cache/vmlinuz"
modules=$(echo "$cache"/unpacked/{usr/,}lib/modules/*/ | tr ' ' '\n' | grep -v '\*')
version=$(basename "$modules")

# The whole set is 300 MB. An inexact list: what a suite does not have is not missed.
target=$cache/modules/usr/lib/modules/$version
mkdir -p "$target"
(
    cd "$modules"
    shopt -s nullglob
    wanted=(
        modules.builtin* modules.order kernel/{net,lib,crypto} kernel/arch/x86/crypto kernel/fs/{9p,netfs,fscache,autofs}
        kernel/drivers/virtio kernel/drivers/net/{ppp,slip} kernel/drivers/net/{tun,veth,dummy,ifb}.ko*
    )
    for path in "${wanted[@]}"; do [ ! -e "$path" ] || echo "$path"; done | tar c -T - | tar x -C "$target"
)
# Debian 13's are compressed, which is slow to undo in an emulated machine.
find "$target" -name '*.ko.xz' -exec xz -d {} +
ln -s usr/lib "$cache/modules/lib"
depmod -b "$cache/modules" "$version"
rm "$cache/modules/lib"

# The kernel unpacks it into memory: no disk, nothing to write back.
{
    cd "$root"
    find . -xdev \( -path ./usr/share/doc -o -path ./usr/share/man -o -path ./usr/share/locale -o -path ./usr/share/info \
        -o -path ./var/cache -o -path ./var/lib/apt -o -path ./usr/lib/udev/hwdb.bin -o -path ./boot \
        -o -path ./usr/lib/modules \) -prune -o -print0 | cpio --null -o -H newc --quiet
    cd "$cache/modules"
    find . -print0 | cpio --null -o -H newc --quiet
} >"$cache/root.cpio.new"
rm -rf "$cache"/{download,unpacked,modules}
echo "$version" >"$cache/version"
mv "$cache/root.cpio.new" "$cache/root.cpio"
echo "$cache"
