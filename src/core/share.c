/* SPDX-License-Identifier: BSD-2-Clause */
/* A share of the CPU, and the window that it pays for: see share.h. */
#include "core/share.h"

#include "base/bits.h"

#define CREDIT_MAX_NS   ((int64_t)(20 * OB_NS_PER_MS)) /* saved or owed: what was long ago does not count */
#define GAPS_MAX        4 /* that a window is long: arrivals are not regular, and they also stop */
#define GAP_WEIGHT_LOG2 3

void share_start(struct ob_poll_share *s, unsigned percent, uint64_t now_ns, uint64_t awake_ns)
{
	*s = (struct ob_poll_share){
		.percent = MIN(percent, 100u),
		.now_ns = now_ns,
		.awake_ns = awake_ns,
		.arrived_ns = now_ns,
	};
}

static void account(struct ob_poll_share *s, uint64_t now_ns, uint64_t awake_ns)
{
	/* Beyond what the credit can hold it does not matter how long ago. */
	uint64_t elapsed_ns = MIN(now_ns - s->now_ns, 100 * (uint64_t)CREDIT_MAX_NS);
	int64_t spent_ns = (int64_t)(awake_ns - s->awake_ns);

	s->credit_ns += (int64_t)(elapsed_ns * s->percent / 100) - spent_ns;
	s->credit_ns = MAX(MIN(s->credit_ns, CREDIT_MAX_NS), -CREDIT_MAX_NS);
	s->now_ns = now_ns;
	s->awake_ns = awake_ns;
}

uint64_t share_window(struct ob_poll_share *s, uint64_t now_ns, uint64_t awake_ns)
{
	uint64_t gap_ns = now_ns - s->arrived_ns;
	uint64_t price_ns;

	s->arrived_ns = now_ns;
	/* The mean of the last gaps; a long silence is none of them. */
	gap_ns = MIN(gap_ns, (uint64_t)CREDIT_MAX_NS);
	s->gap_ns += (gap_ns >> GAP_WEIGHT_LOG2) - (s->gap_ns >> GAP_WEIGHT_LOG2);
	account(s, now_ns, awake_ns);
	if (s->percent == 100)
		return UINT64_MAX;
	/* While it polls it goes on earning. */
	price_ns = s->gap_ns * (100 - s->percent) / 100;
	return s->credit_ns > 0 && (uint64_t)s->credit_ns >= price_ns ? GAPS_MAX * s->gap_ns : 0;
}
