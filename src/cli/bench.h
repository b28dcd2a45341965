/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard bench: the load (bench_load.c) apart from options and report (bench.c). */
#ifndef OB_CLI_BENCH_H
#define OB_CLI_BENCH_H

#include "base/histogram.h"
#include "cli/cli.h"

struct bench_config {
	unsigned depth; /* per channel */
	unsigned cpus;  /* CPUs, each with a channel */
	unsigned read_percent;
	unsigned mode;      /* enum ob_completion_mode */
	unsigned cpu_share; /* hybrid, per cent; 0: none */
	unsigned rate;      /* requests a second, of all CPUs together; 0: as many as depth keeps in flight */
	uint64_t size_bytes;
	uint64_t time_ns;
	bool sequential;
};

/* All workers together. */
struct bench_result {
	struct histogram read, write; /* latencies, ns */
	struct histogram late;        /* with a rate: submitted so many ns after it was due */
	uint64_t elapsed_ns;
	uint64_t user_ns, system_ns;  /* of the process meanwhile */
	uint64_t loops_ns;            /* … of which the workers' threads */
	enum ob_completion_mode mode; /* as it became */
	unsigned depth;               /* as it became */
};

/** bench_run - load @block as @config says; an exit code. @result is big: not for the stack. */
int bench_run(struct cli *cli, struct ob_block *block, const struct bench_config *config, struct bench_result *result);

#endif
