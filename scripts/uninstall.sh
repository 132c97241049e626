#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# uninstall.sh: for `make uninstall`, which sets PREFIX, sysconfdir, unitdir and DESTDIR.
set -euo pipefail
: "${PREFIX:?}" "${sysconfdir:?}" "${unitdir:?}"  # run it as `make uninstall`

# While unit and daemon are still there: the daemon takes its rules with it.
if [ -z "$DESTDIR" ] && [ -d /run/systemd/system ] && [ -e "$unitdir/masqd.service" ]; then
    systemctl disable --now masqd.service
fi
rm -f "$DESTDIR$PREFIX/sbin/masqd" "$DESTDIR$unitdir/masqd.service"
rm -f "$DESTDIR$PREFIX/share/man/man8/masqd.8" "$DESTDIR$PREFIX/share/man/man5/masqd.toml.5"
rm -rf "$DESTDIR$PREFIX/share/doc/masqd"
[ ! -e "$DESTDIR$sysconfdir/masqd.toml" ] || echo "uninstall: $DESTDIR$sysconfdir/masqd.toml is yours and stays."
