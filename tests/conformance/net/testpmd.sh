# SPDX-License-Identifier: BSD-2-Clause
# DPDK's vhost as the other side: a testpmd that sends back on each pair what came in on it. Sourced by bash, with $work a
# directory. It needs no huge pages: those that are shared are the client's.

# Skips the test when there is no testpmd, or none that starts here.
testpmd_start() { # PAIRS
	local last i
	command -v dpdk-testpmd >/dev/null || {
		echo "skipped: no dpdk-testpmd (package dpdk-dev)"
		exit 77
	}
	rm -f "$work/socket" "$work/testpmd.in" "$work/testpmd.log"
	mkfifo "$work/testpmd.in"
	# Its two threads: one sleeps at the prompt, one forwards, on the last of our CPUs.
	last=$(sed -n 's/^Cpus_allowed_list:[^0-9]*\(.*[-,]\)\{0,1\}\([0-9]*\)$/\2/p' /proc/self/status)
	dpdk-testpmd --lcores "0@$last,1@$last" --no-pci --no-huge --no-shconf --no-telemetry -m 128 \
		--file-prefix="outboard-$$" --vdev "net_vhost0,iface=$work/socket,queues=$1" -- -i --nb-cores=1 \
		--forward-mode=io --rxq="$1" --txq="$1" --total-num-mbufs=16384 \
		<"$work/testpmd.in" >"$work/testpmd.log" 2>&1 &
	testpmd=$!
	exec 3>"$work/testpmd.in"
	for ((i = 0; i < 300; i++)); do
		grep -q 'testpmd>' "$work/testpmd.log" && [ -S "$work/socket" ] && break
		kill -0 "$testpmd" 2>/dev/null || break
		sleep 0.1
	done
	if ! [ -S "$work/socket" ]; then
		echo "skipped: testpmd does not start here:"
		tail -3 "$work/testpmd.log"
		testpmd_end
		exit 77
	fi
	echo start >&3
}

# It needs no farewell.
testpmd_end() {
	[ -n "${testpmd:-}" ] || return 0
	kill -9 "$testpmd" 2>/dev/null
	wait "$testpmd" 2>/dev/null
	exec 3>&-
	testpmd=
}
