#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What docs/SIMULATION.md tells the author of a driver: build against an installed Outboard, explore, plant a bug, find it.
set -eu
build=$1
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
DESTDIR=$dir/root meson install -C "$build" --no-rebuild --quiet >/dev/null
pc=$(find "$dir/root" -name outboard-sim.pc)
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
prefix=$dir/root$(sed -n 's/^prefix=//p' "$pc")
cp "$here"/*.[ch] "$here"/Makefile "$dir"
make_explorer() {
	make -C "$dir" -s PKG_CONFIG="pkg-config --define-variable=prefix=$prefix" ferry-explore
}
make_explorer
"$dir/ferry-explore" ferry-rides --seeds 500
"$dir/ferry-explore" ferry-rough --seeds 500
plant() { # the rule that must find it, what takes the right line away
	cp "$here/ferry.c" "$dir/ferry.c"
	sed -i "$2" "$dir/ferry.c"
	if cmp -s "$here/ferry.c" "$dir/ferry.c"; then
		echo "nothing planted by: $2" >&2
		exit 1
	fi
	make_explorer
	if "$dir/ferry-explore" --seeds 500 >"$dir/report"; then
		echo "not found: $2" >&2
		exit 1
	fi
	grep -q "^$1: " "$dir/report" || {
		cat "$dir/report"
		exit 1
	}
}
plant read-barrier 's/^\t\tob_dma_rmb();//'
plant write-barrier 's/ob_mmio_write32(&f->regs, FERRY_TAIL/ob_mmio_write32_relaxed(\&f->regs, FERRY_TAIL/'
plant device-protocol 's/f->tail - f->head == ENTRIES || s->busy/f->tail - f->head > ENTRIES/'
plant dma-race 's/^\t\t\trepair(f, s);/\t\t\t(void)repair;/'
