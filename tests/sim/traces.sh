#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The same seeds give the same traces in another process, with other memory around it: traces.sh COMMAND…
set -eu
first=$("$@")
for padding in 0 1000 40000; do
	[ "$(PADDING=$(printf "%0${padding}d" 0) "$@")" = "$first" ] || {
		echo "another process: other traces" >&2
		exit 1
	}
done
# A seed's trace does not depend on the runs before it.
want=$(echo "$first" | grep '^seed 10 ')
[ "$("$@" 10 | grep '^seed 10 ')" = "$want" ] || {
	echo "seed 10 first: another trace" >&2
	exit 1
}
[ "$(echo "$first" | sort -u | wc -l)" -ge 40 ]
