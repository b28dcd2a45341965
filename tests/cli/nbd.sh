#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The NBD server with clients that others wrote, and with one that asks for any byte: nbd.sh OUTBOARD qemu:q35|model: STRESS
. "$(dirname "$0")/lib.sh"
scheme=$2
stress=$3
server=
trap 'stop_server 2>/dev/null; rm -rf "$work"' EXIT
socket=$work/nbd
export TMPDIR=$work # what a killed server leaves

for program in nbdkit nbdcopy nbdinfo qemu-img qemu-io; do
	command -v $program >/dev/null || { echo "skipped: no $program" && exit 77; }
done

. "$(dirname "$0")/sanitised_nbdkit.sh"
sanitised_nbdkit "$OUTBOARD" "$work/bin"

start_server() { # MACHINE, options…
	local machine=$1 i
	shift
	rm -f "$work/uri"
	last="serve nbd on $machine $*"
	"$OUTBOARD" -M "$machine" serve nbd --unix "$socket" "$@" >"$work/uri" 2>"$work/server" &
	server=$!
	for ((i = 0; i < 300; i++)); do
		[ ! -s "$work/uri" ] || break
		kill -0 $server 2>/dev/null || break
		sleep 0.1
	done
	uri=$(sed -n 's/^serving //p' "$work/uri")
	check "$last: not ready: $(cat "$work/server")" [ -n "$uri" ]
}

stop_server() { # WANTED-CODE
	local code
	[ -n "$server" ] || return
	[ "${1:-143}" != 143 ] || kill -TERM $server
	wait $server
	code=$?
	server=
	check "$last: the server ended with $code: $(cat "$work/server")" [ $code = "${1:-143}" ]
	check "$last: the socket is still there" [ ! -e "$socket" ]
}

for block in 512 4096; do
	image=$work/disk$block.img
	head -c 24M /dev/urandom >"$image"
	cp "$image" "$work/before"
	machine=$(disk_uri "$scheme" "$image" $block)

	# ---- what is offered ----
	start_server "$machine"
	want 0 nbdinfo --no-content --json "$uri"
	json "d['exports'][0]['export-size'] == 24 << 20"
	json "d['exports'][0]['can_multi_conn'] and d['exports'][0]['can_flush'] and d['exports'][0]['can_fua']"
	json "d['exports'][0]['can_zero'] and not d['exports'][0]['is_read_only']"
	json "d['exports'][0]['block_size_minimum'] == 1 and d['exports'][0]['block_size_preferred'] == 4096"

	# ---- out, and in, by several connections ----
	want 0 nbdcopy --connections=4 "$uri" "$work/copy"
	same "$image" "$work/copy"
	head -c 24M /dev/urandom >"$work/new"
	want 0 nbdcopy --connections=4 --flush "$work/new" "$uri"
	want 0 qemu-img compare -f raw -F raw "$work/new" "$uri"
	want 0 qemu-img convert -f raw -O raw "$uri" "$work/copy"
	same "$work/new" "$work/copy"

	# ---- any byte ----
	want 0 qemu-io -f raw -t none "$uri" -c "write -P 0xa5 100 700" -c "write -P 0x5a 5000 10000" -c "flush" \
		-c "read -P 0xa5 100 700" -c "read -P 0x5a 5000 10000" -c "write -z 6000 3000" -c "read -P 0 6000 3000" \
		-c "read -P 0x5a 9000 6000" -c "write -f -P 0x11 4095 2" -c "read -P 0x11 4095 2" -c "discard 1M 1M"
	check "$last: $(grep -i "fail\|error" "$work/out")" eval '! grep -qi "fail\|error" "$work/out"'
	want 0 "$stress" "$socket" 8 400
	stop_server
	check "the rest of the disk is as it was" cmp -n $((16 * 1048576)) -i $((4 * 1048576)) "$work/new" "$image"
done

# ---- several CPUs, all modes ----
for mode in interrupt polled hybrid; do
	start_server "$machine" --cpus 2 --mode $mode --depth 4
	want 0 "$stress" "$socket" 8 200
	want 0 nbdcopy --connections=4 "$uri" "$work/copy"
	stop_server
	same "$image" "$work/copy"
done

# ---- read only ----
start_server "$machine" --read-only
want 0 nbdinfo --is read-only "$uri"
want 1 nbdcopy "$work/new" "$uri"
stop_server
same "$image" "$work/copy"

