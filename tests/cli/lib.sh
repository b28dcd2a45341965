# SPDX-License-Identifier: BSD-2-Clause
# What the command's tests share. Sourced by bash; the first argument is the outboard program.
# A check that fails says what it wanted and got, and the test goes on; it ends non-zero when any failed.
set -u
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
unset OUTBOARD_MACHINE OUTBOARD_TRACE
OUTBOARD=$1
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1}
work=$(mktemp -d)
failures=0
checks=0
trap 'rm -rf "$work"' EXIT

complain() {
	failures=$((failures + 1))
	printf 'FAIL: %s\n' "$*" >&2
}

# want CODE COMMAND…: run it; output in $work/out, messages in $work/err.
want() {
	local code=$1 got
	shift
	checks=$((checks + 1))
	last="$*"
	timeout -k 5 120 "$@" >"$work/out" 2>"$work/err" </dev/null
	got=$?
	[ $got = "$code" ] || {
		complain "$last: exit code $got, not $code"
		sed 's/^/    /' "$work/err" >&2
	}
}

out_has() {
	checks=$((checks + 1))
	grep -q -- "$1" "$work/out" || {
		complain "$last: no '$1' in its output:"
		sed 's/^/    /' "$work/out" | head -20 >&2
	}
}

err_has() {
	checks=$((checks + 1))
	grep -q -- "$1" "$work/err" || {
		complain "$last: no '$1' in its messages:"
		sed 's/^/    /' "$work/err" | head -20 >&2
	}
}

err_empty() {
	checks=$((checks + 1))
	[ ! -s "$work/err" ] || {
		complain "$last: says something:"
		sed 's/^/    /' "$work/err" | head -20 >&2
	}
}

# Wrong use: one line, the code, the words, nothing on standard output.
refused() { # CODE WORDS COMMAND…
	local code=$1 words=$2
	shift 2
	want "$code" "$@"
	err_has "$words"
	checks=$((checks + 1))
	[ "$(wc -l <"$work/err")" = 1 ] && [ ! -s "$work/out" ] ||
		complain "$last: not one line of message and no output, but:
$(sed 's/^/    /' "$work/err" "$work/out" | head -20)"
}

# What a command says that its output did not arrive: on a full disk, and when its reader has ended before it began.
output_is_lost() { # of outboard: VERB…
	local code
	last="$* >/dev/full"
	timeout 60 "$OUTBOARD" "$@" >/dev/full 2>"$work/err"
	code=$?
	check "$last: exit code $code, not 1" [ $code = 1 ]
	err_has "standard output: No space left on device"
	check "$last: more than one line: $(cat "$work/err")" [ "$(wc -l <"$work/err")" = 1 ]
	last="$* to nobody"
	mkfifo "$work/nobody"
	: <"$work/nobody" &
	{
		wait $!
		timeout 60 "$OUTBOARD" "$@" 2>"$work/err"
		code=$?
	} >"$work/nobody"
	rm "$work/nobody"
	check "$last: exit code $code, not 141" [ $code = 141 ]
	err_empty
}

json() { # an expression over d, the document
	checks=$((checks + 1))
	python3 -c 'import json,sys
d = json.load(open(sys.argv[1]))
assert eval(sys.argv[2]), "not so: " + sys.argv[2]' "$work/out" "$1" 2>"$work/json" ||
		complain "$last: $(tail -1 "$work/json")"
}

same() {
	checks=$((checks + 1))
	cmp "$1" "$2" >"$work/cmp" 2>&1 || complain "$last: $(cat "$work/cmp")"
}

check() { # WHAT COMMAND…
	local what=$1
	shift
	checks=$((checks + 1))
	"$@" || complain "$what"
}

# No process is left that has this in its command line. A machine that was killed needs a moment.
nobody_has() {
	local pattern="[${1:0:1}]${1:1}" left i
	checks=$((checks + 1))
	for ((i = 0; i < 50; i++)); do
		left=$(grep -lsz -- "$pattern" /proc/[0-9]*/cmdline)
		[ -n "$left" ] || return 0
		sleep 0.1
	done
	complain "$last: left running: $left"
}

# disk_uri SCHEME FILE [BLOCK [readonly]]: a machine with that file as its disk.
disk_uri() {
	case $1 in
	model:) echo "$1?nvme=$2${3:+&block=$3}${4:+&readonly}" ;;
	*) echo "$1?nvme=$2${3:+,logical_block_size=$3,physical_block_size=$3}${4:+,readonly=on}" ;;
	esac
}

finish() {
	echo "$checks checks, $failures failed"
	[ $failures = 0 ]
	exit
}
