/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What core takes from the system (core/os.h), for one thread in a world of its own: linked in place of os_linux.c.
 *
 * The clock jumps to the next thing that happens when the loop would sleep. Reading it takes time too, and the more of
 * it the longer nothing came of it, so that loops which only look at the clock end soon.
 */
#include "core/os.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "tests/fuzz/hostile.h"

#define FD_BASE    1000000
#define FDS_MAX    512u
#define POLLER_FDS 96u
#define START_NS   (1000 * OB_NS_PER_S)
#define END_NS     (100000 * OB_NS_PER_S) /* a run that lasts longer never ends */
#define LOOKS_MAX  20000000u
#define PATIENCE   256u /* looks at the clock before it goes faster */
#define STEP_NS    100u

struct os_poller {
	struct {
		int fd;
		void *arg;
	} fds[POLLER_FDS];
	unsigned count;
	bool woken;
};

static struct {
	uint64_t now_ns;
	unsigned looks, looks_idle;
	size_t allocations;
	struct {
		bool open, fired;
	} fds[FDS_MAX];
	unsigned fds_open;
} os;

void hostile_os_start(void)
{
	memset(&os, 0, sizeof(os));
	os.now_ns = START_NS;
}

void hostile_os_end(void)
{
	if (os.allocations != 0)
		hostile_fail("%zu pieces of memory were not given back", os.allocations);
	if (os.fds_open != 0)
		hostile_fail("%u descriptors are still open", os.fds_open);
}

void hostile_progress(void)
{
	os.looks_idle = 0;
}

uint64_t os_now_ns(void)
{
	unsigned doubled = MIN(os.looks_idle++ / PATIENCE, 16u);

	if (++os.looks > LOOKS_MAX || os.now_ns > END_NS)
		hostile_fail("the run does not end: %u looks at the clock, %llu s", os.looks,
			     (unsigned long long)((os.now_ns - START_NS) / OB_NS_PER_S));
	os.now_ns += (uint64_t)STEP_NS << doubled;
	return os.now_ns;
}

/* Its one thread is never idle. */
uint64_t os_thread_cpu_ns(void)
{
	return os.now_ns;
}

void *os_alloc(size_t len_bytes, size_t align_bytes)
{
	void *memory;

	if (posix_memalign(&memory, MAX(align_bytes, sizeof(void *)), MAX(len_bytes, (size_t)1)) != 0)
		return NULL;
	memset(memory, 0, len_bytes);
	os.allocations++;
	return memory;
}

void os_free(void *memory)
{
	if (memory != NULL)
		os.allocations--;
	free(memory);
}

/* ---- descriptors ---- */

int hostile_fd_open(void)
{
	for (unsigned i = 0; i < FDS_MAX; i++) {
		if (os.fds[i].open)
			continue;
		os.fds[i].open = true;
		os.fds[i].fired = false;
		os.fds_open++;
		return FD_BASE + (int)i;
	}
	return -1;
}

static bool fd_is_open(int fd)
{
	return fd >= FD_BASE && (unsigned)(fd - FD_BASE) < FDS_MAX && os.fds[fd - FD_BASE].open;
}

void hostile_fd_close(int fd)
{
	if (!fd_is_open(fd))
		hostile_fail("descriptor %d is not open", fd);
	os.fds[fd - FD_BASE].open = false;
	os.fds_open--;
}

void hostile_fd_fire(int fd)
{
	if (fd_is_open(fd))
		os.fds[fd - FD_BASE].fired = true;
}

bool os_eventfd_take(int fd)
{
	bool fired = fd_is_open(fd) && os.fds[fd - FD_BASE].fired;

	if (fired)
		os.fds[fd - FD_BASE].fired = false;
	return fired;
}

/* ---- pollers ---- */

int os_poller_create(struct os_poller **out)
{
	*out = os_alloc(sizeof(**out), OB_CACHE_LINE);
	return *out != NULL ? 0 : -ENOMEM;
}

void os_poller_destroy(struct os_poller *p)
{
	os_free(p);
}

int os_poller_fd(struct os_poller *p)
{
	return -1;
}

int os_poller_add(struct os_poller *p, int fd, void *arg)
{
	if (p->count == POLLER_FDS)
		return -ENOSPC;
	p->fds[p->count].fd = fd;
	p->fds[p->count++].arg = arg;
	return 0;
}

void os_poller_remove(struct os_poller *p, int fd)
{
	for (unsigned i = 0; i < p->count; i++)
		if (p->fds[i].fd == fd)
			p->fds[i--] = p->fds[--p->count];
}

static unsigned poller_take(const struct os_poller *p, struct os_ready *ready, unsigned max)
{
	unsigned count = 0;

	for (unsigned i = 0; i < p->count && count < max; i++)
		if (fd_is_open(p->fds[i].fd) && os.fds[p->fds[i].fd - FD_BASE].fired)
			ready[count++].arg = p->fds[i].arg;
	return count;
}

void hostile_idle(uint64_t until_ns)
{
	uint64_t due_ns = hostile_device_due_ns();

	os.now_ns = MAX(os.now_ns, MIN(until_ns, due_ns));
	hostile_device_run();
}

int os_poller_wait(struct os_poller *p, struct os_ready *ready, unsigned max, uint64_t timeout_ns)
{
	uint64_t until_ns = os.now_ns + MIN(timeout_ns, 3600 * OB_NS_PER_S);
	unsigned count;

	hostile_device_run();
	while ((count = poller_take(p, ready, max)) == 0 && !p->woken && os.now_ns < until_ns)
		hostile_idle(until_ns);
	if (timeout_ns > 0)
		os_now_ns(); /* a sleep takes time, and somebody counts them */
	return (int)count;
}

void os_poller_set_timer(struct os_poller *p, uint64_t when_ns)
{
}

void os_poller_wake(struct os_poller *p)
{
	p->woken = true;
}

void os_poller_clear(struct os_poller *p)
{
	p->woken = false;
}

void os_fds_wait(const int *fds, unsigned count, uint64_t timeout_ns)
{
	hostile_idle(os_now_ns() + timeout_ns);
}

/* ---- threads: there is one ---- */

int os_thread_create(struct os_thread **out, const char *name, int host_cpu, void (*fn)(void *arg), void *arg)
{
	return -EAGAIN;
}

void os_thread_join(struct os_thread *t)
{
}

__attribute__((noinline)) struct os_thread_data *os_thread_data(void)
{
	static struct os_thread_data data = {.id = 1};

	__asm__ volatile("" ::: "memory");
	return &data;
}

void os_futex_wait(unsigned *word, unsigned value, uint64_t deadline_ns)
{
	if (*word == value)
		hostile_idle(deadline_ns);
}

void os_futex_wake(unsigned *word)
{
}
