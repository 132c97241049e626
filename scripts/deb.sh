#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# deb.sh MASQD [FOLDER]: makes masqd_VERSION_ARCHITECTURE.deb of a built masqd, and prints its path; FOLDER, default
# .build, is where it goes. What is in it is what `make install` installs, in Debian's places.
#
# Not debhelper: Debian has no Swift to build a source package with, so a debian/ folder would promise what it can't
# keep, and Debian 12's dh_installsystemd knows units in /lib only, which Debian 13 forbids. What debhelper would write
# for one program and one unit is packaging/debian/post* and prerm.
set -euo pipefail
cd "$(dirname "$0")/.."

masqd=$(realpath -e "$1")
folder=${2:-.build}
scripts/install-deps.sh deb

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree
share=$tree/usr/share
# Directories are readable whoever builds it.
umask 022
mkdir -p "$tree"
make -s --no-print-directory install MASQD="$masqd" \
    PREFIX=/usr sysconfdir=/etc unitdir=/usr/lib/systemd/system DESTDIR="$tree"

# The version is the changelog's, whose upstream part is the program's.
version=$(dpkg-parsechangelog -l packaging/debian/changelog -S Version)
if [ "${version%-*}" != "$("$masqd" --version | sed 's/^masqd //')" ]; then
    echo "deb: packaging/debian/changelog says $version, but this is $("$masqd" --version)" >&2
    exit 65
fi
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(dpkg-parsechangelog -l packaging/debian/changelog -S Timestamp)}

strip --strip-all --remove-section=.comment --remove-section=.note "$tree/usr/sbin/masqd"

# Documents as Debian wants them.
doc=$share/doc/masqd
rm "$doc/LICENSE"  # in copyright, and in /usr/share/common-licenses
install -m 644 packaging/debian/copyright packaging/debian/README.Debian "$doc"
gzip -9n <CHANGELOG.md >"$doc/changelog.gz"
gzip -9n <packaging/debian/changelog >"$doc/changelog.Debian.gz"
find "$share/man" -type f -exec gzip -9n {} +
chmod 644 "$doc"/*

# Control files. dpkg's tools look for debian/control where they run.
mkdir "$tree/DEBIAN" "$work/debian"
cp packaging/debian/control "$work/debian/control"
install -m 755 packaging/debian/{postinst,prerm,postrm} "$tree/DEBIAN"
echo /etc/masqd.toml >"$tree/DEBIAN/conffiles"
(cd "$tree" && find . -type f ! -path './DEBIAN/*' ! -path './etc/*' -printf '%P\0' | sort -z | xargs -0 md5sum) \
    >"$tree/DEBIAN/md5sums"
chmod 644 "$tree/DEBIAN"/{conffiles,md5sums}
(
    cd "$work"
    dpkg-shlibdeps -Tsubstvars tree/usr/sbin/masqd
    dpkg-gencontrol -Tsubstvars -l"$OLDPWD/packaging/debian/changelog" -ffiles -Ptree
)

mkdir -p "$folder"
# -Zxz: what dpkg of Debian 11 and later reads.
dpkg-deb --root-owner-group -Zxz --build "$tree" "$folder" >/dev/null
echo "$folder/$(awk '{ print $1 }' "$work/files")"
