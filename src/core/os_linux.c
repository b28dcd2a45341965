/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What core takes from Linux: clock, memory, epoll, threads, futexes. Fibers are in os_fiber.c.
 *
 * A poller is an epoll set with two descriptors of its own: an eventfd by which other threads wake it, and a timerfd
 * that makes the set readable in time for who sleeps on it from outside. Sleeping inside needs no timerfd.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "core/os.h"
#include "io/io.h"

#define POLLER_BATCH 64 /* descriptors per look */

struct os_poller {
	int epoll_fd;
	int wake_fd;
	int timer_fd;
	bool wake_ready;  /* the last look saw wake_fd readable */
	bool no_pwait2;   /* a kernel before 5.11, or an emulator: milliseconds have to do */
	uint64_t when_ns; /* timer_fd is set to this */
	unsigned woken;   /* atomic: a wake was asked for that os_poller_clear() has not taken */
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * OB_NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t os_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t os_thread_cpu_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

void *os_alloc(size_t len_bytes, size_t align_bytes)
{
	void *memory;

	if (posix_memalign(&memory, MAX(align_bytes, sizeof(void *)), MAX(len_bytes, (size_t)1)) != 0)
		return NULL;
	memset(memory, 0, len_bytes);
	return memory;
}

void os_free(void *memory)
{
	free(memory);
}

static struct timespec to_timespec(uint64_t ns)
{
	return (struct timespec){
		.tv_sec = (time_t)(ns / OB_NS_PER_S),
		.tv_nsec = (long)(ns % OB_NS_PER_S),
	};
}

/* ---- readiness of descriptors ---- */

static int poller_add(struct os_poller *p, int fd, void *arg)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = arg};

	return epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void os_poller_destroy(struct os_poller *p)
{
	if (!p)
		return;
	close_fd(p->timer_fd);
	close_fd(p->wake_fd);
	close_fd(p->epoll_fd);
	os_free(p);
}

int os_poller_create(struct os_poller **out)
{
	struct os_poller *p = os_alloc(sizeof(*p), OB_CACHE_LINE);
	int rc;

	if (!p)
		return -ENOMEM;
	p->wake_fd = p->timer_fd = -1;
	p->when_ns = UINT64_MAX;
	p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (p->epoll_fd < 0)
		goto fail_errno;
	p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->wake_fd < 0)
		goto fail_errno;
	p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (p->timer_fd < 0)
		goto fail_errno;
	/* The two are told from others by pointers to themselves. */
	rc = poller_add(p, p->wake_fd, &p->wake_fd);
	if (rc == 0)
		rc = poller_add(p, p->timer_fd, &p->timer_fd);
	if (rc < 0)
		goto fail;
	*out = p;
	return 0;

fail_errno:
	rc = -errno;
fail:
	os_poller_destroy(p);
	return rc;
}

int os_poller_fd(struct os_poller *p)
{
	return p->epoll_fd;
}

int os_poller_add(struct os_poller *p, int fd, void *arg)
{
	return poller_add(p, fd, arg);
}

void os_poller_remove(struct os_poller *p, int fd)
{
	epoll_ctl(p->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static int poller_sleep(struct os_poller *p, struct epoll_event *events, int max, uint64_t timeout_ns)
{
	uint64_t timeout_ms = DIV_ROUND_UP(MIN(timeout_ns, INT_MAX * OB_NS_PER_MS), OB_NS_PER_MS);

	if (timeout_ns > 0 && !p->no_pwait2) {
		struct timespec t = to_timespec(MIN(timeout_ns, INT_MAX * OB_NS_PER_MS));
		int n = epoll_pwait2(p->epoll_fd, events, max, &t, NULL);

		if (n >= 0 || (errno != ENOSYS && errno != EPERM))
			return n;
		p->no_pwait2 = true;
	}
	return epoll_wait(p->epoll_fd, events, max, (int)MIN(timeout_ms, (uint64_t)INT_MAX));
}

/* The timer has done its part by making the set readable; read, it no longer does. */
static void timer_take(struct os_poller *p)
{
	uint64_t expirations;

	if (read(p->timer_fd, &expirations, sizeof(expirations)) > 0)
		p->when_ns = UINT64_MAX;
}

int os_poller_wait(struct os_poller *p, struct os_ready *ready, unsigned max, uint64_t timeout_ns)
{
	struct epoll_event events[POLLER_BATCH + 2];
	/* Two more than asked for: the poller's own. */
	int n = poller_sleep(p, events, (int)MIN(max, (unsigned)POLLER_BATCH) + 2, timeout_ns);
	unsigned count = 0;

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr == &p->wake_fd)
			p->wake_ready = true;
		else if (events[i].data.ptr == &p->timer_fd)
			timer_take(p);
		else if (count < max)
			ready[count++].arg = events[i].data.ptr;
	}
	return (int)count;
}

