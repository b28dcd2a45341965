/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Completion by polling, by interrupt, or both: one mechanism for all classes.
 *
 * A driver gives three functions; the mode is the channel's. Polled: every turn of the CPU polls. Interrupt: the
 * interrupt disarms itself and schedules polls with a budget until there is nothing left, then arms again. Hybrid: as
 * interrupt, but it goes on polling for a window after the last completion before it arms.
 */
#ifndef OUTBOARD_POLL_H
#define OUTBOARD_POLL_H

#include <outboard/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ob_cpu;

enum ob_completion_mode {
	OB_COMPLETION_INTERRUPT,
	OB_COMPLETION_POLLED,
	OB_COMPLETION_HYBRID,
};

struct ob_poll_ops {
	/* Take at most @budget completions; returns how many. Soft. */
	unsigned (*poll)(void *arg, unsigned budget);
	/* Let the next completion interrupt. Returns true when one is there already, which then need not interrupt.
	 * Soft. */
	bool (*arm)(void *arg);
	/* Stop interrupting. Hard or soft. */
	void (*disarm)(void *arg);
};

struct ob_poll_config {
	enum ob_completion_mode mode;
	unsigned budget;    /* completions per poll; 0: 64 */
	uint64_t window_ns; /* hybrid: how long to poll after the last completion; 0: 50 us */
	/*
	 * Hybrid: instead of window_ns, the share of its CPU that the loop's thread may take, 1 to 100: polling takes what
	 * the work itself leaves of it. No less than interrupts take, and no more than waits for arrivals can use up.
	 */
	unsigned cpu_percent;
};

struct ob_poll_stats {
	uint64_t polls, empty_polls, completions;
	uint64_t schedules;       /* by interrupts */
	uint64_t arms, arm_races; /* races: arm found work */
};

/* private: src/core/share.h */
struct ob_poll_share {
	unsigned percent;
	int64_t credit_ns;         /* CPU time that may be taken beyond what was; negative: owed */
	uint64_t now_ns, awake_ns; /* as of the last account */
	uint64_t gap_ns;           /* between arrivals, a running mean */
	uint64_t arrived_ns;
};

struct ob_poll {
	/* private; owner CPU only */
	const struct ob_poll_ops *ops;
	void *arg;
	struct ob_cpu *cpu;
	struct ob_poll_config config;
	struct ob_poll_stats stats;
	struct ob_poll *next, *prev;
	uint64_t idle_since_ns, window_ns;
	struct ob_poll_share share;
	int state;
	bool again; /* scheduled while it was not armed */
};

/** ob_poll_start - begin, armed or polled as the mode says. Owner CPU, soft or task. */
void ob_poll_start(struct ob_poll *poll, struct ob_cpu *cpu, const struct ob_poll_ops *ops, void *arg,
		   const struct ob_poll_config *config);
/** ob_poll_stop - disarm; afterwards no poll runs. Owner CPU. */
void ob_poll_stop(struct ob_poll *poll);
/** ob_poll_schedule - from the interrupt: disarm and poll soon. Hard or soft, owner CPU. */
void ob_poll_schedule(struct ob_poll *poll);

#ifdef __cplusplus
}
#endif
#endif
