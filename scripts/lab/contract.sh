# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by nspawn.sh and qemu.sh: what both are told, what both lay over a guest's root tree, and how both end.
lab=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# take_arguments LIMIT [-t SECONDS] [-i TREE] [-o DIR] ROOT SCRIPT: sets limit (in seconds), tree, out, root and script;
# work is a folder of the run's own. Otherwise the caller's lines 3 to 6 say how it is used.
take_arguments() {
    limit=$1 tree='' out=''
    shift
    local option OPTIND=1
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
    # shellcheck disable=SC2034  # the caller's
    root=$1 script=$2

    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    [ -n "$out" ] || out=$work/out
    mkdir -p "$out"
    out=$(realpath "$out")
    rm -f "$out/status"
    cp "$script" "$out/command"
}

# lay_over FOLDER: what a guest has beside its root tree.
lay_over() {
    local layer
    for layer in "$lab/guest" ${tree:+"$tree"}; do
        cp -rT --preserve=mode,links --no-dereference "$layer" "$1"
    done
    # A known machine: no first-boot presets, no questions.
    echo 0123456789abcdef0123456789abcdef >"$1/etc/machine-id"
    echo lab >"$1/etc/hostname"
}

# finish: exits as the script in the guest did.
finish() {
    [ -e "$out/status" ] || {
        echo "lab: the guest left no status within $limit s; the end of its console:" >&2
        tail -n 20 "$out/console.log" >&2
        exit 99
    }
    exit "$(cat "$out/status")"
}
