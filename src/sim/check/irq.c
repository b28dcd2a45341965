/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rules for interrupts (outboard/irq.h). A hard handler is short: it has a budget of steps of its own, in which a
 * register read counts for what it costs. Somebody answers for an interrupt. Who answers for a level takes it down. A
 * handler is there before the first interrupt comes. And when all CPUs sleep, no device waits for one of them to look at
 * what it has told, or was kept from telling.
 *
 * What stalls, preemptions and the device do meanwhile counts for nobody's budget; a lost interrupt that a fault has
 * taken away is no report.
 */
#include "core/watch.h"
#include "sim/fault/fault.h"
#include "sim/machine/model.h"

#define READ_STEPS     150 /* of a register, beside its own */
#define LINES_MAX      32
#define STORM_MAX      64 /* deliveries in a row that nobody answers for; core masks at 100 */
#define UNCLEARED_MAX  8  /* deliveries in a row of one cause that a handler has answered for */
#define PATIENCE_NS    OB_NS_PER_MS
#define NOTHING_TO_SEE UINT64_MAX

struct line {
	const void *line;
	unsigned unanswered, uncleared;
	uint64_t causes; /* as of the last delivery that left it up */
};

SIM_STATE static struct {
	struct line lines[LINES_MAX];
	unsigned count;
	uint64_t causes;
} irqs;

void check_irq_reset(void)
{
	memset(&irqs, 0, sizeof(irqs));
}

/* ---- the budget ---- */

void check_irq_read(void)
{
	W.current->ran_steps += READ_STEPS;
}

static void check_budget(const char *name, const char *verb)
{
	const struct thread *t = W.current;
	uint64_t steps = sched_own_steps(t) + 1 - t->hard_since;

	if (steps <= W.config.hard_steps_max)
		return;
	report_begin("hard-budget", "the hard handler of %s %s %llu steps of its own, more than %u", name, verb,
		     (unsigned long long)steps, W.config.hard_steps_max);
	report_here(0);
	report_end();
}

void check_irq_running(void)
{
	if (W.current->interrupted || W.current->data.context == CPU_CONTEXT_HARD)
		check_budget(W.current->hard_name != NULL ? W.current->hard_name : "an interrupt", "has taken");
}

void watch_hard_begin(const char *name)
{
	if (!W.on)
		return;
	W.current->hard_name = name;
	W.current->hard_since = sched_own_steps(W.current) + 1;
}

void watch_hard_end(const char *name)
{
	if (!W.on)
		return;
	world_capture();
	check_budget(name, "took");
	W.current->hard_since = 0;
	W.current->hard_name = NULL;
}

/* ---- answers ---- */

/* A device that has told of what is not there, or kept quiet of what is, may hold its line up for nothing. */
static bool has_lied(void)
{
	static const enum sim_fault lies[] = {
		SIM_FAULT_COMPLETION_BAD,
		SIM_FAULT_COMPLETION_FIELD,
		SIM_FAULT_COMPLETION_TWICE,
		SIM_FAULT_COMPLETION_LOST,
		SIM_FAULT_COMPLETION_EARLY,
		SIM_FAULT_INTERRUPT_LOST,
		SIM_FAULT_REGISTER,
		SIM_FAULT_REGISTER_STUCK,
		SIM_FAULT_REGISTERS_ONES,
		SIM_FAULT_CONFIG_ONES,
		SIM_FAULT_FATAL,
		SIM_FAULT_REMOVE,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(lies); i++)
		if (W.fault_counts[lies[i]] > 0)
			return true;
	return W.fault_excuses != 0;
}

/* A device raises a line, or has another reason to hold it up. */
void check_irq_cause(void)
{
	irqs.causes++;
}

static struct line *line_of(const void *line)
{
	for (unsigned i = 0; i < irqs.count; i++)
		if (irqs.lines[i].line == line)
			return &irqs.lines[i];
	if (irqs.count == LINES_MAX)
		return NULL;
	irqs.lines[irqs.count] = (struct line){.line = line};
	return &irqs.lines[irqs.count++];
}

void watch_delivered(const void *line, const char *name, bool asked, bool answered, bool level, bool up)
{
	uint64_t causes = irqs.causes + W.commands;
	struct line *l = W.on ? line_of(line) : NULL;

	if (l == NULL)
		return;
	world_capture();
	if (level && !up) {
		l->unanswered = l->uncleared = 0;
		return;
	}
	l->unanswered = answered || !asked ? 0 : l->unanswered + 1;
	l->uncleared = answered && up && causes == l->causes ? l->uncleared + 1 : 0;
	l->causes = causes;
	if (l->unanswered >= STORM_MAX && !has_lied()) {
		report_begin("interrupt-storm", "%s came %u times in a row, and nobody answered for it", name,
			     l->unanswered);
		report_here(0);
		report_end();
	}
	if (l->uncleared >= UNCLEARED_MAX && !has_lied()) {
		report_begin("level-not-cleared",
			     "the handler of %s answered %u times in a row, for one cause, and its line is still up",
			     name, l->uncleared);
		report_here(0);
		report_end();
	}
}

/* ---- handlers ---- */

void check_irq_unheard(const char *what)
{
	report_begin("interrupt-early", "%s is raised, and no handler was ever there for it", what);
	report_end();
}

/* ---- nobody looks ---- */

static bool somebody_stalled(void)
{
	for (unsigned i = THREAD_MAIN; i < W.thread_count; i++)
		if (W.threads[i].state == THREAD_WAITING && W.threads[i].wait_what == sched_stall)
			return true;
	return false;
}

/* All sleep until @until_ns. */
void check_irq_asleep(uint64_t until_ns)
{
	if (sim_machine == NULL || W.posted_count > 0 || W.fds_fired > 0 || until_ns - W.now_ns < PATIENCE_NS ||
	    W.threads[THREAD_DEVICE].wake_ns != NEVER || has_lied() ||
	    W.fault_counts[SIM_FAULT_ADMIN_HANG] > 0) /* what is taken down meanwhile need not be looked at */
		return;
	if (somebody_stalled())
		return;
	for (unsigned i = 0; i < sim_machine->device_count; i++) {
		struct sim_device *dev = sim_machine->devices[i];
		char text[128];

		if (!dev->pci.present || !dev->pci.master || dev->type->unseen == NULL ||
		    !dev->type->unseen(dev, text, sizeof(text)))
			continue;
		report_begin("lost-interrupt", "%s waits for a CPU to see %s, and all sleep for %llu us more",
			     dev->type->name, text, (unsigned long long)((until_ns - W.now_ns) / OB_NS_PER_US));
		sched_tell_threads();
		report_end();
	}
}
