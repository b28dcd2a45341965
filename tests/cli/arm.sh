#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The verbs on QEMU's Arm board, whose devices a device tree tells of: arm.sh OUTBOARD
. "$(dirname "$0")/lib.sh"
MIB=1048576
image=$work/disk.img
head -c $((16 * MIB)) /dev/urandom >"$image"
cp "$image" "$work/before"
on() { # want's code, what the URI has, then the command's arguments
	local code=$1 uri=$2
	shift 2
	want "$code" "$OUTBOARD" -M "qemu:virt$uri" "$@"
}
disk="?virtio-blk=$image"

# ---- devices ----
on 0 "$disk" devices
out_has "^virtio_mmio@a000000 to virtio_mmio@a003c00  virtio,mmio  31 without a driver$"
out_has "^virtio_mmio@a003e00  virtio,mmio  driver virtio-mmio$"
out_has "^  virtio@virtio_mmio@a003e00  virtio block \[2\]  driver virtio-blk$"
out_has "^      vblk0  16.0 MiB, blocks of 512"
out_has "^pl011@9000000  arm,pl011$"
out_has "^  v2m@8020000  arm,gic-v2m-frame$"
out_has "^0000:00:00.0  Host bridge"
err_empty
on 0 "$disk" devices -v pl011@9000000
out_has "^    Path: /pl011@9000000$"
out_has "^    Compatible: arm,pl011, arm,primecell$"
out_has "^    Region 0: memory at 9000000, 4096 bytes$"
out_has "^    Interrupt 0: 33, by level$"
on 0 "$disk" devices --json
json "len([x for x in d['devices'] if x['dt'] and x['dt']['compatible'] == ['virtio,mmio']]) == 32"
json "[x for x in d['devices'] if x['driver'] == 'virtio-blk'][0]['parent'] == 'virtio_mmio@a003e00'"
json "[x for x in d['devices'] if x['driver'] == 'virtio-blk'][0]['virtio'] == 2"
json "[x for x in d['devices'] if x['driver'] == 'virtio-blk'][0]['virtio_info']['transport'] == 'MMIO'"
json "[x['dt']['interrupts'] for x in d['devices'] if x['name'] == 'virtio_mmio@a000000'] == [[{'index': 0, 'number': 48, 'edge': True}]]"
json "[x['state'] for x in d['devices'] if x['name'] == 'virtio_mmio@a000000'] == ['found']"

# ---- its disk, and one behind PCI ----
on 0 "$disk" info vblk0
out_has "32768 blocks of 512 bytes"
on 0 "$disk" read vblk0 "$work/copy"
same "$image" "$work/copy"
err_empty
head -c $MIB /dev/urandom >"$work/new"
on 0 "$disk" write --offset 3M vblk0 "$work/new"
cp "$work/before" "$work/want"
dd if="$work/new" of="$work/want" bs=$MIB seek=3 conv=notrunc status=none
same "$work/want" "$image"
head -c $((4 * MIB)) /dev/urandom >"$work/other.img"
on 0 "$disk&nvme=$work/other.img" read nvme0n1 "$work/copy"
same "$work/other.img" "$work/copy"
on 0 "$disk&nvme=$work/other.img" devices
out_has "^0000:00:0[0-9].0  Non-Volatile memory controller"
out_has "vblk0"

# ---- what there is not ----
on 0 "$disk&global=virtio-mmio.force-legacy=true" devices
out_has "^virtio_mmio@a003e00  virtio,mmio  failed: Operation not supported$"
err_has "virtio_mmio@a003e00: it has the legacy interface only (version 1, not 2), which is not supported$"
on 3 "" info
err_has "no block device"
want 5 "$OUTBOARD" -M "qemu:virt?binary=/nonexistent/qemu" devices
err_has "/nonexistent/qemu is not installed$"
finish
