#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# outboard net at a port of DPDK's, which is killed, and started again: net_dpdk.sh OUTBOARD
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/../conformance/net/testpmd.sh"
user=
cleanup() {
	[ -z "$user" ] || kill -9 "$user" 2>/dev/null
	testpmd_end
	rm -rf "$work"
}
trap cleanup EXIT

# started COMMAND…: in the background; it ends with ended CODE. Output and messages are where want has them.
started() {
	last="$*"
	timeout -k 5 120 "$@" >"$work/out" 2>"$work/err" </dev/null &
	user=$!
}
# Until DPDK has seen our driver set its pairs up.
connected() {
	local i
	checks=$((checks + 1))
	for ((i = 0; i < 300; i++)); do
		grep -q 'virtio is now ready for processing' "$work/testpmd.log" && return 0
		sleep 0.1
	done
	complain "$last: DPDK sees no driver"
}
ended() {
	checks=$((checks + 1))
	wait "$user"
	local got=$?
	user=
	[ $got = "$1" ] || {
		complain "$last: exit code $got, not $1"
		sed 's/^/    /' "$work/err" >&2
	}
}
lines() { # COUNT: of messages
	check "$last: not $1 lines of messages: $(cat "$work/err")" [ "$(wc -l <"$work/err")" = "$1" ]
}

port="vhost-user:$work/socket?type=net&queues=2"
testpmd_start 2
want 0 "$OUTBOARD" -M "$port" net info --json
json 'd["interfaces"][0]["channels_max"] == 2'
want 0 "$OUTBOARD" -M "$port" devices -v
out_has "^    Transport: vhost-user, "
out_has " MRG_RXBUF-.* VERSION_1+"
out_has "^    Queues 0 to 3: at most "
want 0 "$OUTBOARD" -M "$port" net generate --count 20000 --rate 20000 --flows 9 --json
json 'd["ports"][0]["tx_frames"] == 20000 and d["ports"][0]["rx_frames"] > 19000'
want 0 "$OUTBOARD" -M "$port&without=34" net generate --count 20000 --rate 20000 --mode polled --json
json 'd["ports"][0]["tx_frames"] == 20000 and d["ports"][0]["rx_frames"] > 19000'

# Killed, and nobody comes after it: one line, or the one before it that says how long it is waited for.
for mode in interrupt polled; do
	testpmd_end
	testpmd_start 2
	started "$OUTBOARD" -M "$port&reconnect=0" net generate --rate 1000 --mode $mode
	connected
	testpmd_end
	ended 4
	err_has "error: .*the machine is dead: the back-end closed the connection"
	lines 1
done
testpmd_start 2
started "$OUTBOARD" -M "$port&reconnect=300ms" net capture "$work/kept.pcapng"
connected
testpmd_end
ended 4
err_has "the machine is dead: the back-end closed the connection, and did not come back within 300 ms"
lines 2

# Killed, and a successor in time: it goes on, and nothing else is said.
testpmd_start 2
started "$OUTBOARD" -M "$port" net generate --rate 2000 --count 8000 --json
connected
sleep 0.5
testpmd_end
testpmd_start 2
ended 0
json 'd["ports"][0]["tx_frames"] >= 8000 and d["ports"][0]["rx_frames"] > 3000'
err_has "warning: .*it has [0-9]* ms to come back"
finish
