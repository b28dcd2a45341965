#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The explorer: explore.sh OUTBOARD PLANTED FERRY, explorers of scenarios with mistakes (tests/sim/planted.c) and of a
# driver of somebody's own (examples/ferry).
. "$(dirname "$0")/lib.sh"
OUTBOARD=$(realpath "$OUTBOARD")
planted=$(realpath "$2")
ferry=$(realpath "$3")
cd "$work" || exit 1

# ---- the command ----
want 0 "$OUTBOARD" explore --list
out_has "^nvme-io  *reads and writes"
out_has "^virtio-blk-suspend reads and writes while"
err_empty
want 0 "$OUTBOARD" explore --seeds 20 nvme-small
out_has "^nvme-small: 20 runs, 0 reports, seeds 1 to 20, hash [0-9a-f]\{16\}$"
err_empty

# ---- wrong use ----
refuse() {
	local words=$1
	shift
	refused 2 "$words" "$OUTBOARD" explore "$@"
}
refuse "no scenario 'nonsense'; there is nvme-io, " nonsense
refuse "unknown option '--nonsense'" --nonsense
refuse "--seeds: '0' is too small" --seeds 0
refuse "--seeds: '-1' is not a number" --seeds -1
refuse "--seeds: '99999999999999999999' is too large" --seeds 99999999999999999999
refuse "--seed: '1x' is not a number" --seed 1x
refuse "--jobs: '0' is too small" --jobs 0
refuse "--jobs: '65' is too large; at most 64" --jobs 65
refuse "--time: 'soon' is not a time" --time soon
refuse "--strategy: 'best' is none of swarm, random, pct" --strategy best
refuse "--replay: 'x' is not a number" --replay x
refuse "--replay runs one seed" --replay 1 --seeds 2
refuse "--replay runs one seed" --replay 1 --time 2
refuse "--hash goes with --replay" --hash 12
refuse "'xyz' is not a hash" --replay 1 --hash xyz
refuse "--replay-check: '0' is too small" --replay-check 0
refuse "--output goes with --minimise" --output f
refuse "--picture-events goes with --picture" --picture-events 40
for option in "--seed 3" "--jobs 2" --keep-going "--replay-check 2" --trace; do
	refuse "${option% *} is of an exploration, not of a replay" --replay 1 $option
	refuse "${option% *} is of an exploration, not of a replay" --replay-file small.run $option
done
refuse "takes no machine" --machine model:
refuse "there is no fault \"nonsense\"" --fault nonsense=3 nvme-rough
refuse "needs a rate" --fault hang nvme-rough
refuse "needs a rate" --fault hang=often nvme-rough
refuse "needs a rate" --fault all=often nvme-rough
refuse "no scenario here bears 'hang'" --fault hang=3 nvme-io
refuse "/nonexistent: No such file" --faults /nonexistent nvme-rough
echo "at io 3 nonsense" >bad.faults
refuse "bad.faults:1: " --faults bad.faults nvme-rough
refuse "$work: Is a directory" --faults "$work" nvme-rough
refuse "$work: Is a directory" --replay-file "$work"
refuse "/nonexistent/x: No such file" --coverage /nonexistent/x --time 1
refuse "/nonexistent/x: No such file" --picture /nonexistent/x --time 1
refuse "/nonexistent/x: No such file" --minimise --output /nonexistent/x --time 1
refuse "$work: Is a directory" --coverage "$work" --time 1
echo "at io 3 hang" >good.faults
refuse "good.faults: no scenario here bears all of these faults; nvme-io comes nearest, and does not bear: hang" \
	--faults good.faults nvme-io
printf 'hang\nfail\nregister CSTS stuck\n' >good.both
refuse "; nvme-rough comes nearest, and does not bear: register-stuck$" --faults good.both nvme-io nvme-rough nvme-small
refuse "/nonexistent: No such file" --replay-file /nonexistent
refuse "says all of the run by itself" --replay-file /nonexistent nvme-io
refuse "--replay-file runs one seed" --replay-file /nonexistent --seeds 3
refuse "says all of the run by itself" --replay-file /nonexistent --replay 5
echo "nonsense 5" >bad.run
refuse "bad.run:1: 'nonsense 5' is nothing of a run" --replay-file bad.run
echo "scenario nvme-io" >bad.run
refuse "bad.run: no scenario or no seed" --replay-file bad.run
printf 'scenario nvme-io\nseed 1\npreemptions 5 3\n' >bad.run
refuse "bad.run:3: 'preemptions 5" --replay-file bad.run
printf 'scenario nvme-io\nseed 1\nload-max 0\n' >bad.run
refuse "bad.run:3: " --replay-file bad.run
# Several scenarios: each has its turn.
want 0 "$OUTBOARD" explore nvme-small nvme-io --seed 100 --seeds 60 --trace --jobs 1
check "$last: not 30 of each" [ "$(grep -c "^seed.*nvme-io$" "$work/out") $(grep -c "^seed.*nvme-small$" "$work/out")" = "30 30" ]
refused 2 "cannot trace 'explore'" "$OUTBOARD" trace explore

