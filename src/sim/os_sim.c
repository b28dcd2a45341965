/* SPDX-License-Identifier: BSD-2-Clause */
/* What core takes from the system (core/os.h), given by the world: pollers, eventfds, threads, futexes, fibers. */
#include "core/os.h"

#include <errno.h>

#include "core/fiber.h"
#include "sim/view/event.h"
#include "sim/world.h"

#define FD_BASE           1000000 /* eventfds; no descriptor of the system comes near */
#define POLLER_BASE       2000000
#define FIBER_STACK_BYTES (128 * 1024)

void ob_cpu_relax(void);

/* ---- eventfds ---- */

int world_fd_open(void)
{
	if (W.fd_count == WORLD_FDS)
		return -EMFILE;
	W.fds[W.fd_count].open = true;
	return FD_BASE + (int)W.fd_count++;
}

static struct event_source *source(int fd)
{
	unsigned index = (unsigned)(fd - FD_BASE);

	return index < W.fd_count && W.fds[index].open ? &W.fds[index] : NULL;
}

void world_fd_close(int fd)
{
	struct event_source *s = source(fd);

	if (s == NULL)
		return;
	if (s->count > 0)
		W.fds_fired--;
	*s = (struct event_source){0};
}

bool world_fd_heard(int fd)
{
	const struct event_source *s = source(fd);

	return s == NULL || s->heard;
}

static bool poller_has(const struct os_poller *p, int fd)
{
	for (unsigned i = 0; i < p->fd_count; i++)
		if (p->fds[i].fd == fd)
			return true;
	return false;
}

/* By the device. It comes after all that the device has written; loose, it is taken for an older one. */
void world_fd_fire(int fd)
{
	struct event_source *s = source(fd);
	struct thread *device = &W.threads[THREAD_DEVICE];

	if (s == NULL)
		return;
	event_add(EVENT_RAISE, (uint64_t)(fd - FD_BASE), 0);
	if (s->count++ == 0)
		W.fds_fired++;
	if (!W.config.loose_interrupts)
		vclock_join(&s->clock, &device->clock);
	device->clock.t[THREAD_DEVICE]++;
	world_mix(0xf1e0 + (uint64_t)fd);
	for (unsigned i = 0; i < W.poller_count; i++)
		if (W.pollers[i].open && poller_has(&W.pollers[i], fd))
			sched_wake(&W.pollers[i]);
	sched_progress();
}

bool os_eventfd_take(int fd)
{
	struct event_source *s = source(fd);

	world_capture();
	world_step(0x7a4e);
	if (s == NULL || s->count == 0)
		return false;
	s->count = 0;
	W.fds_fired--;
	event_add(EVENT_TAKE, (uint64_t)(fd - FD_BASE), 0);
	race_acquire(&s->clock);
	return true;
}

/* ---- pollers ---- */

int os_poller_create(struct os_poller **out)
{
	struct os_poller *p;

	world_capture();
	if (W.poller_count == POLLER_MAX)
		return -EMFILE;
	p = &W.pollers[W.poller_count++];
	*p = (struct os_poller){.open = true, .timer_ns = NEVER};
	*out = p;
	return 0;
}

void os_poller_destroy(struct os_poller *p)
{
	if (p != NULL)
		p->open = false;
}

int os_poller_fd(struct os_poller *p)
{
	return POLLER_BASE + (int)(p - W.pollers);
}

int os_poller_add(struct os_poller *p, int fd, void *arg)
{
	world_capture();
	world_step(0xadd);
	if (p->fd_count == POLLER_FDS)
		return -ENOSPC;
	if (source(fd) != NULL)
		source(fd)->heard = true;
	p->fds[p->fd_count].fd = fd;
	p->fds[p->fd_count++].arg = arg;
	race_release(&p->clock);
	os_handlers_apart();
	return 0;
}

void os_poller_remove(struct os_poller *p, int fd)
{
	world_capture();
	world_step(0x4e0e);
	for (unsigned i = 0; i < p->fd_count; i++)
		if (p->fds[i].fd == fd)
			p->fds[i--] = p->fds[--p->fd_count];
	os_handlers_apart();
}

bool world_fd_ready(int fd)
{
	const struct event_source *s = source(fd);

	return s != NULL && s->count > 0;
}

static bool poller_ready(const struct os_poller *p)
{
	for (unsigned i = 0; i < p->fd_count; i++)
		if (world_fd_ready(p->fds[i].fd))
			return true;
	return p->woken || p->timer_ns <= W.now_ns;
}

