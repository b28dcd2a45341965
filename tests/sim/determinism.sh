#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The same seeds give the same traces: twice in one process, in another, and wherever the system puts its memory.
set -eu
explore=$1
runs="--seeds 40 --trace"
first=$("$explore" $runs | grep ^seed)
check() {
	if [ "$first" != "$2" ]; then
		echo "$1: other traces" >&2
		exit 1
	fi
}
check "another process" "$("$explore" $runs | grep ^seed)"
check "another environment" "$(PADDING=$(printf '%04000d' 0) "$explore" $runs | grep ^seed)"
if setarch -R true 2>/dev/null; then
	check "without address randomisation" "$(setarch -R "$explore" $runs | grep ^seed)"
fi
# A seed's trace does not depend on what ran before it in the process.
for seed in 7 40; do
	alone=$("$explore" --seed $seed --seeds 1 --trace | grep ^seed)
	[ "$alone" = "$(echo "$first" | sed -n "${seed}p")" ] || {
		echo "seed $seed alone: another trace" >&2
		exit 1
	}
done
[ "$(echo "$first" | wc -l)" = 40 ]
[ "$(echo "$first" | cut -d' ' -f4 | sort -u | wc -l)" = 40 ]
