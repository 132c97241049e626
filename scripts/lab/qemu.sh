#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# qemu.sh [-t SECONDS] [-i TREE] [-o DIR] ROOT SCRIPT: as nspawn.sh, but in a virtual machine with Debian's own kernel,
# which has what containers on this one may not: ppp, PPPoE, flowtables. Emulated where there is no KVM, and then
# multi-user after 15 to 30 s. What SCRIPT says appears while it says it.
# MASQD_LAB_ACCELERATOR: kvm or tcg; default kvm where the processor offers it.
set -euo pipefail
# shellcheck source=scripts/lab/contract.sh
. "$(dirname "$0")/contract.sh"
take_arguments 600 "$@"
kernel=$("$lab/build-kernel.sh" "$root")

# What is laid over the tree is a second archive behind the first.
mkdir "$work/layer"
lay_over "$work/layer"
units=$work/layer/etc/systemd/system
mkdir -p "$units"
ln -sf /etc/systemd/system/lab.target "$units/default.target"
# What nobody in the lab needs and an emulated processor would spend seconds on.
for unit in getty.target apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer systemd-timesyncd.service systemd-update-utmp.service systemd-random-seed.service \
    systemd-update-utmp-runlevel.service systemd-journal-flush.service systemd-journal-catalog-update.service \
    systemd-pstore.service ldconfig.service systemd-update-done.service systemd-firstboot.service \
    systemd-hwdb-update.service systemd-tpm2-setup.service systemd-tpm2-setup-early.service systemd-logind.service \
    systemd-pcrphase.service systemd-pcrphase-sysinit.service systemd-pcrphase-initrd.service \
    sys-kernel-tracing.mount sys-kernel-debug.mount sys-fs-fuse-connections.mount dev-hugepages.mount \
    modprobe@.service; do
    ln -sf /dev/null "$units/$unit"
done
(cd "$work/layer" && find . -print0 | cpio --null -o -H newc --quiet --owner 0:0) |
    cat "$kernel/root.cpio" - >"$work/initrd"

accelerator=${MASQD_LAB_ACCELERATOR:-tcg}
[ -n "${MASQD_LAB_ACCELERATOR:-}" ] || ! grep -qwE 'vmx|svm' /proc/cpuinfo || [ ! -w /dev/kvm ] || accelerator=kvm
timeout --foreground -k 5 "$limit" qemu-system-x86_64 -accel "$accelerator" -cpu max -smp 2 -m 1280 -M q35 \
    -nodefaults -no-user-config -no-reboot -display none -kernel "$kernel/vmlinuz" -initrd "$work/initrd" \
    -append "rdinit=/lib/systemd/systemd console=ttyS0 quiet panic=-1 mitigations=off nokaslr audit=0 \
random.trust_cpu=on net.ifnames=0 tsc=reliable no_timer_check systemd.show_status=0" \
    -serial "file:$out/console.log" -serial stdio \
    -virtfs "local,path=$out,mount_tag=lab,security_model=none" </dev/null || true

finish
