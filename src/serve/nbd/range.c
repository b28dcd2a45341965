/* SPDX-License-Identifier: BSD-2-Clause */
/* Ranges of blocks that are being written. */
#include "serve/nbd/range.h"

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

void range_lock(struct range_table *t, struct range *range, uint64_t first, uint64_t last, bool alone)
{
	range->first = first;
	range->last = last;
	range->alone = alone;
	pthread_mutex_lock(&t->mutex);
	list_add_tail(&t->ranges, &range->link);
	t->alone_count += alone;
	while (must_wait(t, range)) {
		t->waiting++;
		pthread_cond_wait(&t->freed, &t->mutex);
		t->waiting--;
	}
	pthread_mutex_unlock(&t->mutex);
}

void range_unlock(struct range_table *t, struct range *range)
{
	pthread_mutex_lock(&t->mutex);
	list_del(&range->link);
	t->alone_count -= range->alone;
	if (t->waiting)
		pthread_cond_broadcast(&t->freed);
	pthread_mutex_unlock(&t->mutex);
}
