#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# outboard net between two QEMUs, one at each end of a socket, and between modelled devices: net.sh OUTBOARD [MiB]
# The kernel's end is a TAP device in a network namespace of the test's own; without the right to that, that part is left
# out. MiB: of the file that goes through by TCP (64).
. "$(dirname "$0")/lib.sh"
mebibytes=${2:-64}
left="qemu:q35?virtio-net=listen:$work/wire,mac=52:54:00:00:00:01"
right="qemu:q35?virtio-net=connect:$work/wire,mac=52:54:00:00:00:02"
one=ob$$a two=ob$$b
pids=
cleanup() {
	[ -z "$pids" ] || kill $pids 2>/dev/null
	wait 2>/dev/null
	ip netns del $one 2>/dev/null
	ip netns del $two 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT

# start NAME COMMAND…: in the background, until the test ends it; output in NAME.out, messages in NAME.err.
start() {
	local name=$1
	shift
	# Whoever awaits a line is not to find that of one before it.
	rm -f "$work/$name.out" "$work/$name.err"
	"$@" >"$work/$name.out" 2>"$work/$name.err" </dev/null &
	eval "$name=$!"
	pids="$pids $!"
}

# Until a file has such a line.
await() { # FILE PATTERN
	local i
	for ((i = 0; i < 300; i++)); do
		grep -q -- "$2" "$work/$1" 2>/dev/null && return 0
		sleep 0.1
	done
	complain "$1: no '$2':"
	cat "$work/$1" >&2
	return 1
}

# opened NAME COUNT: that many interfaces are in use by what was started with -v -v. The device is made twice when it is
# found, and once more for each channel; what comes in before is lost.
opened() {
	local i
	for ((i = 0; i < 600; i++)); do
		[ "$(grep -cs 'debug: virtio@.*: features ' "$work/$1.err" || true)" -ge "$2" ] 2>/dev/null && return 0
		sleep 0.1
	done
	complain "$1: it opens no channel"
}

await_socket() {
	local i
	for ((i = 0; i < 300; i++)); do
		[ ! -S "$work/wire" ] || return 0
		sleep 0.1
	done
	complain "no socket"
}

# ends NAME CODE: what was started ends by itself.
ends() {
	local i
	checks=$((checks + 1))
	for ((i = 0; i < 600; i++)); do
		kill -0 ${!1} 2>/dev/null || break
		sleep 0.1
	done
	# One that would never end is not waited for.
	kill -9 ${!1} 2>/dev/null && complain "$1: it does not end"
	wait ${!1}
	[ $? = "$2" ] || {
		complain "$1: it did not end with $2"
		cat "$work/$1.err" >&2
	}
}

# ---- what is wrong ----
refused 2 "say what: info, respond" "$OUTBOARD" net
refused 2 "unknown command 'ping'" "$OUTBOARD" net ping
refused 2 "name a file for the frames" "$OUTBOARD" net capture
refused 2 "say for which address" "$OUTBOARD" net respond
refused 2 "is no IPv4 address" "$OUTBOARD" net respond --address 10.0.0
refused 2 "is no Ethernet address" "$OUTBOARD" -M 'model:?virtio-net' net generate --to 1:2
refused 2 "is no Ethernet address" "$OUTBOARD" -M 'model:?virtio-net' net generate --count 1 --to 52:54:00:12:34:-1
refused 2 "takes frames of 1514 bytes at most" "$OUTBOARD" -M 'model:?virtio-net' net generate --size 1600
refused 2 "a bridge has no number of frames" "$OUTBOARD" net bridge --count 3
refused 3 "has no network interface" "$OUTBOARD" net info
refused 3 "no network interface 'net7'; there is net0" "$OUTBOARD" -M 'model:?virtio-net' net info net7
refused 2 "name an interface; there is net0, net1" "$OUTBOARD" -M 'model:?virtio-net&virtio-net' net generate --count 1
refused 2 "two interfaces at most" "$OUTBOARD" net forward a b c
refused 3 "bogus:: no such kind of machine" "$OUTBOARD" -M 'model:?virtio-net' net forward --to bogus:
refused 2 "say what it is connected to" "$OUTBOARD" -M 'model:?virtio-net' net forward --to 'qemu:q35?virtio-net=foo'
refused 2 "tap:sixteenletterstap: no name for an interface" "$OUTBOARD" -M 'qemu:q35?virtio-net=tap:sixteenletterstap' net info
refused 2 "net0 has 1 at most" "$OUTBOARD" -M 'model:?virtio-net' net capture --channels 2 --discard
# Beside an emulated card: both are bound, and the paravirtual one is used where none is named.
want 0 "$OUTBOARD" -M 'qemu:q35?e1000e=user&virtio-net=user' net info
out_has "^net0: 0000:00:01.0 by e1000e$"
out_has "^net1: virtio@0000:00:02.0 by virtio-net$"
out_has "^  preferred   to net0 by e1000e: it is paravirtual, no card is emulated for it$"
want 0 "$OUTBOARD" -M 'qemu:q35?e1000e=user&virtio-net=user' net generate --count 10
out_has "^net1: .*sent 10 frames"
refused 2 "name an interface; there is net0, net1" "$OUTBOARD" -M 'qemu:q35?e1000e=user&e1000e=user' net generate --count 1
want 0 "$OUTBOARD" -M 'model:?virtio-net&entries=64' net info
out_has "^  channels    up to 1, of 64 frames to receive and 64 to send$"
want 0 "$OUTBOARD" -M 'model:?virtio-net&queues=3' net capture --channels 3 --discard --time 100ms
out_has "^  channel 2: 0 frames$"
refused 2 "the file needs a name" "$OUTBOARD" -M 'model:?virtio-net' net capture ""
refused 1 "$work/no/file: No such file or directory" "$OUTBOARD" -M 'model:?virtio-net' net capture "$work/no/file"

# ---- nobody takes what it writes ----
refused 1 "No space left on device" "$OUTBOARD" -M 'model:?virtio-net' net capture --time 300ms /dev/full
for command in info "generate --count 1" "capture --time 100ms -"; do
	want 1 sh -c "exec \"\$@\" >/dev/full" - "$OUTBOARD" -M 'model:?virtio-net' net $command
	err_has "net .*: standard output: No space left on device"
	check "$command: $(wc -l <"$work/err") lines" [ "$(wc -l <"$work/err")" = 1 ]
done
for command in info "generate --count 1" "capture --time 100ms -"; do
	want 1 sh -c "exec \"\$@\" >&-" - "$OUTBOARD" -M 'model:?virtio-net' net $command
	err_has "net .*: standard output: Bad file descriptor"
	check "$command: $(wc -l <"$work/err") lines" [ "$(wc -l <"$work/err")" = 1 ]
done
# Whoever read has gone: also when no frame comes.
timeout 20 "$OUTBOARD" -M 'model:?virtio-net' net capture - 2>"$work/err" | head -c 10 >/dev/null
check "a capture outlives its reader" [ "${PIPESTATUS[0]}" = 141 ]
err_empty

mkfifo "$work/fifo"
start writer timeout 20 "$OUTBOARD" -M 'model:?virtio-net' net capture "$work/fifo"
head -c 10 "$work/fifo" >/dev/null
ends writer 1
check "nothing says whose reader has gone" grep -q "fifo: Broken pipe" "$work/writer.err"
# Nobody reads at all: it is not even opened when the user has had enough.
start writer "$OUTBOARD" -M 'model:?virtio-net' net capture "$work/fifo"
sleep 1
kill -INT $writer
ends writer 130
check "an interrupted capture says: $(cat "$work/writer.err")" [ ! -s "$work/writer.err" ]

# ---- its machine is killed ----
for command in "respond --address 10.0.0.1" "capture $work/kept.pcapng" "generate --rate 1000 --mode polled" forward; do
	start killed "$OUTBOARD" -v -v -M 'qemu:q35?virtio-net=user' net $command
	opened killed 3
	# Promiscuous reception comes behind that, and would fail with words of its own.
	sleep 1
	kill -9 $(pgrep -P "$killed" qemu)
	ends killed 4
	grep -v ': \(info\|debug\): \|answers for' "$work/killed.err" >"$work/said"
	check "$command: not one line: $(cat "$work/said")" [ "$(wc -l <"$work/said")" = 1 ]
	check "$command: QEMU's end is not told of: $(cat "$work/said")" grep -q 'machine is dead: QEMU was killed by signal 9' "$work/said"
done
! command -v tshark >/dev/null || want 0 tshark -r "$work/kept.pcapng"

# ---- without the right to make TAP devices, and without their driver ----
if command -v setpriv >/dev/null && setpriv --bounding-set -net_admin --inh-caps -net_admin true 2>/dev/null; then
	refused 1 "TAP device tap9: it takes CAP_NET_ADMIN" setpriv --bounding-set -net_admin --inh-caps -net_admin \
		"$OUTBOARD" -M 'model:?virtio-net' net bridge --tap tap9
	refused 1 "TAP device: it takes CAP_NET_ADMIN" setpriv --bounding-set -net_admin --inh-caps -net_admin \
		"$OUTBOARD" -M 'model:?virtio-net' net bridge
fi
if unshare -m sh -c 'mount -t tmpfs none /dev/net' 2>/dev/null; then
	refused 1 "/dev/net/tun: No such file or directory; 'modprobe tun' provides it" unshare -m sh -c \
		'mount -t tmpfs none /dev/net && exec "$@"' - "$OUTBOARD" -M 'model:?virtio-net' net bridge
fi

# ---- modelled devices ----
want 0 "$OUTBOARD" -M 'model:?virtio-net=a&virtio-net=a' devices
out_has "^      net1  02:00:00:00:00:02, link up$"
want 0 "$OUTBOARD" -M 'model:?virtio-net=a&virtio-net=a' devices --json
json '[x["net"] for x in d["devices"] if x["net"]] == [["net0"], ["net1"]]'
want 0 "$OUTBOARD" -M 'model:?virtio-net=a&packed&virtio-net=a&queues=3' devices -v
out_has "^      Transport: PCI, 2 interrupts, 24 bytes of configuration$"
out_has "^      Features: CSUM+ GUEST_CSUM- CTRL_GUEST_OFFLOADS- "
out_has " RING_PACKED+"
out_has "^      Queues 0 to 1: at most 256 each, not in use$"
out_has "^      Queue 2: packed ring of 16, at most 16, no interrupt, [1-9][0-9]* buffers added, [1-9][0-9]* back$"
out_has "^      Queues 0 to 5: at most 256 each, not in use$"
out_has "^      Queue 6: split ring of 16, "
want 0 "$OUTBOARD" -M 'model:?virtio-net=a&packed&virtio-net=a&queues=3' devices --json
json '[[q["entries"] for q in x["virtio_info"]["queues"]] for x in d["devices"] if x["virtio"]] == [[0, 0, 16], [0] * 6 + [16]]'
json 'all(set(x["virtio_info"]["negotiated"]) < set(x["virtio_info"]["offered"]) for x in d["devices"] if x["virtio"])'
json '[("RING_PACKED" in x["virtio_info"]["negotiated"], x["virtio_info"]["packed"]) for x in d["devices"] if x["virtio"]] == [(True, True), (False, False)]'
json '[x["virtio_info"] for x in d["devices"] if not x["virtio"]] == [None, None]'
want 0 "$OUTBOARD" -M 'model:?virtio-net=a&virtio-net=a&queues=3' net info --json
json 'len(d["interfaces"]) == 2 and d["interfaces"][1]["channels_max"] == 3 and d["interfaces"][0]["link_up"]'
want 0 "$OUTBOARD" -M 'model:?virtio-net' net generate --count 5000 --size 200 --flows 7 --json
json 'd["ports"][0]["tx_frames"] == 5000 and d["ports"][0]["tx_bytes"] == 1000000'
# So long that a busy computer does not decide it: what was not sent in time is sent a moment later.
want 0 "$OUTBOARD" -M 'model:?virtio-net' net generate --rate 2000 --time 5 --json
json '9500 <= d["ports"][0]["tx_frames"] <= 10500'

# ---- a capture, read by tshark ----
start sink "$OUTBOARD" -v -v -M "$left" net capture --count 300 --own "$work/frames.pcapng"
await_socket
opened sink 3
want 0 "$OUTBOARD" -M "$right" net generate --count 300 --size 100 --flows 3 --rate 3000 --to 52:54:00:00:00:01
ends sink 0
if command -v tshark >/dev/null; then
	want 0 tshark -r "$work/frames.pcapng" -T fields -e frame.len -e eth.src -e ip.dst -e udp.srcport -e udp.dstport \
		-e ip.checksum.status -o ip.check_checksum:TRUE
	check "tshark reads $(wc -l <"$work/out") frames of 300" [ "$(wc -l <"$work/out")" = 300 ]
	check "tshark reads other frames than were sent" [ "$(sort -u "$work/out")" = "$(printf \
		'100\t52:54:00:00:00:02\t192.0.2.2\t%s\t9\t1\n' 49152 49153 49154)" ]
	want 0 tshark -r "$work/frames.pcapng" -T fields -e data.data
	check "the frames' numbers are not 0 to 299" [ "$(cut -c1-16 "$work/out" | sort -u | wc -l)" = 300 ]
fi
rm -f "$work/wire"

# ---- a file system that is full: what is in the file by then stays, and is whole ----
mkdir "$work/small"
if unshare -m mount -t tmpfs -o size=64k none "$work/small" 2>/dev/null; then
	start sink unshare -m sh -c 'mount -t tmpfs -o size=64k none "$1" && from=$1/frames to=$2 && shift 2 && "$@"
		code=$?; cp "$from" "$to"; exit $code' - "$work/small" "$work/frames.pcapng" \
		"$OUTBOARD" -v -v -M "$left" net capture "$work/small/frames"
	await_socket
	opened sink 3
	sleep 1
	want 0 "$OUTBOARD" -M "$right" net generate --count 1000 --size 200 --rate 3000
	ends sink 1
	kept=$(sed -n 's/.*frames: No space left on device; the first \([0-9]*\) frames are in it$/\1/p' "$work/sink.err")
	check "a full file system: $(tail -1 "$work/sink.err")" [ "${kept:-0}" -gt 200 ]
	if command -v tshark >/dev/null; then
		want 0 tshark -r "$work/frames.pcapng" -T fields -e frame.number
		check "$(wc -l <"$work/out") frames are in a file that is said to have $kept" [ "$(wc -l <"$work/out")" = "$kept" ]
	fi
fi
rm -f "$work/wire"

# ---- frames that make no sense are counted where they would have been; for whom the others were ----
start sink "$OUTBOARD" -v -v -M "qemu:q35?virtio-net=dgram:$work/wire:$work/other" net capture --count 4 "$work/frames.pcapng"
await_socket
opened sink 3
sleep 1
want 0 python3 -c 'import socket, sys, time
wire = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
wire.bind(sys.argv[2])
for to in "525400123456", "short", "short", "ffffffffffff", "01005e000001", "020000000007":
    wire.sendto(b"short" if to == "short" else bytes.fromhex(to) + bytes(54), sys.argv[1])
    time.sleep(0.2)' "$work/wire" "$work/other"
ends sink 0
if command -v tshark >/dev/null; then
	want 0 tshark -r "$work/frames.pcapng" -T fields -e frame.packet_flags_direction -e frame.packet_flags_reception_type \
		-e frame.interface_queue -e frame.drop_count
	# Inbound; unicast, broadcast, multicast, another's; queue 0; two were lost before the second.
	check "tshark reads of directions, receptions and losses: $(cat "$work/out")" [ "$(cat "$work/out")" = "$(printf \
		'0x00000001\t%s\t0\t%s\n' 1 '' 3 2 2 '' 4 '')" ]
	want 0 tshark -X 'read_format:MIME Files Format' -r "$work/frames.pcapng" -T fields \
		-e pcapng.options.option.data.interface.received -e pcapng.options.option.data.interface.dropped_by_os \
		-e pcapng.options.option.data.interface.delivered_to_user
	out_has "^6	2	4$"
fi
rm -f "$work/wire" "$work/other"

# ---- an other end that takes nothing: a signal ends it all the same, with what there was ----
start held python3 -c 'import socket, sys, time
wire = socket.socket(socket.AF_UNIX)
wire.bind(sys.argv[1])
wire.listen(1)
end = wire.accept()
time.sleep(60)' "$work/wire"
await_socket
start stuck "$OUTBOARD" -v -v -M "qemu:q35?virtio-net=connect:$work/wire" net generate --size 1500
opened stuck 3
sleep 1
kill -INT $stuck
ends stuck 130
check "nothing says that frames are left" grep -q "net0: the device did not send all within 3 s" "$work/stuck.err"
check "it does not say what it sent" grep -q "sent [1-9][0-9]* frames" "$work/stuck.out"
kill $held
rm -f "$work/wire"

# ---- forwarding: a middle machine with two interfaces ----
start far "$OUTBOARD" -v -v -M "qemu:q35?virtio-net=listen:$work/wire" net capture --discard --count 400 --json
await_socket
start middle "$OUTBOARD" -v -v -M "qemu:q35?virtio-net=connect:$work/wire&virtio-net=listen:$work/near" net forward net0 net1 --json
for ((i = 0; i < 300; i++)); do [ -S "$work/near" ] && break; sleep 0.1; done
opened far 3
opened middle 6
want 0 "$OUTBOARD" -M "qemu:q35?virtio-net=connect:$work/near" net generate --count 400 --rate 2000 --json
ends far 0
kill -INT $middle
ends middle 130
cp "$work/middle.out" "$work/out"
json 'sum(p["tx_frames"] for p in d["ports"]) >= 400'
rm -f "$work/wire" "$work/near"

# ---- the kernel's own network through our drivers ----
if ! ip netns add $one 2>/dev/null || ! ip netns add $two || [ ! -c /dev/net/tun ]; then
	echo "left out: no network namespaces, or no /dev/net/tun"
	finish
fi
refused 2 "another kind of interface of this name" nsenter --net=/run/netns/$two "$OUTBOARD" -M 'model:?virtio-net' net bridge --tap lo
refused 2 "no name for an interface" "$OUTBOARD" -M 'model:?virtio-net' net bridge --tap a/b
start orphan nsenter --net=/run/netns/$two "$OUTBOARD" -M 'model:?virtio-net' net bridge --tap tap9
await orphan.err "is tap9"
nsenter --net=/run/netns/$two ip link del tap9
ends orphan 1
check "nothing says that tap9 was deleted" grep -q "TAP device tap9: somebody deleted it" "$work/orphan.err"
start ponged "$OUTBOARD" -M "$left" net respond --address 10.77.0.1
await ponged.err "answers for 10.77.0.1" && await_socket
start tap nsenter --net=/run/netns/$two "$OUTBOARD" -M "$right" net bridge --tap tap0 --address 10.77.0.2/24
await tap.err "is tap0"
want 0 nsenter --net=/run/netns/$two ping -c 3 -i 0.2 -W 10 10.77.0.1
out_has "3 received"
refused 1 "somebody uses it" nsenter --net=/run/netns/$two "$OUTBOARD" -M 'model:?virtio-net' net bridge --tap tap0
kill -INT $ponged $tap
ends ponged 130
ends tap 130
rm -f "$work/wire"

# Through two interfaces in the middle, whose frames nobody may be late for.
start ponged "$OUTBOARD" -M "$left" net respond --address 10.77.0.1
await ponged.err "answers for 10.77.0.1" && await_socket
start middle "$OUTBOARD" -v -v -M "qemu:q35?virtio-net=connect:$work/wire&virtio-net=listen:$work/near" net forward net0 net1
for ((i = 0; i < 300; i++)); do [ -S "$work/near" ] && break; sleep 0.1; done
opened middle 6
start tap nsenter --net=/run/netns/$two "$OUTBOARD" -M "qemu:q35?virtio-net=connect:$work/near" net bridge --tap tap0 --address 10.77.0.2/24
await tap.err "is tap0"
want 0 nsenter --net=/run/netns/$two ping -c 10 -i 0.2 -W 10 10.77.0.1
out_has "10 received"
fastest=$(sed -n 's|^rtt min.* = \([0-9]*\)\..*|\1|p' "$work/out")
check "the fastest of ten took $fastest ms" [ "${fastest:-999}" -lt 15 ]
kill -INT $ponged $middle $tap
ends ponged 130
ends middle 130
ends tap 130
rm -f "$work/wire" "$work/near"

start tap1 nsenter --net=/run/netns/$one "$OUTBOARD" -M "$left" net bridge --tap tap0 --address 10.77.0.1/24
await_socket
start tap2 nsenter --net=/run/netns/$two "$OUTBOARD" -M "$right,packed=on" net bridge --tap tap0 --address 10.77.0.2/24
await tap1.err "is tap0" && await tap2.err "is tap0"
head -c "${mebibytes}M" /dev/urandom >"$work/sent"
start sink timeout 600 nsenter --net=/run/netns/$two socat -u TCP-LISTEN:7000,reuseaddr "OPEN:$work/arrived,creat"
sleep 0.5
want 0 timeout 600 nsenter --net=/run/netns/$one socat -u "OPEN:$work/sent" TCP:10.77.0.2:7000
ends sink 0
same "$work/sent" "$work/arrived"
kill -INT $tap1 $tap2
ends tap1 130
ends tap2 130
nobody_has "$work/wire"

# Segments of 64 KiB both ways, by rings that are shorter than those have parts.
start tap1 nsenter --net=/run/netns/$one "$OUTBOARD" -M "qemu:q35?virtio-net=tap:obfar" net bridge --tap tap0 --address 10.77.0.1/24 --depth 16
await tap1.err "is tap0"
nsenter --net=/run/netns/$one ip link set obfar netns $two
nsenter --net=/run/netns/$two ip addr add 10.77.0.2/24 dev obfar
nsenter --net=/run/netns/$two ip link set obfar up
for way in "$one $two 10.77.0.2" "$two $one 10.77.0.1"; do
	set -- $way
	rm -f "$work/arrived"
	start sink timeout 60 nsenter --net=/run/netns/$2 socat -u TCP-LISTEN:7000,reuseaddr "OPEN:$work/arrived,creat"
	sleep 0.5
	want 0 timeout 60 nsenter --net=/run/netns/$1 socat -b 262144 -u "OPEN:$work/sent" "TCP:$3:7000"
	ends sink 0
	same "$work/sent" "$work/arrived"
done
kill -INT $tap1
ends tap1 130

# Several channels, that flows are dealt out to: QEMU does that itself.
mac=52:54:00:00:00:03
start sink nsenter --net=/run/netns/$two "$OUTBOARD" -v -v -M "qemu:q35?virtio-net=tap:obrss,queues=4,rss=on,hash=on,mac=$mac" \
	net capture --channels 4 --own "$work/rss.pcapng" --json
opened sink 6
nsenter --net=/run/netns/$two ip link set obrss up
sleep 0.5
want 0 nsenter --net=/run/netns/$two python3 "$(dirname "$0")/net_rss.py" send obrss $mac 200
for ((i = 0; i < 100; i++)); do
	[ "$(stat -c %s "$work/rss.pcapng")" -ge 20000 ] && break
	sleep 0.1
done
kill -INT $sink
ends sink 130
want 0 python3 "$(dirname "$0")/net_rss.py" check "$work/rss.pcapng" 4 200
cp "$work/sink.out" "$work/out"
json 'len(d["channels"]) == 4 and sum(d["channels"]) == d["ports"][0]["rx_frames"] and min(d["channels"]) > 20'
finish