# Every option that the help names is one that it takes.
for option in $("$OUTBOARD" explore --help | grep -o -- '^ *\(-[a-z], \)\?--[a-z-]*' | grep -o -- '--[a-z-]*'); do
	"$OUTBOARD" explore "$option" --help >/dev/null 2>"$work/err"
	check "explore --help names $option, which is unknown" eval '! grep -q "unknown option" "$work/err"'
done

# ---- somebody's own explorer speaks of itself, and of what it has ----
want 0 "$ferry" --help
out_has "^usage: ferry-explore \[options\]"
out_has "^  ferry-explore ferry-rough --time 10m"
out_has "^  ferry-explore ferry-rides --replay 5809"
check "ferry-explore --help speaks of others" eval '! grep -q "outboard explore\|nvme" "$work/out"'
want 0 "$OUTBOARD" explore --help
out_has "^  outboard explore nvme-rough --time 10m"
cp "$work/out" one
"$OUTBOARD" help explore >other
same one other
refused 2 "^ferry-explore: no scenario 'nvme-io'; there is ferry-rides, ferry-rough (try 'ferry-explore --help')$" "$ferry" nvme-io
refused 2 "^outboard: explore: .* (try 'outboard explore --help')$" "$OUTBOARD" explore nonsense
echo "register STATUS reads 1" >status.faults
want 0 "$ferry" ferry-rough --seeds 30 --fault all=0 --faults status.faults
out_has "^  faults that struck: register [0-9]*$"
echo "register CSTS reads 1" >csts.faults
refused 2 "csts.faults:1: CSTS is no register; one of ID, CONTROL, STATUS, SIZE, RING, TAIL, or its offset" \
	"$ferry" --faults csts.faults

# ---- jobs: what is said does not depend on how many ----
plain() { grep -v " s of CPU"; }
for arguments in "fine lost-update dies --seeds 300" "lost-update --seeds 200 -k" "fine lost-update dies --seeds 500 --seed 7" "dies --seeds 400 -k" \
	"fine dies --seeds 1000" "fine lost-update dies --seeds 300 -k --trace --strategy pct"; do
	last="$arguments"
	"$planted" $arguments --jobs 1 2>&1 | plain >one
	for jobs in 2 5; do
		"$planted" $arguments --jobs $jobs 2>&1 | plain >other
		same one other
	done
	check "$last: says nothing" [ -s one ]
done

# ---- a trace does not depend on where the system puts the program ----
last="words, in another process"
"$planted" words --seeds 100 --jobs 1 --trace | plain >one
for other in 2 3 4; do
	"$planted" words --seeds 100 --jobs 1 --trace | plain >other
	same one other
done
check "$last: says nothing" [ -s one ]

# ---- reports ----
want 1 "$planted" lost-update --seeds 100 --jobs 2
out_has "^lost-update: [0-9]*, not [0-9]*$"
out_has "planted.c:"
out_has "^replay: .*planted-explore lost-update --replay [0-9]*$"
err_empty
replay=$(sed -n 's/^replay: [^ ]* //p' "$work/out")
cp "$work/out" found
want 1 "$planted" $replay
out_has "^lost-update: [0-9]*, not"
check "the replay's report is the first one" [ "$(head -12 "$work/out")" = "$(head -12 found)" ]
hash=$(sed -n 's/^seed .* hash \([0-9a-f]*\) .*/\1/p' "$work/out")
want 1 "$planted" $replay --hash "$hash"
out_has "^the same trace$"
want 2 "$planted" $replay --hash 1234
err_has "another trace: $hash, not 0000000000001234"
want 1 "$planted" lost-update --seeds 100 --keep-going
out_has "^lost-update: .* (replay: .* lost-update --replay [0-9]*)$"
out_has "^  lost-update  *[0-9]* reports, the first with seed [0-9]*$"
out_has "^lost-update: 100 runs, [0-9]* reports"
want 1 "$planted" dies --seeds 400
out_has "^simulator: the process ended by signal 9"
out_has "1 reports"
want 0 "$planted" fine --seeds 200 --replay-check 3
out_has "^  67 seeds run twice, 67 of them identical (100.0 %)$"