start_server "$(disk_uri "$scheme" "$image" 4096 readonly)"
# QEMU's NVMe has read-only images, but does not tell the driver.
[ "$scheme" != model: ] || want 0 nbdinfo --is read-only "$uri"
want 0 qemu-io -r -f raw "$uri" -c "read 100 100"
stop_server

# ---- --run: the command's result is ours; TCP; a device by name ----
want 0 "$OUTBOARD" -M "$machine" serve nbd --device nvme0n1 --run 'nbdinfo --size "$uri"'
out_has "^25165824$"
err_empty
want 7 "$OUTBOARD" -M "$machine" serve nbd --run 'exit 7'
port=$((20000 + $$ % 20000))
want 0 "$OUTBOARD" -M "$machine" serve nbd --port $port --run 'nbdinfo --size "nbd://127.0.0.1:$port"'
out_has "^25165824$"
want 1 "$OUTBOARD" -M model: serve nbd --port $port --run "'$OUTBOARD' -M model: serve nbd --port $port"
err_has "nbdkit could not serve nbd://127.0.0.1:$port, and ended with code 1"
output_is_lost -M "$machine" serve nbd --unix "$work/lost"

# ---- TLS, by nbdkit's own options ----
if command -v psktool >/dev/null; then
	psktool -u me -p "$work/keys" >/dev/null 2>&1
	want 0 "$OUTBOARD" -M "$machine" serve nbd --run \
		'nbdinfo --size "nbds+unix://me@/?socket=$unixsocket&tls-psk-file='"$work/keys"'" &&
		! nbdinfo --size "nbd+unix:///?socket=$unixsocket" 2>/dev/null' \
		-- --tls=require --tls-psk="$work/keys"
	out_has "^25165824$"
else
	echo "no psktool: TLS is not tested"
fi

# ---- what cannot be served ----
want 3 "$OUTBOARD" -M "$machine" serve nbd --unix "$socket" --device nvme7n7
err_has "no such block device"
check "a failed start leaves a socket" [ ! -e "$socket" ]
want 3 "$OUTBOARD" -M "$scheme?nvme=/nonexistent" serve nbd --unix "$socket"
err_has "/nonexistent"
start_server "$machine"
refused 1 "another server listens there" "$OUTBOARD" -M "$machine" serve nbd --unix "$socket"
kill -KILL $server
wait $server 2>/dev/null
server=
nobody_has "$image" # nbdkit and QEMU go with it
check "a killed server leaves its socket" [ -S "$socket" ]
start_server "$machine" # takes the stale socket
stop_server

# ---- QEMU is killed: clients get errors, nbdkit ends, also when nobody asks for anything ----
kill_qemu() {
	local p
	for p in $(grep -lsz -- "${image%.img}[.]img" /proc/[0-9]*/cmdline | sed 's/[^0-9]//g'); do
		case $(cat /proc/"$p"/comm) in qemu*) kill -KILL "$p" ;; esac
	done
}

if [[ $scheme == qemu:* ]]; then
	start_server "$machine"
	timeout 60 "$stress" "$socket" 4 0 2>"$work/err" &
	client=$!
	sleep 1
	kill_qemu
	wait $client
	check "clients of a killed QEMU: $? $(cat "$work/err")" [ $? = 0 ]
	stop_server 4
	check "$last: the disk's end is not said: $(cat "$work/server")" grep -q "the disk is gone" "$work/server"

	for client in "" "a client"; do
		start_server "$machine"
		if [ -n "$client" ]; then
			python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
open(sys.argv[2], "w")
time.sleep(30)' "$socket" "$work/connected" &
			client=$!
			for ((i = 0; i < 100; i++)); do
				[ ! -e "$work/connected" ] || break
				sleep 0.1
			done
		fi
		kill_qemu
		for ((i = 0; i < 50; i++)); do
			kill -0 $server 2>/dev/null || break
			sleep 0.1
		done
		check "$last: an idle server goes on without its disk" [ $i -lt 50 ]
		[ $i -lt 50 ] || kill -TERM $server
		[ -z "$client" ] || kill $client 2>/dev/null
		stop_server 4
		check "$last: the disk's end is said $(grep -c "the disk is gone" "$work/server") times: $(cat "$work/server")" \
			[ "$(grep -c "the disk is gone" "$work/server")" = 1 ]
	done
fi
nobody_has "$work"
finish
