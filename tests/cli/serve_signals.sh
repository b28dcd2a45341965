#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Whatever signal stops a server, but for SIGKILL: it ends in good order and leaves no file behind.
#
#	serve_signals.sh OUTBOARD
set -u
outboard=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TMPDIR=$work/tmp
mkdir "$TMPDIR"
bad=0
. "$(dirname "$0")/sanitised_nbdkit.sh"
sanitised_nbdkit "$outboard" "$work/bin"

fail() {
	echo "$*" >&2
	bad=1
}

# $1 signal, $2 when: ready, or at once; $3 nbd or vhost-user
stop_by() {
	local server code wanted
	rm -f "$work/out"
	# A shell's background jobs ignore some signals.
	env --default-signal=HUP,INT,QUIT,TERM "$outboard" -M model: serve "$3" --unix "$work/socket" >"$work/out" 2>"$work/err" &
	server=$!
	for ((i = 0; i < 300; i++)); do
		if [ "$2" = ready ]; then [ ! -s "$work/out" ] || break; else [ -z "$(ls "$TMPDIR")" ] || break; fi
		sleep 0.02
	done
	kill "-$1" $server
	wait $server
	code=$?
	wanted=$((128 + $(kill -l "$1")))
	[ $code = $wanted ] || fail "$3, SIG$1, $2: code $code, not $wanted: $(cat "$work/err")"
	[ -z "$(ls "$TMPDIR")" ] || fail "SIG$1, $2: it left $(ls "$TMPDIR")"
	[ ! -e "$work/socket" ] || fail "SIG$1, $2: it left its socket"
	rm -rf "${TMPDIR:?}"/* "$work/socket"
}

for signal in HUP INT QUIT TERM; do
	stop_by $signal ready nbd
	stop_by $signal "at once" nbd
	stop_by $signal ready vhost-user
done
exit $bad
