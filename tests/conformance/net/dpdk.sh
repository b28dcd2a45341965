#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The suite against DPDK's vhost, whose testpmd sends everything back: dpdk.sh SUITE PAIRS split|packed MODE
set -u
. "$(dirname "$0")/testpmd.sh"
suite=$1 pairs=$2 ring=$3 mode=$4
work=$(mktemp -d)
trap 'testpmd_end; rm -rf "$work"' EXIT
testpmd_start "$pairs"
# It tells of 128 pairs, and serves as many as it was told. Without bit 34 rings are split.
[ "$ring" = packed ] && without= || without='&without=34'
"$suite" "vhost-user:$work/socket?type=net&queues=$pairs$without" loop "$mode" 1
code=$?
[ $code = 0 ] || tail -5 "$work/testpmd.log"
exit $code
