#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# stage.sh ROOT PACKAGE TREE [LAYER]: a TREE to boot ROOT with: the package installed, LAYER laid over it, the service
# enabled, and in /root a newer version of the same package: newer.deb.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$1 package=$2 tree=$3 layer=${4:-}

"$here/install-package.sh" "$root" "$package" "$tree" systemctl --quiet enable masqd.service >"$tree.log" 2>&1 ||
    { cat "$tree.log" >&2; exit 1; }
mkdir -p "$tree/root"
cp "$package" "$tree/root/masqd.deb"
dpkg-deb --raw-extract "$package" "$tree.newer"
sed -i 's/^Version: .*/&+lab1/' "$tree.newer/DEBIAN/control"
dpkg-deb --root-owner-group --build -Zgzip "$tree.newer" "$tree/root/newer.deb" >/dev/null
rm -r "$tree.newer"
[ -z "$layer" ] || cp -rT --preserve=mode,links --no-dereference "$layer" "$tree"
# The tree becomes the guest's /, whose mode is not a secret's.
chmod 755 "$tree"
