#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# An example program on a machine with what it drives, and on some without: example.sh PROGRAM qemu:q35|model:
. "$(dirname "$0")/lib.sh"
head -c 8M /dev/urandom >"$work/disk.img"
disk=$2?nvme=$work/disk.img
case $OUTBOARD in
*count_frames)
	# A modelled device that is alone on its cable has its own frame back; QEMU's network keeps it.
	[ "$2" = model: ] && others=1 || others=0
	want 0 "$OUTBOARD" "$2?virtio-net=user"
	out_has "^net0: .* $others others; $((60 * others)) bytes$"
	err_empty
	want 1 "$OUTBOARD" "$disk"
	err_has "no network interface"
	;;
*)
	want 0 "$OUTBOARD" "$disk"
	out_has "nvme0n1: "
	err_empty
	;;
esac
case $OUTBOARD in
*read_block)
	od -An -v -tx1 -w16 -N64 "$work/disk.img" | sed 's/^ //' >"$work/first"
	tail -n +2 "$work/out" >"$work/shown"
	same "$work/first" "$work/shown"
	;;
*polled_reader) out_has " 0 errors" ;;
*epoll_loop) out_has "4194304 bytes read, [0-9]* ticks" ;;
esac
want 1 "$OUTBOARD" "$2?nvme=/nonexistent"
want 1 "$OUTBOARD" nonsense:
nobody_has "$work"
finish
