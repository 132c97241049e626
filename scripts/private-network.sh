#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# private-network.sh COMMAND...: runs it in a network namespace of its own, with CAP_NET_ADMIN there.
# As root the namespace alone is new; anybody else also gets a user namespace, in which he is root.
set -euo pipefail

if [ "$(id -u)" = 0 ]; then
    flags=(--net)
    excuse="is this a container without CAP_SYS_ADMIN?"
else
    flags=(--user --map-root-user --net)
    excuse="user namespaces are forbidden to you here (sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces or \
kernel.apparmor_restrict_unprivileged_userns): run this as root."
fi

unshare "${flags[@]}" true 2>/dev/null || {
    echo "masqd: can't make a network namespace to work in, and the machine's own is never touched; $excuse" >&2
    exit 77
}
exec unshare "${flags[@]}" -- "$@"
