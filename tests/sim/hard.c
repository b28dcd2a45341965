/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupt handlers and the code that they interrupt. Instrumented as drivers are, with a call at each basic block:
 * interrupts come in here as they come into a driver.
 */
#include "tests/sim/hard.h"

#include <outboard/cpu.h>
#include <outboard/mmio.h>

#include "core/cpu.h"
#include "core/os.h"
#include "sim/world.h"

/* What a driver has on its heap. */
struct device_state {
	struct ob_fd fd;
	struct os_poller *poller;
	unsigned a, b;
	bool ready;
};

static struct device_state *d;
static int interrupt_fd;

/* The device's side: raise the interrupt, a few times. */
static void device_raises(void *arg)
{
	for (unsigned i = 0; i < 3; i++) {
		sim_wait_ns(sim_random(100));
		world_fd_fire(interrupt_fd);
	}
}

/* A CPU's loop around @body, which is in soft context and may be interrupted; like core's, not interrupted itself. */
static void with_interrupt(void (*handler)(struct ob_fd *fd), void (*body)(void))
{
	struct os_thread_data *self = os_thread_data();
	struct os_ready ready[1];

	d = ob_alloc(sizeof(*d));
	SIM_CHECK(d != NULL);
	SIM_CHECK(os_poller_create(&d->poller) == 0);
	d->fd.fd = interrupt_fd = world_fd_open();
	d->fd.fn = handler;
	SIM_CHECK(os_poller_add(d->poller, d->fd.fd, &d->fd) == 0);
	os_poller_wait(d->poller, ready, 1, 0);
	sim_device_set(device_raises, NULL);
	self->cpu = (struct ob_cpu *)(void *)d;
	self->context = CPU_CONTEXT_SOFT;
	for (unsigned i = 0; i < 20; i++)
		body();
	self->context = CPU_CONTEXT_PLAIN;
	self->cpu = NULL;
	sim_wait_ns(10 * OB_NS_PER_US);
	os_poller_remove(d->poller, d->fd.fd);
	world_fd_close(d->fd.fd);
	os_poller_destroy(d->poller);
	ob_free(d);
}

/* ---- at any access ---- */

static void handler_compares(struct ob_fd *fd)
{
	if (!os_eventfd_take(fd->fd))
		return;
	if (OB_READ_ONCE(d->a) != OB_READ_ONCE(d->b))
		sim_fail("torn", "one of two stores in a row was made");
}

/* One basic block: nothing but the accesses themselves to come between. */
static void two_stores(void)
{
	OB_WRITE_ONCE(d->a, OB_READ_ONCE(d->a) + 1);
	OB_WRITE_ONCE(d->b, OB_READ_ONCE(d->b) + 1);
}

static void torn_in_a_block(const struct sim_config *config)
{
	with_interrupt(handler_compares, two_stores);
}

/* ---- what both use ---- */

static volatile unsigned sink;

static void handler_counts(struct ob_fd *fd)
{
	if (os_eventfd_take(fd->fd))
		d->a++;
}

static void handler_looks(struct ob_fd *fd)
{
	if (os_eventfd_take(fd->fd))
		sink = d->a + d->b;
}

static void handler_takes(struct ob_fd *fd)
{
	os_eventfd_take(fd->fd);
}

static void plain_increment(void)
{
	d->a++;
}

static void plain_reads(void)
{
	sink = d->a;
	sink = d->b;
}

static void plain_pair(void)
{
	d->a = sink;
	d->b = sink;
}

static void marked_reads(void)
{
	sink = OB_READ_ONCE(d->a);
	sink = OB_READ_ONCE(d->b);
}

static void atomic_take(void)
{
	sink = __atomic_exchange_n(&d->a, 0, __ATOMIC_RELAXED);
}

/* The vector is out of the way for as long as the plain accesses last. */
static void plain_masked(void)
{
	os_poller_remove(d->poller, d->fd.fd);
	d->a++;
	d->b = d->a;
	os_poller_add(d->poller, d->fd.fd, &d->fd);
	sink = OB_READ_ONCE(d->a);
}

static void lost_update(const struct sim_config *config)
{
	with_interrupt(handler_counts, plain_increment);
}

static void read_of_what_it_writes(const struct sim_config *config)
{
	with_interrupt(handler_counts, plain_reads);
}

static void pair_seen_apart(const struct sim_config *config)
{
	with_interrupt(handler_looks, plain_pair);
}

static void marked_in_the_code(const struct sim_config *config)
{
	with_interrupt(handler_counts, marked_reads);
}

static void atomic_in_the_code(const struct sim_config *config)
{
	with_interrupt(handler_counts, atomic_take);
}

static void masked(const struct sim_config *config)
{
	with_interrupt(handler_counts, plain_masked);
}

static void only_taken(const struct sim_config *config)
{
	with_interrupt(handler_takes, plain_increment);
}

static void both_read(const struct sim_config *config)
{
	with_interrupt(handler_looks, plain_reads);
}

/* ---- words that tell ---- */

/* A handler that finds the flag has the pair to itself until it takes the flag away. */
static void handler_owns(struct ob_fd *fd)
{
	if (!os_eventfd_take(fd->fd) || !OB_READ_ONCE(d->ready))
		return;
	d->b = ++d->a;
	OB_WRITE_ONCE(d->ready, false);
}

static void hands_over(void)
{
	if (OB_READ_ONCE(d->ready))
		return;
	d->a++;
	d->b = d->a;
	OB_WRITE_ONCE(d->ready, true);
}

static void hands_over_early(void)
{
	if (OB_READ_ONCE(d->ready))
		return;
	d->a++;
	OB_WRITE_ONCE(d->ready, true);
	d->b = d->a;
}

static void handed_over(const struct sim_config *config)
{
	with_interrupt(handler_owns, hands_over);
}

static void handed_over_early(const struct sim_config *config)
{
	with_interrupt(handler_owns, hands_over_early);
}

/* ---- core ---- */

/* Its last block comes behind the end of its frame: its caller's is on top. */
static __attribute__((noinline)) void ends_late(unsigned value)
{
	if (value % 2 == 0) {
		sink = value;
		return;
	}
	ob_cpu_relax();
}

static void core_increments(void)
{
	hard_core_call(ends_late, &d->a);
}

/* What core uses no handler comes into, whatever of a driver's it calls. */
static void core_calls(const struct sim_config *config)
{
	with_interrupt(handler_counts, core_increments);
}

const struct hard_case hard_cases[] = {
	{"torn_in_a_block", "torn", torn_in_a_block},
	{"lost_update", "data-race", lost_update},
	{"read_of_what_it_writes", "data-race", read_of_what_it_writes},
	{"pair_seen_apart", "data-race", pair_seen_apart},
	{"handed_over_early", "data-race", handed_over_early},
	{"marked_in_the_code", "", marked_in_the_code},
	{"atomic_in_the_code", "", atomic_in_the_code},
	{"masked", "", masked},
	{"only_taken", "", only_taken},
	{"both_read", "", both_read},
	{"handed_over", "", handed_over},
	{"core_calls", "", core_calls},
};

const unsigned hard_case_count = sizeof(hard_cases) / sizeof(hard_cases[0]);
