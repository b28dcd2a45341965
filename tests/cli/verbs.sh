#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Every verb on a machine with a disk: verbs.sh OUTBOARD qemu:q35|model:
. "$(dirname "$0")/lib.sh"
scheme=$2
MIB=1048576

# A disk of random bytes, so that a block read from the wrong place shows.
image=$work/disk.img
head -c $((16 * MIB)) /dev/urandom >"$image"
cp "$image" "$work/before"
machine=$(disk_uri "$scheme" "$image")
machine4k=$(disk_uri "$scheme" "$image" 4096)
on() { # want's code, then the command's arguments
	local code=$1
	shift
	want "$code" "$OUTBOARD" -M "$machine" "$@"
}
reject() {
	local code=$1 words=$2
	shift 2
	refused "$code" "$words" "$OUTBOARD" -M "$machine" "$@"
}

# ---- devices ----
on 0 devices
out_has "Non-Volatile memory controller"
out_has "driver nvme"
out_has "nvme0n1  16.0 MiB, blocks of 512"
err_empty
on 0 devices --json
json "d['machine'] == '$machine'"
json "[x for x in d['devices'] if x['driver'] == 'nvme'][0]['block'] == ['nvme0n1']"
json "[x for x in d['devices'] if x['driver'] == 'nvme'][0]['state'] == 'bound'"
address=$(python3 -c 'import json,sys
print([x["name"] for x in json.load(open(sys.argv[1]))["devices"] if x["driver"] == "nvme"][0])' "$work/out")
on 0 devices -v "$address"
out_has "Region 0: Memory at"
out_has "MSI-X"
check "devices -v of one device shows one" [ "$(grep -c '^[0-9a-f]*:[0-9a-f:.]* ' "$work/out")" = 1 ]
reject 3 "no device 'nonsense'" devices nonsense

# ---- info ----
on 0 info
out_has "^nvme0n1"
out_has "32768 blocks of 512 bytes"
out_has "health       good"
on 0 info --json nvme0n1
json "d[0]['bytes'] == 16 << 20 and d[0]['block_bytes'] == 512 and d[0]['driver'] == 'nvme'"
json "d[0]['smart']['critical_warning'] == 0 and d[0]['controller']['version'].startswith('1.')"
# QEMU's controller is known for two things, the model's for nothing.
case $machine in
qemu*) json "d[0]['controller']['quirks'] == ['no-fua', 'cmb-at-bar']" ;;
*) json "d[0]['controller']['quirks'] == []" ;;
esac
reject 3 "no block device 'sda'; there is nvme0n1" info sda
want 3 "$OUTBOARD" -M "$scheme?nvme=/nonexistent" info
err_has "/nonexistent"

# ---- read ----
on 0 read nvme0n1 "$work/copy"
same "$image" "$work/copy"
err_empty
on 0 read --depth 1 nvme0n1 "$work/copy"
same "$image" "$work/copy"
for range in "0 1" "1 1" "511 2" "512 512" "1000 300000" "$((16 * MIB - 1)) 1" "$((16 * MIB)) 0" "77 $((3 * MIB))"; do
	set -- $range
	tail -c +$(($1 + 1)) "$image" | head -c "$2" >"$work/part"
	on 0 read --offset "$1" --count "$2" nvme0n1
	same "$work/part" "$work/out"
done
reject 2 "--count: only 512 bytes are left" read --offset $((16 * MIB - 512)) --count 513 nvme0n1
reject 2 "--offset: nvme0n1 ends at byte 16777216" read --offset 17M nvme0n1
reject 3 "no block device 'nvme9n9'" read nvme9n9 "$work/never"
check "a file for a disk that is not there" [ ! -e "$work/never" ]
reject 1 "/nonexistent/x: No such file" read nvme0n1 /nonexistent/x
reject 1 "it is in use, as a disk's image" read nvme0n1 "$image"
same "$work/before" "$image"
on 1 read nvme0n1 /dev/full
err_has "/dev/full: No space left on device"
last="read into a pipe that closes"
"$OUTBOARD" -M "$machine" read nvme0n1 2>"$work/err" | head -c 100 >/dev/null
check "$last: exit code is not 141" [ "${PIPESTATUS[0]}" = 141 ]
err_empty

