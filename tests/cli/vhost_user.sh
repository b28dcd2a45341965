#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# vhost-user by the command: what is said when the other side is not there, is another one, or goes.
#
#	vhost_user.sh OUTBOARD
. "$(dirname "$0")/lib.sh"
command -v qemu-storage-daemon >/dev/null || {
	echo "SKIP: no qemu-storage-daemon (Debian: qemu-system-common)"
	exit 77
}
ob=$(realpath "$OUTBOARD")
cd "$work" || exit 1

# begin_qsd SOCKET OPTIONS: QEMU's server; its process in $server
begin_qsd() {
	qemu-storage-daemon --blockdev file,node-name=d,filename=disk.img \
		--export "vhost-user-blk,id=e,node-name=d,addr.type=unix,addr.path=$1,$2" 2>/dev/null &
	server=$!
	await "$1"
}

# begin_own SOCKET OPTIONS…: ours
begin_own() {
	local socket=$1
	shift
	: >served
	"$ob" "$@" serve vhost-user --unix "$socket" >>served 2>served.err &
	server=$!
	for ((i = 0; i < 300 && $(wc -l <served) == 0; i++)); do
		sleep 0.02
	done
}

await() {
	for ((i = 0; i < 300; i++)); do
		[ ! -S "$1" ] || return
		sleep 0.02
	done
	complain "no $1: $(cat served.err 2>/dev/null)"
}

end() { # SIGNAL
	kill "-$1" $server
	wait $server 2>/dev/null
}

truncate -s 16M disk.img

# ---- nobody there, or nobody who is meant ----

touch file
refused 2 'the path of a socket is needed' "$ob" -M vhost-user: info
refused 2 "unknown key 'quues'" "$ob" -M 'vhost-user:none?quues=2' info
refused 3 'none: there is no such socket' "$ob" -M vhost-user:none info
refused 3 'file is not a socket' "$ob" -M vhost-user:file info
refused 2 '--unix: a path is needed' "$ob" -M model: serve vhost-user --unix ''
refused 1 'file exists and is not a socket' "$ob" -M model: serve vhost-user --unix file
refused 1 'no/socket: No such file or directory' "$ob" -M model: serve vhost-user --unix no/socket

# ---- our server's socket ----

begin_own own.sock -M 'model:?nvme=disk.img'
refused 1 'own.sock: another server listens there' "$ob" -M model: serve vhost-user --unix own.sock
want 0 "$ob" -M vhost-user:own.sock info
out_has '32768 blocks of 512 bytes'
end KILL
refused 3 'own.sock: nobody listens there' "$ob" -M vhost-user:own.sock info
[ -S own.sock ] || complain "a killed server's socket is gone"
begin_own own.sock -M 'model:?nvme=disk.img' # takes a dead one's place
want 0 "$ob" -M vhost-user:own.sock info
# Who takes the place of one that lives is left alone by its end.
rm own.sock
"$ob" -M model: serve vhost-user --unix own.sock >other 2>&1 &
other=$!
await own.sock
end TERM
checks=$((checks + 1))
[ -S own.sock ] || complain "a server removed another one's socket"
kill $other
wait $other

# ---- a server that goes under load, and is not seen again ----

for mode in interrupt polled; do
	begin_qsd qemu.sock writable=on,num-queues=4
	(sleep 0.5 && kill -9 $server) &
	before=$SECONDS
	want 4 "$ob" -M 'vhost-user:qemu.sock?reconnect=300ms' bench --cpus 2 --time 20 --mode $mode
	err_has 'did not come back within 300 ms'
	err_has 'bench: vblk0: read of'
	checks=$((checks + 1))
	! grep -q 'does not answer (' "$work/err" && [ $((SECONDS - before)) -lt 6 ] ||
		complain "$last: $((SECONDS - before)) s to its end: $(cat "$work/err")"
	wait $server 2>/dev/null
	rm -f qemu.sock
done

# ---- a server that comes back with another disk ----

# comes_back FILE OPTIONS WORDS: what is said then
comes_back() {
	begin_qsd qemu.sock writable=on
	(sleep 0.4 && kill -9 $server && rm -f qemu.sock && exec timeout 20 qemu-storage-daemon \
		--blockdev "file,node-name=d,filename=$1" \
		--export "vhost-user-blk,id=e,node-name=d,addr.type=unix,addr.path=qemu.sock,$2" 2>/dev/null) &
	next=$!
	want 4 "$ob" -M 'vhost-user:qemu.sock?reconnect=5s' bench --time 20 --mix 0 --allow-writes
	err_has "$3"
	wait $server 2>/dev/null
	kill $next
	wait $next 2>/dev/null
	rm -f qemu.sock
}

truncate -s 8M small.img
comes_back small.img writable=on 'the disk is smaller now: 16384 blocks, not 32768'
comes_back disk.img writable=off 'came back with a disk that is read-only now'
finish
