# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# [log]: the kernel says who was refused, and why.

# Before there are streams: a reload cuts the connections of a client that it blocks.
case_log() {
    cp /etc/masqd.toml /root/quiet.toml
    printf '[clients]\nblocked = "192.168.50.2"\n[log]\ndrops = "kernel"\n' >>/etc/masqd.toml
    claim "reload succeeds with a log of drops" systemctl reload masqd
    claim "a blocked client gets nowhere" nothing_passes
    claim "the kernel's log says who, where to, and why" eventually 30 kernel_says \
        'masqd drop: blocked client: IN=lan0 OUT=ppp0 .*SRC=192\.168\.50\.2 DST=203\.0\.113\.80'
    cp /root/quiet.toml /etc/masqd.toml
    claim "reload succeeds without it" systemctl reload masqd
    passes "when nobody is blocked any more"
}
kernel_says() { contains "$(journalctl --dmesg --boot --no-pager)" "$1"; }