void os_poller_set_timer(struct os_poller *p, uint64_t when_ns)
{
	struct itimerspec t = {0};

	if (when_ns == p->when_ns)
		return;
	p->when_ns = when_ns;
	if (when_ns != UINT64_MAX)
		t.it_value = to_timespec(MAX(when_ns, (uint64_t)1)); /* all zero would disarm */
	timerfd_settime(p->timer_fd, TFD_TIMER_ABSTIME, &t, NULL);
}

void os_poller_wake(struct os_poller *p)
{
	const uint64_t one = 1;

	if (__atomic_exchange_n(&p->woken, 1, __ATOMIC_SEQ_CST))
		return;
	/* It can fail only when the count is at its end, and then the descriptor is readable all the same. */
	if (write(p->wake_fd, &one, sizeof(one)) < 0)
		return;
}

/*
 * The order matters: a waker that finds woken still set does not write, so that what it brings must be looked for after
 * this call. One that set woken but writes only after our read leaves wake_fd readable: wake_ready finds that.
 */
void os_poller_clear(struct os_poller *p)
{
	uint64_t value;

	if (!p->wake_ready && !__atomic_load_n(&p->woken, __ATOMIC_RELAXED))
		return;
	p->wake_ready = false;
	if (read(p->wake_fd, &value, sizeof(value)) < 0)
		value = 0;
	__atomic_exchange_n(&p->woken, 0, __ATOMIC_SEQ_CST);
}

void os_fds_wait(const int *fds, unsigned count, uint64_t timeout_ns)
{
	struct pollfd polls[64];
	struct timespec t = to_timespec(MIN(timeout_ns, INT_MAX * OB_NS_PER_MS));

	count = MIN(count, (unsigned)ARRAY_SIZE(polls));
	for (unsigned i = 0; i < count; i++)
		polls[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
	ppoll(polls, count, &t, NULL);
}

bool os_eventfd_take(int fd)
{
	return io_event_take(fd);
}

/* ---- threads ---- */

struct os_thread {
	pthread_t thread;
	void (*fn)(void *arg);
	void *arg;
	char name[16]; /* the kernel's limit */
};

/* Never inlined, and opaque: a compiler would keep the address across a switch to a fiber of another thread. */
__attribute__((noinline)) struct os_thread_data *os_thread_data(void)
{
	static _Thread_local struct os_thread_data data;
	static uint64_t last_id;

	if (OB_UNLIKELY(data.id == 0))
		data.id = __atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED);
	__asm__ volatile("" ::: "memory");
	return &data;
}

static void *thread_main(void *arg)
{
	struct os_thread *t = arg;

	pthread_setname_np(pthread_self(), t->name);
	t->fn(t->arg);
	return NULL;
}

int os_thread_create(struct os_thread **out, const char *name, int host_cpu, void (*fn)(void *arg), void *arg)
{
	struct os_thread *t = os_alloc(sizeof(*t), OB_CACHE_LINE);
	sigset_t all, before;
	pthread_attr_t attr;
	int rc;

	if (!t)
		return -EAGAIN;
	t->fn = fn;
	t->arg = arg;
	strncpy(t->name, name, sizeof(t->name) - 1);
	rc = -pthread_attr_init(&attr);
	if (rc < 0)
		goto free_thread;
	if (host_cpu >= 0) {
		cpu_set_t set;

		CPU_ZERO(&set);
		if (host_cpu < CPU_SETSIZE)
			CPU_SET(host_cpu, &set);
		rc = -pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
		if (rc < 0)
			goto destroy_attr;
	}
	/* The program's signals are for its own threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = -pthread_create(&t->thread, &attr, thread_main, t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
destroy_attr:
	pthread_attr_destroy(&attr);
free_thread:
	if (rc < 0)
		os_free(t);
	else
		*out = t;
	return rc;
}

void os_thread_join(struct os_thread *t)
{
	pthread_join(t->thread, NULL);
	os_free(t);
}

void os_futex_wait(unsigned *word, unsigned value, uint64_t deadline_ns)
{
	struct timespec t = to_timespec(deadline_ns);

	syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, value, &t, NULL, FUTEX_BITSET_MATCH_ANY);
}

void os_futex_wake(unsigned *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, NULL, NULL, 0);
}