int os_poller_wait(struct os_poller *p, struct os_ready *ready, unsigned max, uint64_t timeout_ns)
{
	unsigned count = 0;

	world_capture();
	world_step(0x3a17);
	if (timeout_ns > 0)
		check_may_wait("a sleep");
	p->thread = W.current;
	if (timeout_ns > 0 && !poller_ready(p)) {
		uint64_t until = W.now_ns + timeout_ns;

		sched_wait(p, MIN(until < W.now_ns ? NEVER : until, p->timer_ns), "a CPU's descriptors");
		weak_refresh(W.current->id);
	}
	history_drain(W.current);
	race_acquire(&p->clock);
	if (p->timer_ns <= W.now_ns)
		p->timer_ns = NEVER;
	for (unsigned i = 0; i < p->fd_count && count < max; i++)
		if (world_fd_ready(p->fds[i].fd))
			ready[count++].arg = p->fds[i].arg;
	/* They come in no order. */
	for (unsigned i = count; i > 1; i--) {
		unsigned j = (unsigned)random_below(&W.random_schedule, i);
		struct os_ready other = ready[j];

		ready[j] = ready[i - 1];
		ready[i - 1] = other;
	}
	return (int)count;
}

void os_poller_set_timer(struct os_poller *p, uint64_t when_ns)
{
	world_capture();
	p->timer_ns = when_ns;
}

void os_poller_wake(struct os_poller *p)
{
	world_capture();
	world_step(0x3a4e);
	race_release(&p->clock);
	p->woken = true;
	sched_wake(p);
}

void os_poller_clear(struct os_poller *p)
{
	world_capture();
	world_step(0xc1ea);
	race_acquire(&p->clock);
	p->woken = false;
}

void os_fds_wait(const int *fds, unsigned count, uint64_t timeout_ns)
{
	uint64_t until = W.now_ns + timeout_ns;

	/* Looked at again and again: pollers have one sleeper each, and this one sleeps on several. */
	do {
		for (unsigned i = 0; i < count; i++) {
			unsigned index = (unsigned)(fds[i] - POLLER_BASE);

			if (index < W.poller_count && poller_ready(&W.pollers[index]))
				return;
		}
		sched_wait(NULL, MIN(until, W.now_ns + OB_NS_PER_US), "several CPUs");
	} while (W.now_ns < until);
}

/* ---- threads ---- */

struct os_thread_data *os_thread_data(void)
{
	return &W.current->data;
}

int os_thread_create(struct os_thread **out, const char *name, int host_cpu, void (*fn)(void *arg), void *arg)
{
	struct thread *t;

	world_capture();
	world_step(0x74ead);
	check_may_allocate("a new thread");
	t = sched_spawn(name, fn, arg);
	if (t == NULL)
		return -EAGAIN;
	sched_progress();
	*out = (struct os_thread *)(void *)t;
	return 0;
}

void os_thread_join(struct os_thread *thread)
{
	struct thread *t = (struct thread *)(void *)thread;

	world_capture();
	world_step(0x1014);
	check_may_sleep("a join");
	while (t->state != THREAD_DONE)
		sched_wait(t, NEVER, "the end of a thread");
	race_acquire(&t->clock);
}

void os_futex_wait(unsigned *word, unsigned value, uint64_t deadline_ns)
{
	world_capture();
	world_step(0xf07e);
	check_may_sleep("a futex");
	/* The system looks at what is newest, and its calls order as much as a fence does. */
	history_drain(W.current);
	if (*word == value) {
		sched_wait(word, deadline_ns, "a futex");
		weak_refresh(W.current->id);
	}
	W.current->floor = W.order;
}

void os_futex_wake(unsigned *word)
{
	world_capture();
	world_step(0xf07f);
	history_drain(W.current);
	sched_wake(word);
}

void ob_cpu_relax(void)
{
	world_capture();
	world_step(0x4e1a);
	check_may_wait("a busy loop");
	W.current->spin_what = 0;
	sched_yield_now();
}

/* ---- fibers ---- */

struct os_fiber {
	void *sp;
	void (*fn)(void *arg);
	void *arg;
	struct frames *frames, own_frames;
};

static void fiber_entry(void *arg)
{
	struct os_fiber *f = arg;

	f->fn(f->arg);
	report_begin("simulator", "a fiber's function returned");
	report_end();
}

int os_fiber_adopt_thread(struct os_fiber **out)
{
	*out = model_alloc(sizeof(**out));
	return *out != NULL ? 0 : -ENOMEM;
}

int os_fiber_create(struct os_fiber **out, size_t stack_bytes, void (*fn)(void *arg), void *arg)
{
	uint8_t *stack = arena_stack(FIBER_STACK_BYTES);
	struct os_fiber *f = model_alloc(sizeof(*f));

	world_capture();
	check_may_allocate("a stack");
	if (stack == NULL || f == NULL)
		return -ENOMEM;
	f->fn = fn;
	f->arg = arg;
	f->frames = &f->own_frames;
	f->sp = fiber_arch_prepare(stack + FIBER_STACK_BYTES, fiber_entry, f);
	*out = f;
	return 0;
}

void os_fiber_destroy(struct os_fiber *f)
{
}

void os_fiber_switch(struct os_fiber *from, struct os_fiber *to, bool last)
{
	world_capture();
	world_step(0xf1be4);
	check_may_wait("a switch of tasks");
	W.current->spin_what = 0;
	from->frames = W.current->frames;
	W.current->frames = to->frames;
	/* What is on top there may be open or not, whatever it was here. */
	preempt_resumed();
	event_add(EVENT_TASK, (uintptr_t)to, 0);
	fiber_arch_switch(&from->sp, to->sp);
}
