#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# install.sh MASQD: for `make install`, which sets PREFIX, sysconfdir, unitdir and DESTDIR. Builds nothing: under
# sudo there may be no Swift, and root would leave files of its own in .build.
set -euo pipefail
: "${PREFIX:?}" "${sysconfdir:?}" "${unitdir:?}"  # run it as `make install`
cd "$(dirname "$0")/.."

masqd=$1
[ -x "$masqd" ] || { echo "install: there is no $masqd yet: run \`make build\` first." >&2; exit 66; }

install -D -m 755 "$masqd" "$DESTDIR$PREFIX/sbin/masqd"
install -D -m 644 -t "$DESTDIR$PREFIX/share/doc/masqd" README.md LICENSE

for page in docs/man/*; do
    install -D -m 644 -t "$DESTDIR$PREFIX/share/man/man${page##*.}" "$page"
done

install -d "$DESTDIR$unitdir"
sed "s|/usr/local/sbin/|$PREFIX/sbin/|g; s|/etc/masqd.toml|$sysconfdir/masqd.toml|g" systemd/masqd.service \
    >"$DESTDIR$unitdir/masqd.service"
chmod 644 "$DESTDIR$unitdir/masqd.service"

configuration=$DESTDIR$sysconfdir/masqd.toml
if [ -e "$configuration" ]; then
    echo "install: $configuration is there already and stays as it is."
else
    # The unit's daemon is not root: everybody may read it.
    install -D -m 644 config/masqd.toml "$configuration"
fi

[ -z "$DESTDIR" ] || exit 0
[ ! -d /run/systemd/system ] || systemctl daemon-reload
echo "Installed. Now: edit $configuration; systemctl enable --now masqd; after later edits systemctl reload masqd."