want 2 "$planted" varies --seeds 40 --replay-check 1
err_has "seeds went another way the second time, [0-9]* among them$"
out_has "^  40 seeds run twice, [0-9]* of them identical"
want 1 "$planted" dies --seeds 400 -k --replay-check 1
out_has "seeds run twice, .* (100.0 %)$"

# ---- faults ----
want 0 "$OUTBOARD" explore --list-faults
out_has "^power-cut  .*; one in RATE commands done$"
check "$last: not of each what it strikes one in so many of" eval '! grep -qv "; one in RATE [a-zA-Z/ ]*$" "$work/out"'
none="--fault all=0"
want 0 "$OUTBOARD" explore nvme-rough --seeds 30 $none --json
json "d['summary']['faults'] == {} and d['summary']['counts']['faults'] == 0"
want 0 "$OUTBOARD" explore nvme-rough --seeds 30 $none --fault slow=2 --json
json "list(d['summary']['faults']) == ['slow'] and d['summary']['faults']['slow'] > 10"
# What needs a slot has one, whatever the seed says.
want 0 "$OUTBOARD" explore nvme-rough --seeds 30 $none --fault remove=20 --fault insert=1 --json
json "d['summary']['faults']['remove'] == d['summary']['faults']['insert'] > 10"
want 0 "$OUTBOARD" explore nvme-rough --seeds 30 $none --faults good.faults
out_has "^  faults that struck: hang [0-9]*$"

# ---- coverage ----
want 0 "$OUTBOARD" explore nvme-small --seeds 300 --jobs 2
out_has "^  driver code: [0-9]* of [0-9]* basic blocks, [0-9]* of them preempted, [0-9]* interrupted$"
out_has "^  states of devices: [0-9]*, [0-9]* transitions; 0 of [0-9]* kinds of faults$"
grep "driver code\|states of" "$work/out" >one
want 0 "$OUTBOARD" explore nvme-small --seeds 300 --jobs 1 --json
json "0 < d['summary']['coverage']['blocks_preempted'] < d['summary']['coverage']['blocks_reached']"
json "d['summary']['coverage']['blocks_reached'] < d['summary']['coverage']['blocks']"
json "open('one').read().split()[2] == str(d['summary']['coverage']['blocks_reached'])"
json "'lines' not in d['summary']['coverage']"
refuse "not of a replay" --coverage f --replay 1
if command -v objdump >/dev/null; then
	want 2 "$planted" lost-update --seeds 100 --coverage /dev/full --minimise --output full.run --picture full.svg
	err_has "/dev/full: No space left on device"
	check "a report is made small although the coverage could not be written" [ -s full.run -a -s full.svg ]
	want 0 "$OUTBOARD" explore nvme-small --seeds 100 --coverage lines
	out_has "^  driver lines: [0-9]* of [0-9]*, [0-9.]* %$"
	check "the queue's source is among those covered" grep -q "src/drivers/block/nvme/queue.c" lines
fi

# ---- JSON ----
want 1 "$planted" lost-update --seeds 100 --keep-going --json --jobs 2
json "d['summary']['runs'] == 100 and d['summary']['reports'] == len(d['reports']) > 1"
json "d['summary']['rules']['lost-update']['first_seed'] == d['reports'][0]['seed']"
json "[r['seed'] for r in d['reports']] == sorted(r['seed'] for r in d['reports'])"
json "all(r['rule'] == 'lost-update' and len(r['hash']) == 16 and r['report'] for r in d['reports'])"
json "d['summary']['scenarios'] == ['lost-update'] and d['summary']['counts']['preemptions'] > 0"
seed=$(python3 -c 'import json; print(json.load(open("out"))["reports"][0]["seed"])')
want 1 "$planted" lost-update --replay "$seed" --json
json "d['seed'] == $seed and d['rule'] == 'lost-update' and d['counts']['steps'] > 0"
hash=$(python3 -c 'import json; print(json.load(open("out"))["hash"])')
want 1 "$planted" lost-update --replay "$seed" --hash "$hash" --json
json "d['identical'] is True"
want 1 "$planted" garbage --json
json "d['reports'][0]['report'].startswith('garbage: the device calls itself ??')"
want 0 "$planted" fine --seeds 50 --json
json "d['reports'] == [] and d['summary']['rules'] == {}"

