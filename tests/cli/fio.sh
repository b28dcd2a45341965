#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# fio with our engine: fio.sh OUTBOARD MACHINE ENGINE. The disk is an image, so that what was written can be looked at
# without either.
. "$(dirname "$0")/lib.sh"
machine=$2
engine=$(realpath "$3") # fio stands elsewhere when it looks for it
image=$work/disk.img
truncate -s 64M "$image"

# A program, as `want` runs no function; fio leaves files where it stands.
run=$work/run
cat >"$run" <<EOF
#!/bin/sh
cd "$work" && exec fio --name=job --ioengine="external:$engine" --machine="$machine?nvme=$image" --bs=4k "\$@"
EOF
chmod +x "$run"

# ---- data ----
want 0 "$run" --rw=write --size=4m --offset=1m --iodepth=8 --buffer_pattern=0x6f626f62 --end_fsync=1
yes obob | tr -d '\n' | head -c 4194304 >"$work/pattern"
check "what fio wrote is not in the image" cmp -n 4194304 -i 1048576:0 "$image" "$work/pattern"
for mode in polled interrupt hybrid; do
	want 0 "$run" --mode=$mode --rw=randrw --size=8m --iodepth=16 --verify=crc32c --fsync=32
	out_has "err= 0"
	out_has "ioengine=outboard"
done
want 0 "$run" --rw=randread --bsrange=512-128k --size=8m --iodepth=4 --filename=nvme0n1
want 0 "$run" --rw=randtrim --size=4m --iodepth=4

# ---- several jobs of one device ----
want 0 "$run" --rw=randread --size=16m --iodepth=8 --numjobs=3 --group_reporting
out_has "jobs=3"
out_has "issued rwts: total=12288,0,0,0"

# ---- what cannot be ----
want 1 "$run" --rw=read --size=1m --filename=nvme7n1
err_has "nvme7n1: no such disk"
want 1 "$run" --rw=read --size=1m --machine=nowhere:
err_has "no such kind of machine"
want 1 "$run" --rw=read --size=1m --mode=fast
want 1 "$run" --rw=randread --bs=100 --size=1m
want 1 "$run" --rw=randtrim --bs=100 --size=1m
want 1 "$run" --rw=write --size=1m --filename=nvme0n1:nvme0n2
err_has "a job has one disk"
want 1 "$run" --rw=randread --size=1m --io_submit_mode=offload
err_has "use numjobs="
finish
