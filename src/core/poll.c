/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Polling, interrupts, and both. A CPU keeps a list of what it polls at each turn; an interrupt puts a source
 * there, and a poll that took less than its budget takes it out again, by arming.
 *
 * The arming race: a completion that arrives between the last poll and the arming would interrupt nobody. arm() looks
 * again after it armed, and says so; the source then simply stays in the list.
 */
#include "core/loop.h"
#include "core/share.h"

#define BUDGET_DEFAULT    64
#define WINDOW_DEFAULT_NS (50 * OB_NS_PER_US)

enum poll_state {
	POLL_STOPPED,
	POLL_ARMED, /* its interrupt will tell */
	POLL_LISTED,
};

static bool is_busy(const struct ob_poll *poll)
{
	return poll->config.mode != OB_COMPLETION_INTERRUPT;
}

static bool has_share(const struct ob_poll *poll)
{
	return poll->config.mode == OB_COMPLETION_HYBRID && poll->config.cpu_percent > 0;
}

static void poll_list(struct ob_cpu *cpu, struct ob_poll *poll)
{
	poll->next = NULL;
	poll->prev = cpu->polls_last;
	if (poll->prev)
		poll->prev->next = poll;
	else
		cpu->polls = poll;
	cpu->polls_last = poll;
	cpu->poll_count++;
	if (is_busy(poll))
		cpu->busy_count++;
	cpu->poll_new = true;
	poll->state = POLL_LISTED;
	poll->idle_since_ns = cpu->head.now_ns;
	if (has_share(poll))
		poll->window_ns = 0;
	cpu_touch(cpu);
}

static void poll_unlist(struct ob_cpu *cpu, struct ob_poll *poll, enum poll_state state)
{
	poll->state = (int)state;
	cpu->poll_count--;
	if (is_busy(poll))
		cpu->busy_count--;
	if (cpu->poll_next == poll)
		cpu->poll_next = poll->next;
	if (poll->prev)
		poll->prev->next = poll->next;
	else
		cpu->polls = poll->next;
	if (poll->next)
		poll->next->prev = poll->prev;
	else
		cpu->polls_last = poll->prev;
	poll->next = poll->prev = NULL;
}

/* Back to interrupts, unless something came meanwhile. */
static void poll_arm(struct ob_cpu *cpu, struct ob_poll *poll)
{
	poll->stats.arms++;
	poll->again = false;
	/* An interrupt may come inside arm(), behind its look: it finds the source not armed yet, and leaves a mark. */
	if (poll->ops->arm(poll->arg) || poll->again) {
		poll->stats.arm_races++;
		poll->ops->disarm(poll->arg);
		if (poll->state != POLL_LISTED)
			poll_list(cpu, poll);
	} else if (poll->state == POLL_LISTED) {
		poll_unlist(cpu, poll, POLL_ARMED);
	} else {
		poll->state = POLL_ARMED;
	}
}

void ob_poll_start(struct ob_poll *poll, struct ob_cpu *cpu, const struct ob_poll_ops *ops, void *arg,
		   const struct ob_poll_config *config)
{
	assert(cpu_is_owned(cpu));
	*poll = (struct ob_poll){.ops = ops, .arg = arg, .cpu = cpu, .config = *config};
	if (poll->config.budget == 0)
		poll->config.budget = BUDGET_DEFAULT;
	if (poll->config.window_ns == 0)
		poll->config.window_ns = WINDOW_DEFAULT_NS;
	poll->window_ns = poll->config.window_ns;
	if (has_share(poll)) {
		cpu->share_count++;
		share_start(&poll->share, config->cpu_percent, cpu->head.now_ns, cpu_awake_ns(cpu));
	}
	if (config->mode != OB_COMPLETION_POLLED) {
		poll_arm(cpu, poll);
		return;
	}
	ops->disarm(arg);
	poll_list(cpu, poll);
}

void ob_poll_stop(struct ob_poll *poll)
{
	struct ob_cpu *cpu = poll->cpu;

	if (poll->state == POLL_STOPPED)
		return;
	assert(cpu_is_owned(cpu));
	poll->ops->disarm(poll->arg);
	if (has_share(poll))
		cpu->share_count--;
	if (poll->state == POLL_LISTED)
		poll_unlist(cpu, poll, POLL_STOPPED);
	poll->state = POLL_STOPPED;
	/* Stopped from within its own completions: it may be gone when they return. */
	if (cpu->poll_running == poll)
		cpu->poll_running = NULL;
}

void ob_poll_schedule(struct ob_poll *poll)
{
	if (poll->state != POLL_ARMED) {
		poll->again = true;
		return;
	}
	/* First the list: an interrupt inside disarm() would list it as well, and twice is once too often. */
	poll_list(poll->cpu, poll);
	poll->stats.schedules++;
	poll->ops->disarm(poll->arg);
}

/* Arm when the window is over, and at once when there is none. */
static void hybrid_run(struct ob_cpu *cpu, struct ob_poll *poll, unsigned done)
{
	uint64_t now = cpu->head.now_ns;

	if (done > 0) {
		poll->idle_since_ns = now;
		if (has_share(poll))
			poll->window_ns = share_window(&poll->share, now, cpu_awake_ns(cpu));
		if (poll->window_ns > 0 || done >= poll->config.budget)
			return;
	}
	if (now - poll->idle_since_ns >= poll->window_ns)
		poll_arm(cpu, poll);
}

static unsigned poll_run(struct ob_cpu *cpu, struct ob_poll *poll)
{
	unsigned budget = poll->config.budget;
	unsigned done;

	cpu->poll_running = poll;
	done = poll->ops->poll(poll->arg, budget);
	if (OB_UNLIKELY(cpu->poll_running != poll))
		return done;
	cpu->poll_running = NULL;
	poll->stats.polls++;
	poll->stats.completions += done;
	if (done > 0)
		OB_TRACE(cpu, OB_TRACE_POLL, (uintptr_t)poll, done, 0);
	else
		poll->stats.empty_polls++;
	switch (poll->config.mode) {
	case OB_COMPLETION_POLLED:
		break;
	case OB_COMPLETION_INTERRUPT:
		if (done < budget)
			poll_arm(cpu, poll);
		break;
	case OB_COMPLETION_HYBRID:
		hybrid_run(cpu, poll, done);
		break;
	}
	return done;
}

unsigned polls_run(struct ob_cpu *cpu, bool all)
{
	/* However many come to the list on the way, the pass ends. */
	unsigned count = cpu->poll_count;
	unsigned done = 0;

	cpu->poll_next = cpu->polls;
	while (count-- > 0 && cpu->poll_next) {
		struct ob_poll *poll = cpu->poll_next;

		cpu->poll_next = poll->next;
		if (all || poll->config.mode != OB_COMPLETION_POLLED)
			done += poll_run(cpu, poll);
	}
	return done;
}
