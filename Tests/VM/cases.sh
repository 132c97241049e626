#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs in the virtual machine (scripts/vm-test.sh boots it): the package was installed and enabled before the boot. The
# cases follow each other, as the life of one gateway; cases/ has them by topic.
set -uo pipefail

# shellcheck source=scripts/lab/guest/usr/local/lib/lab/claims.sh
. /usr/local/lib/lab/claims.sh
# shellcheck source=Tests/VM/guest/usr/local/lib/lab/line.sh
. /usr/local/lib/lab/line.sh
for topic in dialling log offload service; do
    # shellcheck source=/dev/null  # each is checked by itself
    . "/usr/local/lib/lab/cases/$topic.sh"
done

echo "# Linux $(uname -r), $(systemctl --version | head -n 1), $(pppd --version 2>&1)," \
    "$(nft --version), masqd $(dpkg-query -W -f '${Version}' masqd)"

run_cases boot dial redial dead_line killed_dialler renumbered renamed down_up log offload streams restart upgrade bad_reload \
    killed suspended watchdog wire flushed journal stop remove
status=$?

echo "# what a person reads:"
journal | sed 's/^/# /'
[ $status = 0 ]
