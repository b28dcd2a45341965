#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Arguments, help and output of the command, without any machine: args.sh OUTBOARD
. "$(dirname "$0")/lib.sh"

# ---- help and version ----
want 0 "$OUTBOARD" --version
check "version is one line" grep -qx 'outboard [0-9]*\.[0-9]*\.[0-9]*' "$work/out"
err_empty
want 0 "$OUTBOARD" --help
for verb in devices info read write bench serve net explore trace doctor bind unbind attach-help; do
	out_has "^  $verb "
done
cp "$work/out" "$work/first"
for help in help "help help" "help --help"; do
	want 0 "$OUTBOARD" $help
	same "$work/first" "$work/out"
done
for verb in devices info read write bench serve net explore trace doctor bind unbind attach-help; do
	want 0 "$OUTBOARD" "$verb" --help
	out_has "^usage: outboard"
	out_has "  outboard .*$verb"
	err_empty
	cp "$work/out" "$work/first"
	want 0 "$OUTBOARD" help "$verb"
	same "$work/first" "$work/out"
	check "help of $verb fits 120 columns" awk 'length > 120 { exit 1 }' "$work/first"
done
# Every option that a verb's help names is one that it takes.
for verb in devices info read write bench serve trace doctor bind unbind; do
	for option in $("$OUTBOARD" "$verb" --help | grep -o -- '^ *\(-[a-z], \)\?--[a-z-]*' | grep -o -- '--[a-z-]*'); do
		"$OUTBOARD" "$verb" "$option" --help >/dev/null 2>"$work/err"
		check "$verb --help names $option, which is unknown" eval '! grep -q "unknown option" "$work/err"'
	done
done

for command in info respond capture generate forward bridge; do
	want 0 "$OUTBOARD" net "$command" --help
	err_empty
	cp "$work/out" "$work/first"
	out_has "^usage: outboard net $command"
	for option in $(grep -o -- '^ *--[a-z-]*' "$work/first"); do
		"$OUTBOARD" net "$command" "$option" --help >/dev/null 2>"$work/err"
		check "net $command --help names $option, which is unknown" eval '! grep -q "unknown option" "$work/err"'
	done
done

# What help and the manual name is the same.
man=$(dirname "$0")/../../docs/man
both_name() { # PAGE, the help is in $work/helps
	local option
	grep -o -- '^ *\(-[a-zA-Z], \)\?--[a-z-]*' "$work/helps" | grep -o -- '--[a-z-]*' | sort -u >"$work/help.options"
	grep -o -- 'Fl.* -[a-z].*' "$man/$1" | grep -o -- ' -[a-z][a-z-]\+' | sed 's/^ /-/' | sort -u >"$work/man.options"
	for option in $(comm -23 "$work/help.options" "$work/man.options"); do
		complain "$1 does not tell of $option"
	done
	# --channels is another name of --cpus.
	for option in $(comm -13 "$work/help.options" "$work/man.options" | grep -vx -- --channels); do
		complain "no help tells of $option, as $1 does"
	done
	checks=$((checks + $(wc -l <"$work/help.options")))
}
{
	"$OUTBOARD" --help
	for verb in devices info read write bench serve trace doctor bind unbind; do "$OUTBOARD" $verb --help; done
} >"$work/helps"
both_name outboard.1
for command in info respond capture generate forward bridge; do "$OUTBOARD" net $command --help; done >"$work/helps"
both_name outboard-net.1
"$OUTBOARD" explore --help >"$work/helps"
both_name outboard-explore.1

