/* SPDX-License-Identifier: BSD-2-Clause */
/* Ranges of blocks that are being written. */
#include "serve/nbd/range.h"

#include <time.h>

#include <outboard/types.h>

void range_table_init(struct range_table *t)
{
	pthread_mutex_init(&t->mutex, NULL);
	pthread_cond_init(&t->freed, NULL);
	list_init(&t->ranges);
	t->alone_count = 0;
	t->waiting = 0;
}

void range_table_fini(struct range_table *t)
{
	pthread_cond_destroy(&t->freed);
	pthread_mutex_destroy(&t->mutex);
}

/* Does an earlier one keep this one waiting? As long as nobody asks to be alone, which is the rule, nothing does. */
static bool must_wait(const struct range_table *t, const struct range *range)
{
	if (!t->alone_count)
		return false;
	for (const struct list *l = t->ranges.next; l != &range->link; l = l->next) {
		const struct range *other = list_entry((struct list *)(uintptr_t)l, struct range, link);

		if ((other->alone || range->alone) && other->first <= range->last && range->first <= other->last)
			return true;
	}
	return false;
}

/* Out of the table, and whoever waited for it looks again. Mutex held. */
static void leave(struct range_table *t, struct range *range)
{
	list_del(&range->link);
	t->alone_count -= range->alone;
	if (t->waiting)
		pthread_cond_broadcast(&t->freed);
}

int range_lock(struct range_table *t, struct range *range, uint64_t first, uint64_t last, bool alone,
	       uint64_t deadline_ns)
{
	const struct timespec until = {(time_t)(deadline_ns / OB_NS_PER_S), (long)(deadline_ns % OB_NS_PER_S)};
	int error = 0;

	range->first = first;
	range->last = last;
	range->alone = alone;
	pthread_mutex_lock(&t->mutex);
	list_add_tail(&t->ranges, &range->link);
	t->alone_count += alone;
	while (must_wait(t, range) && !error) {
		t->waiting++;
		error = -pthread_cond_clockwait(&t->freed, &t->mutex, CLOCK_MONOTONIC, &until);
		t->waiting--;
	}
	if (error && must_wait(t, range))
		leave(t, range);
	else
		error = 0;
	pthread_mutex_unlock(&t->mutex);
	return error;
}

void range_unlock(struct range_table *t, struct range *range)
{
	pthread_mutex_lock(&t->mutex);
	leave(t, range);
	pthread_mutex_unlock(&t->mutex);
}
