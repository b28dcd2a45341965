#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# An example program on a machine with a disk, and on one that does not exist: example.sh PROGRAM qemu:q35|model:
. "$(dirname "$0")/lib.sh"
head -c 8M /dev/urandom >"$work/disk.img"
want 0 "$OUTBOARD" "$2?nvme=$work/disk.img"
out_has "nvme0n1: "
err_empty
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
