/* SPDX-License-Identifier: BSD-2-Clause */
/* Locks: ob_lock between threads, which spins a little and then sleeps; ob_mutex between tasks of one CPU. */
#include <errno.h>

#include "core/loop.h"
#include "core/watch.h"

#define SPINS 128

enum lock_word {
	LOCK_FREE,
	LOCK_HELD,
	LOCK_CONTENDED, /* held, and somebody may sleep */
};

void ob_lock_init(struct ob_lock *lock, const char *name)
{
	lock->word = LOCK_FREE;
	lock->name = name;
	watch_lock_init(lock);
}

static bool try_lock(struct ob_lock *lock)
{
	unsigned expected = LOCK_FREE;

	return __atomic_compare_exchange_n(&lock->word, &expected, LOCK_HELD, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

static void lock_wait(struct ob_lock *lock)
{
	for (unsigned i = 0; i < SPINS; i++) {
		if (__atomic_load_n(&lock->word, __ATOMIC_RELAXED) == LOCK_FREE && try_lock(lock))
			return;
		ob_cpu_relax();
	}
	while (__atomic_exchange_n(&lock->word, LOCK_CONTENDED, __ATOMIC_ACQUIRE) != LOCK_FREE)
		os_futex_wait(&lock->word, LOCK_CONTENDED, ob_deadline(OB_NS_PER_S));
}

void ob_lock(struct ob_lock *lock)
{
	watch_lock_want(lock, WATCH_LOCK, lock->name);
	lock_wait(lock);
	watch_lock_taken(lock);
}

void ob_unlock(struct ob_lock *lock)
{
	watch_lock_release(lock);
	if (__atomic_exchange_n(&lock->word, LOCK_FREE, __ATOMIC_RELEASE) == LOCK_CONTENDED)
		os_futex_wake(&lock->word);
}

/* ---- between tasks ---- */

void ob_mutex_init(struct ob_mutex *mutex, const char *name)
{
	*mutex = (struct ob_mutex){.name = name};
	watch_lock_init(mutex);
}

static void mutex_leave_queue(struct ob_mutex *mutex, struct ob_task *task)
{
	struct ob_task *previous = NULL;

	for (struct ob_task *t = mutex->first; t != task; t = t->lock_next)
		previous = t;
	if (previous)
		previous->lock_next = task->lock_next;
	else
		mutex->first = task->lock_next;
	if (mutex->last == task)
		mutex->last = previous;
	task->lock_next = NULL;
}

static int mutex_wait(struct ob_mutex *mutex, struct ob_task *self, uint64_t deadline_ns)
{
	if (!mutex->owner) {
		mutex->owner = self;
		return 0;
	}
	self->lock_next = NULL;
	if (mutex->last)
		mutex->last->lock_next = self;
	else
		mutex->first = self;
	mutex->last = self;
	for (;;) {
		task_wait(deadline_ns);
		if (mutex->owner == self) /* handed over, even if the time is up as well */
			return 0;
		if (ob_now_ns() >= deadline_ns)
			break;
	}
	mutex_leave_queue(mutex, self);
	return -ETIMEDOUT;
}

int ob_mutex_lock(struct ob_mutex *mutex, uint64_t deadline_ns)
{
	struct ob_task *self = ob_task_current();
	int rc;

	watch_wait(__func__, deadline_ns);
	watch_lock_want(mutex, WATCH_MUTEX, mutex->name);
	assert(self);
	assert(mutex->owner != self);
	rc = mutex_wait(mutex, self, deadline_ns);
	if (rc == 0)
		watch_lock_taken(mutex);
	else
		watch_lock_missed(mutex);
	return rc;
}

void ob_mutex_unlock(struct ob_mutex *mutex)
{
	struct ob_task *next = mutex->first;

	watch_lock_release(mutex);
	assert(mutex->owner && mutex->owner == ob_task_current());
	mutex->owner = next;
	if (!next)
		return;
	mutex->first = next->lock_next;
	if (!mutex->first)
		mutex->last = NULL;
	next->lock_next = NULL;
	task_wake(next);
}
