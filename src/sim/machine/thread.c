/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device's side: a thread of its own, on which the model does everything. Register writes are posted: they arrive
 * later, in order, and a read comes after all of them.
 */
#include "sim/view/event.h"
#include "sim/view/view.h"
#include "sim/world.h"

#define POST_DELAY_NS 500

static struct thread *device(void)
{
	return &W.threads[THREAD_DEVICE];
}

/* A moment in the device's life: anything else may happen now. Only on its own thread. */
void simdev_step(uint64_t what)
{
	if (W.current != device() || !W.on)
		return;
	W.now_ns += 18;
	world_step(0xde0000 + what);
	if (W.config.strategy == SIM_RANDOM && random_one_in(&W.random_schedule, 4))
		sched_decide();
}

static void tell(const struct thread *who, enum event_kind kind, const struct posted *access)
{
	struct event *e = event_of(who, kind, access->offset, access->value);

	e->link = access->number;
	e->flags = (uint8_t)access->kind;
}

static void arrive(struct posted *access)
{
	vclock_join(&device()->clock, &access->clock);
	W.threads[access->thread].doorbell_epoch = MAX(W.threads[access->thread].doorbell_epoch, access->epoch);
	world_mix(access->offset ^ access->value << 16);
	tell(device(), EVENT_ARRIVE, access);
	machine_access(access);
	if (access->done == NULL)
		return;
	*access->result = access->value;
	*access->done = true;
	sched_wake(access->done);
}

static void take_posted(void)
{
	struct posted access = W.posted[W.posted_first];

	W.posted_first = (W.posted_first + 1) % POSTED_MAX;
	W.posted_count--;
	arrive(&access);
	sched_wake(W.posted);
}

static void device_main(void *arg)
{
	for (;;) {
		bool worked = true;

		W.device_inside = true;
		if (W.posted_count > 0 && !(W.device_kicked && random_one_in(&W.random_schedule, 4)))
			take_posted();
		else
			worked = machine_work();
		W.device_inside = false;
		view_states();
		if (worked)
			simdev_step(1);
		else if (W.posted_count == 0)
			sched_wait(&W.posted_first, W.device_due_ns, "something to do");
	}
}

void simdev_init(void)
{
	sched_spawn("device", device_main, NULL);
}

static void stamp(struct posted *access)
{
	access->thread = (uint8_t)W.current->id;
	access->clock = W.views[W.current->id].mmio_release;
	access->epoch = W.current->clock.t[W.current->id];
	access->number = ++W.posted_number;
	tell(W.current, EVENT_POST, access);
}

static void enqueue(const struct posted *access)
{
	while (W.posted_count == POSTED_MAX)
		sched_wait(W.posted, NEVER, "room for a posted write");
	W.posted[(W.posted_first + W.posted_count++) % POSTED_MAX] = *access;
}

void simdev_post(const struct posted *access)
{
	struct posted stamped = *access;

	stamp(&stamped);
	enqueue(&stamped);
	sched_progress();
	sched_wake_device(W.now_ns + random_below(&W.random_fault, POST_DELAY_NS));
}

/* An access that has an answer. */
uint64_t simdev_ask(struct posted *access)
{
	uint64_t result = 0;
	bool done = false;

	stamp(access);
	access->result = &result;
	access->done = &done;
	W.now_ns += 300;
	check_irq_read();
	if (W.current == device() || (!W.device_inside && W.posted_count == 0)) {
		arrive(access);
	} else {
		enqueue(access);
		sched_wake_device(W.now_ns);
		while (!done)
			sched_wait(&done, NEVER, "a register");
	}
	access->value = result;
	tell(W.current, EVENT_ANSWER, access);
	return result;
}

uint64_t simdev_ask_ordered(struct posted *access)
{
	uint64_t result = simdev_ask(access);

	race_acquire(&device()->clock);
	device()->clock.t[THREAD_DEVICE]++;
	return result;
}

void simdev_flush(void)
{
	struct posted nothing = {.kind = POSTED_NOTHING};

	simdev_ask_ordered(&nothing);
}
