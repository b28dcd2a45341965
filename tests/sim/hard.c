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
	struct cpu_fd fd;
	struct os_poller *poller;
	unsigned a, b;
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
static void with_interrupt(void (*handler)(struct cpu_fd *fd), void (*body)(void))
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

static void handler_compares(struct cpu_fd *fd)
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

const struct hard_case hard_cases[] = {
	{"torn_in_a_block", "torn", torn_in_a_block},
};

const unsigned hard_case_count = sizeof(hard_cases) / sizeof(hard_cases[0]);