# ---- write ----
head -c $((5 * MIB)) /dev/urandom >"$work/data"
on 0 write --offset 1M --flush nvme0n1 "$work/data"
err_empty
dd if="$work/data" of="$work/before" bs=1M seek=1 conv=notrunc status=none
same "$work/before" "$image"
head -c 1234567 /dev/urandom >"$work/data" # ends within a block
on 0 write --offset 512 --fua nvme0n1 "$work/data"
dd if="$work/data" of="$work/before" bs=512 seek=1 conv=notrunc status=none
same "$work/before" "$image"
last="write from a pipe"
head -c 3000 "$work/data" | "$OUTBOARD" -M "$machine" write --offset 8M nvme0n1 - 2>"$work/err"
check "$last: exit code is not 0" [ "${PIPESTATUS[1]}" = 0 ]
dd if=<(head -c 3000 "$work/data") of="$work/before" bs=1M seek=8 conv=notrunc status=none
same "$work/before" "$image"
on 0 write --offset 2M --count 4096 --depth 1 nvme0n1 "$work/data"
dd if="$work/data" of="$work/before" bs=4096 count=1 seek=512 conv=notrunc status=none
same "$work/before" "$image"
reject 2 "--offset: must be a multiple of the disk's block, 512" write --offset 100 nvme0n1 "$work/data"
reject 1 "more than the 1048576 that nvme0n1 has room for" write --offset 15M nvme0n1 "$work/data"
last="write more from a pipe than fits"
head -c 2M /dev/zero | "$OUTBOARD" -M "$machine" write --offset 15M nvme0n1 2>"$work/err"
check "$last: exit code is not 1" [ "${PIPESTATUS[1]}" = 1 ]
err_has "the disk is full after 1048576 bytes"
dd if=/dev/zero of="$work/before" bs=1M count=1 seek=15 conv=notrunc status=none
same "$work/before" "$image"

# ---- blocks of 4096 ----
want 0 "$OUTBOARD" -M "$machine4k" info --json
json "d[0]['block_bytes'] == 4096"
want 0 "$OUTBOARD" -M "$machine4k" read --offset 1000 --count 100000 nvme0n1
tail -c +1001 "$image" | head -c 100000 >"$work/part"
same "$work/part" "$work/out"
want 0 "$OUTBOARD" -M "$machine4k" write --offset 8K nvme0n1 "$work/data"
dd if="$work/data" of="$work/before" bs=4096 seek=2 conv=notrunc status=none
same "$work/before" "$image"
want 2 "$OUTBOARD" -M "$machine4k" bench --size 512
err_has "multiple of the disk's block, 4096"

# ---- read only ----
want 4 "$OUTBOARD" -M "$(disk_uri "$scheme" "$image" 512 readonly)" write nvme0n1 "$work/data"
same "$work/before" "$image"

# ---- bench ----
for mode in interrupt polled hybrid; do
	on 0 bench --time 200ms --depth 8 --mode $mode
	out_has "nvme0n1: random, 100 % reads of 4.0 KiB, depth 8 on 1 CPU, $mode"
	out_has "IOPS .* MB/s  latency us: p50 .* p99.9 .* max"
	err_empty
done
on 0 bench --time 300ms --cpus 2 --depth 4 --sequential --size 16K --json nvme0n1
json "d['read']['count'] > 0 and d['write'] is None and d['cpus'] == 2 and d['pattern'] == 'sequential'"
json "0.29 < d['seconds'] < 3 and abs(d['read']['iops'] * d['seconds'] - d['read']['count']) < 1"
json "(lambda l: l['min'] <= l['p50'] <= l['p90'] <= l['p99'] <= l['p99_9'] <= l['max'])(d['read']['latency_ns'])"
json "d['cpu_percent'] > 0"
for mode in interrupt polled hybrid; do
	on 0 bench --time 500ms --rate 1000 --depth 4 --mode $mode --json
	json "100 < d['read']['iops'] < 1010 and d['rate'] == 1000 and d['late_ns']['min'] >= 0"
done
on 0 bench --time 500ms --rate 1000 --cpu-share 20 --json
json "d['cpu_share'] == 20 and d['loops_percent'] < 30"
on 0 bench --time 200ms --rate 500
out_has "rate   500/s wanted; late us: p50"
same "$work/before" "$image" # it only reads
on 0 bench --time 200ms --mix 0 --allow-writes --json
json "d['read'] is None and d['write']['count'] > 0"
on 0 bench --time 300ms --mix 50 --allow-writes --json
json "0.3 < d['read']['count'] / (d['read']['count'] + d['write']['count']) < 0.7"
truncate -s 1M "$work/small.img"
refused 2 "--size: larger than nvme0n1" "$OUTBOARD" -M "$scheme?nvme=$work/small.img" bench --size 2M --depth 1
reject 2 "is too large" bench --size 1G

