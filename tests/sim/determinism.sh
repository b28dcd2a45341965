#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The same seeds give the same traces: twice in one process, in another, and wherever the system puts its memory.
set -eu
explore=$1
# 20 runs of each scenario.
traces() { # COMMAND…
	for scenario in $("$explore" --list | cut -d' ' -f1); do
		"$@" "$explore" $scenario --seeds 20 --trace --jobs 1 | grep ^seed
	done
}
first=$(traces env)
check() {
	if [ "$first" != "$2" ]; then
		echo "$1: other traces" >&2
		exit 1
	fi
}
check "another process" "$(traces env)"
check "another environment" "$(traces env PADDING=$(printf '%04000d' 0))"
if setarch -R true 2>/dev/null; then
	check "without address randomisation" "$(traces setarch -R)"
fi
# … nor on which process does it.
many="--seeds 300 --trace --seed 1000"
[ "$("$explore" $many --jobs 1 | grep -v " s of CPU")" = "$("$explore" $many --jobs 3 | grep -v " s of CPU")" ] || {
	echo "three jobs: another output" >&2
	exit 1
}
# A seed's trace does not depend on what ran before it in the process.
for line in 7 20 35; do
	want=$(echo "$first" | sed -n "${line}p")
	set -- $want
	for scenario; do :; done
	alone=$("$explore" "$scenario" --seed "$2" --seeds 1 --trace | grep ^seed)
	[ "$alone" = "$want" ] || {
		echo "seed $2 of $scenario alone: another trace" >&2
		exit 1
	}
done
count=$("$explore" --list | wc -l)
[ "$(echo "$first" | wc -l)" = $((20 * count)) ]
[ "$(echo "$first" | cut -d' ' -f4 | sort -u | wc -l)" = $((20 * count)) ]