# ---- pictures ----
svg() { # file, what is in it
	check "$1 is well formed" python3 -c 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])' "$1"
	check "$1 shows $2" grep -q ">$2<" "$1"
}
want 1 "$planted" lost-update --seeds 100 --picture one.svg
svg one.svg "REPORT: lost-update"
check "it says how to get it again" grep -q "lost-update --replay $seed" one.svg
want 1 "$planted" lost-update --replay "$seed" --picture two.svg
check "the same by its seed" cmp one.svg two.svg
want 1 "$planted" lost-update --replay "$seed" --picture-events 12 --picture few.svg
check "of twelve events" [ "$(grep -c "<g><title>" few.svg)" = 12 ]
want 0 "$OUTBOARD" explore nvme-small --replay 7 --picture fine.svg
svg fine.svg device
want 0 "$OUTBOARD" explore nvme-small --seeds 3 --picture none.svg
check "no report, no picture" [ ! -e none.svg ]
want 2 "$planted" lost-update --replay "$seed" --picture /nonexistent/x
err_has "/nonexistent/x: No such file"

# ---- minimise ----
want 1 "$planted" lost-update --seeds 100 --minimise --output small.run
out_has "^replay: .* --replay-file small.run$"
check "a run of one preemption is found" grep -q '^  preemptions  *[0-9]*  *1$' "$work/out"
check "… with one request of each thread" grep -q '^  requests  *[0-9]*  *[23]$' "$work/out"
want 1 "$planted" --replay-file small.run
out_has "^lost-update: [0-9], not [0-9]$"
out_has "^the same trace$"
want 2 "$planted" lost-update --seeds 100 --minimise --output /dev/full
err_has "/dev/full: No space left on device"
want 1 "$planted" lost-update --seeds 100 --minimise --output "it's small.run"
out_has "^replay: .* --replay-file 'it'.''s small.run'$"
eval "$(sed -n 's/^replay: \(.*--replay-file.*\)/\1/p' "$work/out")" >again
check "the command that is printed is one for a shell" grep -q "^the same trace$" again
cp small.run other.run
sed -i 's/^preemptions.*/preemptions/' other.run # without the one that matters
want 2 "$planted" --replay-file other.run
err_has "another trace"
check "without its preemption the run is right" eval '! grep -q "^lost-update: [0-9]*, not" "$work/out"'
want 1 "$planted" lost-update --replay "$seed" --minimise --json
json "d['minimised']['after']['steps'] < d['minimised']['before']['steps']"
json "d['minimised']['after']['preemptions'] == 1 and d['minimised']['file'] == 'lost-update-$seed.run'"
want 1 "$planted" lost-update --replay "$seed" --minimise --picture small.svg
svg small.svg "REPORT: lost-update"
check "it says how to get it again" grep -q -- "--replay-file lost-update-$seed.run" small.svg
check "the small run has fewer threads to show" [ "$(grep -c . small.svg)" -lt "$(grep -c . one.svg)" ]
want 1 "$planted" --replay-file "lost-update-$seed.run" --json
json "d['identical'] is True and d['rule'] == 'lost-update'"
# The run's file is all that it takes: not where it was made, nor the script.
echo "  at call 5 call-fails # of all" >calls.faults
want 1 "$planted" unlucky --fault call=0 --faults calls.faults --minimise --output script.run
out_has "^call-failed: call 5$"
rm calls.faults
mkdir elsewhere
mv script.run elsewhere
cd elsewhere || exit 1
want 1 "$planted" --replay-file script.run
out_has "^call-failed: call 5$"
out_has "^the same trace$"
sed -i 's/call-fails/nonsense/' script.run
want 2 "$planted" --replay-file script.run
err_has "the script in script.run:1: nonsense is no fault"
cd ..
want 2 "$planted" lost-update --replay "$seed" --minimise --output /nonexistent/x
err_has "/nonexistent/x: No such file"

# ---- the end ----
want 0 "$planted" fine --time 1 --jobs 2
out_has "^fine: [0-9]* runs, 0 reports"
set -m # bash starts background jobs with SIGINT ignored, unless it controls jobs
for signal in INT TERM; do
	last="stopped by SIG$signal"
	"$planted" fine --time 100 --jobs 2 >"$work/out" 2>"$work/err" &
	pid=$!
	sleep 1
	kill -$signal $pid
	SECONDS=0
	wait $pid
	check "$last: exit code is $?" [ $? = $((128 + $(kill -l $signal))) ]
	check "$last: took $SECONDS s" [ $SECONDS -le 3 ]
	out_has "^fine: [0-9]* runs, 0 reports"
	err_empty
done
set +m
last="killed"
"$planted" fine --time 100 --jobs 2 --seed 424242 >/dev/null 2>&1 &
pid=$!
sleep 0.5
kill -KILL $pid
wait $pid 2>/dev/null
nobody_has 424242
last="full disk"
"$planted" fine --seeds 10 >/dev/full 2>"$work/err"
check "$last: exit code is not 2" [ $? = 2 ]
err_has "standard output: No space left on device"
finish