# ---- trace ----
on 0 trace --output "$work/events" read --count 64K nvme0n1 /dev/null
check "the trace has the read" grep -q "block-submit" "$work/events"
check "the trace has its doorbell" grep -q "nvme-doorbell" "$work/events"
check "the trace has its end" grep -q "block-done" "$work/events"
on 0 trace --events 64 info
out_has "^nvme0n1"
out_has "earlier events were overwritten"
# FUA where the disk has it, a flush behind each write where it has not; neither unasked.
for fua in --fua ""; do
	on 0 trace --output "$work/events" write $fua --count 4096 nvme0n1 "$work/data"
	on 0 info --json
	has_fua=$(python3 -c 'import json,sys; print("fua" in json.load(open(sys.argv[1]))[0]["offers"])' "$work/out")
	flushes=$(grep -c 'nvme-submit queue=[1-9].* opcode=0' "$work/events")
	[ "$has_fua" = True ] || check "write '$fua': $flushes flushes" [ "$flushes" = $([ -n "$fua" ] && echo 1 || echo 0) ]
done
on 1 trace --output /dev/full info
err_has "/dev/full: No space left on device"

# ---- signals ----
interrupt() { # SIGNAL CODE ARGUMENTS…
	local signal=$1 code=$2 pid
	shift 2
	last="$* stopped by SIG$signal"
	"$OUTBOARD" -M "$machine" "$@" >"$work/out" 2>"$work/err" &
	pid=$!
	sleep 1.5
	kill -"$signal" $pid
	SECONDS=0
	wait $pid
	check "$last: exit code is $?, not $code" [ $? = "$code" ]
	check "$last: took $SECONDS s" [ $SECONDS -le 3 ] # after five the process gives up on ending well
	nobody_has "$image"
}
# bash starts background jobs with SIGINT ignored, unless it controls jobs.
set -m
interrupt INT 130 bench --time 60
interrupt TERM 143 bench --time 60 --mode polled --cpus 2
mkfifo "$work/fifo"
exec 9<>"$work/fifo" # a reader that never reads
interrupt INT 130 read nvme0n1 "$work/fifo"
exec 9>&-
set +m

# ---- progress: on a terminal, and nowhere else ----
export TERM=xterm
on 0 bench --time 1
err_empty
last="progress on a terminal"
script -qefc "'$OUTBOARD' -M '$machine' bench --time 1" "$work/terminal" >/dev/null 2>&1
check "$last: none" grep -q "IOPS  .* s left" "$work/terminal"
script -qefc "'$OUTBOARD' -q -M '$machine' bench --time 1" "$work/terminal" >/dev/null 2>&1
check "$last: some, though quiet" eval '! grep -q "s left" "$work/terminal"'

# ---- an image has one machine ----
"$OUTBOARD" -M "$machine" serve vhost-user --unix "$work/held" >"$work/ready" 2>&1 &
pid=$!
for ((i = 0; i < 300; i++)); do
	[ ! -s "$work/ready" ] || break
	sleep 0.1
done
refused 3 "it is in use already" "$OUTBOARD" -M "model:?nvme=$image&readonly" info
refused 2 'Failed to get .* lock' "$OUTBOARD" -M "qemu:q35?nvme=$image" info
kill $pid
wait $pid
on 0 info

# ---- the device fails ----
if [[ $scheme == qemu:* ]]; then
	printf '[inject-error]\nevent = "read_aio"\nerrno = "5"\nsector = "2048"\n' >"$work/errors"
	want 4 "$OUTBOARD" -M "$scheme" \
		--qemu-arg -blockdev --qemu-arg "driver=file,filename=$image,node-name=f0" \
		--qemu-arg -blockdev --qemu-arg "driver=blkdebug,image=f0,config=$work/errors,node-name=b0" \
		--qemu-arg -blockdev --qemu-arg "driver=raw,file=b0,node-name=d0" \
		--qemu-arg -device --qemu-arg "nvme,serial=bad,drive=d0" read nvme0n1 "$work/copy"
	err_has "nvme0n1: read of .* at byte .*: .*NVMe status"
	last="bench while QEMU is killed"
	"$OUTBOARD" -M "$machine" bench --time 60 >"$work/out" 2>"$work/err" &
	pid=$!
	sleep 1.5
	kill -9 "$(grep -lsz -- "${image%.img}[.]img" /proc/[0-9]*/cmdline | sed 's/[^0-9]//g' | while read -r p; do
		[ "$(cat /proc/"$p"/comm)" = outboard ] || echo "$p"
	done)"
	wait $pid
	check "$last: exit code is not 4" [ $? = 4 ]
	err_has "bench: nvme0n1: "
	nobody_has "$image"
fi
nobody_has "$image"
finish
