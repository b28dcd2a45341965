/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupt storms: noticed by rate or by nobody answering; masked, named, polled at a low rate, and given another
 * chance once the source was quiet for a while.
 */
#include "core/irq.h"

#include <inttypes.h>

#include <outboard/log.h>
#include <outboard/trace.h>

#include "core/device.h"

#define STORM_MAX_DEFAULT 100000u
#define STORM_WINDOW_NS   (100 * OB_NS_PER_MS)
#define STORM_UNANSWERED  100u
#define STORM_STUCK       1000u
#define STORM_PATIENCE    10u /* times a limit, before those are masked that may be innocent */
#define STORM_POLL_NS     (10 * OB_NS_PER_MS)
#define STORM_QUIET_NS    OB_NS_PER_S

static void storm_timer_fn(struct ob_timer *timer);

static void storm_work_fn(struct ob_work *work)
{
	struct ob_irq *irq = container_of(work, struct ob_irq, storm_work);

	if (irq->attached)
		ob_timer_start(&irq->storm_timer, ob_deadline(STORM_POLL_NS));
	__atomic_store_n(&irq->storm_posted, 0, __ATOMIC_RELEASE);
}

void irq_storm_init(struct ob_irq *irq)
{
	if (irq->config.storm_max == 0)
		irq->config.storm_max = STORM_MAX_DEFAULT;
	if (irq->config.storm_window_ns == 0)
		irq->config.storm_window_ns = STORM_WINDOW_NS;
	ob_work_init(&irq->storm_work, storm_work_fn);
	ob_timer_init(&irq->storm_timer, irq->line->cpu, storm_timer_fn);
}

static void storm_begin(struct ob_irq *irq, uint64_t count, const char *what)
{
	irq_set_mask(irq, IRQ_MASKED_BY_STORM);
	irq->noise_ns = ob_cpu_time_ns(irq->line->cpu);
	ob_err(ob_device_context(irq->dev),
	       "%s: interrupt storm on vector %u (%s): %" PRIu64 " %s; masked, and polled until it is quiet",
	       irq->dev->name, irq->vector, irq->name, count, what);
	OB_TRACE(irq->line->cpu, OB_TRACE_IRQ_STORM, irq->vector, count, 0);
	IRQ_COUNT(irq->stats.storms);
	__atomic_store_n(&irq->stats.stormed, true, __ATOMIC_RELEASE);
	__atomic_store_n(&irq->storm_posted, 1, __ATOMIC_RELAXED);
	ob_cpu_post(irq->line->cpu, &irq->storm_work);
}

static void poll_hard(void *arg)
{
	irq_deliver(arg);
}

static void storm_timer_fn(struct ob_timer *timer)
{
	struct ob_irq *irq = container_of(timer, struct ob_irq, storm_timer);
	uint64_t now = ob_now_ns();

	if (now - irq->noise_ns < STORM_QUIET_NS) {
		if ((irq->masked & IRQ_MASKED_BY_DRIVER) == 0)
			irq_run_hard(poll_hard, irq);
		ob_timer_start(timer, now + STORM_POLL_NS);
		return;
	}
	ob_warn(ob_device_context(irq->dev), "%s: vector %u (%s) is quiet, delivered again", irq->dev->name,
		irq->vector, irq->name);
	__atomic_store_n(&irq->stats.stormed, false, __ATOMIC_RELEASE);
	irq->window_start_ns = now;
	irq->window_count = 0;
	irq->line->unanswered = 0;
	irq_clear_mask(irq, IRQ_MASKED_BY_STORM);
}

void irq_storm_count(struct ob_irq *irq, enum ob_irq_result result)
{
	uint64_t now = ob_cpu_time_ns(irq->line->cpu);

	/* On a shared line another device's interrupts are no fault of this one. */
	if (irq->line->level && result == OB_IRQ_NONE)
		return;
	if (now - irq->window_start_ns > irq->config.storm_window_ns) {
		irq->window_start_ns = now;
		irq->window_count = 0;
	}
	if (++irq->window_count > irq->config.storm_max)
		storm_begin(irq, irq->window_count, "deliveries within its window");
}

/*
 * A line goes on firing and nobody takes it down. A message has one owner. Of those on a level, the one whose mask takes
 * it down is to blame; NULL: none of them, so far as can be told.
 */
static struct ob_irq *find_culprit(struct irq_line *line)
{
	list_for_each (node, &line->irqs) {
		struct ob_irq *irq = list_entry(node, struct ob_irq, line_link);
		const struct bus_ops *ops = irq->dev->ops;
		bool down;

		if (irq->masked != 0)
			continue;
		if (!line->level)
			return irq;
		ops->irq_mask(irq->dev, irq->vector, true);
		down = ops->irq_level == NULL || !ops->irq_level(irq->dev, irq->vector);
		ops->irq_mask(irq->dev, irq->vector, false);
		if (down)
			return irq;
	}
	return NULL;
}

/*
 * Mask who is to blame for @count deliveries of the line. A machine may give each device on a physical line an eventfd
 * of its own, so the culprit may be on another line of ours: it is given the time to be found there.
 */
static void storm_on_line(struct irq_line *line, unsigned count, unsigned limit, const char *what)
{
	struct ob_irq *culprit = find_culprit(line);

	if (culprit == NULL && count < limit * STORM_PATIENCE)
		return;
	list_for_each (node, &line->irqs) {
		struct ob_irq *irq = list_entry(node, struct ob_irq, line_link);

		if (irq->masked == 0 && (culprit == NULL || culprit == irq))
			storm_begin(irq, count, what);
	}
	line->unanswered = 0;
	line->stuck = 0;
}

void irq_storm_judge(struct irq_line *line, bool answered)
{
	line->unanswered = answered ? 0 : line->unanswered + 1;
	if (line->unanswered != 0 && line->unanswered % STORM_UNANSWERED == 0)
		storm_on_line(line, line->unanswered, STORM_UNANSWERED, "deliveries in a row that nobody answered for");
}

void irq_storm_level(struct irq_line *line, bool up)
{
	if (!up) {
		/* Whoever had raised it is served: to answer for none of its interrupts is no fault on a shared line. */
		line->unanswered = 0;
		line->stuck = 0;
	} else if (++line->stuck % STORM_STUCK == 0) {
		storm_on_line(line, line->stuck, STORM_STUCK, "deliveries in a row that left the line up");
	}
}