# ---- wrong use ----
refused 2 "say what to do" "$OUTBOARD"
refused 2 "unknown verb 'foo'; there is devices" "$OUTBOARD" foo
refused 2 "unknown option '--foo'" "$OUTBOARD" --foo
refused 2 "unknown verb 'foo'" "$OUTBOARD" help foo
refused 2 "devices: unknown option '--foo' (try 'outboard devices --help')" "$OUTBOARD" devices --foo
refused 2 "read: name a disk" "$OUTBOARD" read
refused 2 "read: too many arguments" "$OUTBOARD" read a b c
refused 2 "--offset: '4KB' is not a size" "$OUTBOARD" read --offset 4KB a
refused 2 "--count needs a value" "$OUTBOARD" read --count
refused 2 "--depth: '0' is too small; at least 1" "$OUTBOARD" read --depth 0 a
refused 2 "write: name a disk" "$OUTBOARD" write
refused 1 "/nonexistent: No such file or directory" "$OUTBOARD" write a /nonexistent
refused 1 "Is a directory" "$OUTBOARD" write a "$work"
refused 2 "destroys what is on it; if that is meant, add --allow-writes" "$OUTBOARD" bench --mix 50
refused 2 "'fast' is none of interrupt, polled, hybrid" "$OUTBOARD" bench --mode fast
refused 2 "--mix: '101' is too large; at most 100" "$OUTBOARD" bench --mix 101
refused 2 "--cpu-share is for --mode hybrid" "$OUTBOARD" bench --mode polled --cpu-share 50
refused 2 "--cpu-share: '0' is too small; at least 1" "$OUTBOARD" bench --cpu-share 0
refused 2 "exclude each other" "$OUTBOARD" bench --random --sequential
refused 2 "one disk at a time" "$OUTBOARD" bench a b
refused 2 "one ADDRESS at most" "$OUTBOARD" doctor 01:00.0 02:00.0
refused 2 "no directory of a recorded computer" "$OUTBOARD" doctor --root /nowhere
refused 1 "there is no user" "$OUTBOARD" bind --user "no such user" fffe:00:00.0
refused 2 "which device" "$OUTBOARD" bind
refused 2 "which device" "$OUTBOARD" unbind
refused 1 "no PCI address" "$OUTBOARD" bind x
refused 3 "there is no PCI device" "$OUTBOARD" unbind fffe:00:00.0
refused 2 "say how" "$OUTBOARD" serve
refused 2 "cannot serve 'foo', only nbd and vhost-user" "$OUTBOARD" serve foo
refused 2 "say where to listen" "$OUTBOARD" serve vhost-user
refused 2 "port is for nbd" "$OUTBOARD" serve vhost-user --port 1
refused 2 "run is for nbd" "$OUTBOARD" serve vhost-user --run true --unix "$work/s"
refused 2 "queues is for vhost-user" "$OUTBOARD" serve nbd --queues 1 --unix "$work/s"
refused 2 "'extra'?" "$OUTBOARD" serve vhost-user extra --unix "$work/s"
refused 2 "longer than the" "$OUTBOARD" serve vhost-user --unix "$work/$(printf '%0120d' 0)"
refused 1 "exists and is not a socket" "$OUTBOARD" serve vhost-user --unix /etc/passwd
refused 2 "say where to listen" "$OUTBOARD" serve nbd
refused 2 "exclude each other" "$OUTBOARD" serve nbd --unix "$work/s" --port 1
refused 2 "address is for --port" "$OUTBOARD" serve nbd --unix "$work/s" --address 127.0.0.1
refused 2 "address is for nbd" "$OUTBOARD" serve vhost-user --unix "$work/s" --address 127.0.0.1
refused 2 "options follow a '--'" "$OUTBOARD" serve nbd extra --unix "$work/s"
refused 2 "longer than the" "$OUTBOARD" serve nbd --unix "$work/$(printf '%0120d' 0)"
refused 1 "exists and is not a socket" "$OUTBOARD" serve nbd --unix /etc/passwd
refused 2 "name the verb" "$OUTBOARD" trace
refused 2 "cannot trace 'serve'" "$OUTBOARD" trace serve nbd
refused 1 "trace: /nonexistent/t: No such file" "$OUTBOARD" trace --output /nonexistent/t devices
refused 2 "data and trace would mix" "$OUTBOARD" trace read a
refused 3 "no such" "$OUTBOARD" --machine nonsense: devices
refused 3 "has no block device; for network interfaces there is 'outboard net'" "$OUTBOARD" -M 'model:?virtio-net' info
refused 3 "has no block device; for" "$OUTBOARD" -M 'model:?virtio-net' bench
refused 2 "vblk0 has queues for 2 CPUs only; see --cpus" "$OUTBOARD" -M 'model:?virtio-blk=1M&queues=2' bench --cpus 3
want 0 "$OUTBOARD" -M 'model:?virtio-blk=1M' info
out_has "^  health  *spare normal, up to 10 % used (SLC), up to 10 % used (MLC)$"
out_has "serial OUTBOARDV0001$"
refused 2 "path of a socket is needed" "$OUTBOARD" -M vhost-user: info
refused 3 "there is no such socket" "$OUTBOARD" -M vhost-user:/nonexistent info
refused 3 "is not a socket" "$OUTBOARD" -M vhost-user:/etc/passwd info
refused 2 "known: hugepages, mac" "$OUTBOARD" -M 'vhost-user:/s?foo=1' info
refused 2 "takes no arguments" "$OUTBOARD" attach-help x
refused 2 "takes no arguments" "$OUTBOARD" attach-help -- x
refused 2 "without attach=DIR" "$OUTBOARD" -M qemu:virt attach-help
want 0 "$OUTBOARD" -M 'model:?virtio-blk=1M&entries=4' info
err_empty

# ---- programs that are missing ----
mkdir "$work/bin"
ln -s "$(command -v timeout)" "$work/bin/timeout"
last="serve nbd without nbdkit"
PATH=$work/bin "$OUTBOARD" serve nbd --unix "$work/s" >"$work/out" 2>"$work/err"
check "serve nbd without nbdkit: exit code is not 5" [ $? = 5 ]
err_has "apt install nbdkit"
last="qemu:virt without QEMU"
PATH=$work/bin "$OUTBOARD" -M qemu:virt info >"$work/out" 2>"$work/err"
check "qemu:virt without QEMU: exit code is not 5" [ $? = 5 ]
err_has "package qemu-system-arm"
echo '/dts-v1/; / { };' >"$work/m.dts"
last="model:m.dts without dtc"
PATH=$work/bin "$OUTBOARD" -M "model:$work/m.dts" info >"$work/out" 2>"$work/err"
check "model:m.dts without dtc: exit code is not 5" [ $? = 5 ]
err_has "device-tree-compiler"

# ---- standard output ----
last="--help >/dev/full"
"$OUTBOARD" --help >/dev/full 2>"$work/err"
check "full disk: exit code is not 1" [ $? = 1 ]
err_has "standard output: No space left on device"
"$OUTBOARD" --help 2>"$work/err" | true
check "closed pipe: exit code is not 0 or 141" [ "${PIPESTATUS[0]}" = 141 -o "${PIPESTATUS[0]}" = 0 ]
last="closed pipe"
err_empty

# Where a disk's file, or whatever else is opened, could take the place of a descriptor that is closed.
for what in "devices" "info --json" "read nvme0n1" "trace bench --time 10ms" "-vv devices"; do
	head -c 1M /dev/urandom >"$work/disk"
	cp "$work/disk" "$work/disk.before"
	last="$what with closed descriptors"
	"$OUTBOARD" -M "model:?nvme=$work/disk" $what >&- 2>"$work/err"
	check "$last: exit code is not 1" [ $? = 1 ]
	check "$last: not told that standard output is closed: $(cat "$work/err")" \
		[ "$(grep -c "standard output: Bad file descriptor" "$work/err")" = 1 ]
	"$OUTBOARD" -M "model:?nvme=$work/disk" $what <&- >&- 2>&-
	same "$work/disk.before" "$work/disk"
done
last="write from a closed standard input"
"$OUTBOARD" write nvme0n1 <&- 2>"$work/err"
check "$last: exit code is not 1" [ $? = 1 ]
err_has "standard input: Bad file descriptor"
output_is_lost trace info
output_is_lost serve vhost-user --unix "$work/s"

# ---- an image on a full file system, which takes the right to mount one ----
if unshare -m true 2>/dev/null; then
	mkdir "$work/small"
	head -c 2M /dev/urandom >"$work/data"
	full='mount -t tmpfs -o size=1m none "$1/small" && shift && exec "$@"'
	want 4 unshare -m sh -c "$full" - "$work" "$OUTBOARD" -M "model:?virtio-blk=$work/small/i&create&size=4M" \
		write vblk0 "$work/data"
	err_has "model: $work/small/i: write: No space left on device"
	err_has "vblk0: write of"
fi
finish
