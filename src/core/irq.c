/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts: vectors of a device, their handlers, delivery. Storms are in irq_storm.c.
 *
 * The machine gives an eventfd for each message vector or INTx line; the CPU that the vector belongs to waits for it
 * and calls the hard handler. A level-triggered line fires the eventfd once as it goes up, so after each delivery the
 * level is looked at, and what is still up is delivered again (PCI 3.0 §2.2.6: the line is level sensitive and shared).
 */
#include "core/irq.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <outboard/driver.h>

#include "core/context.h"
#include "core/device.h"
#include "core/machine_core.h"
#include "core/watch.h"

/* Deliveries of a line that stays up, before the rest of the CPU gets a turn. */
#define LEVEL_TURNS 16
/* How long another CPU may take to notice that it shall let go of an interrupt. */
#define IRQ_CALL_TIMEOUT_NS (5 * OB_NS_PER_S)
#define IRQ_JOIN_STEP_NS    OB_NS_PER_S /* between the log lines about a task handler that does not end */
#define IRQ_TASK_WAIT_NS    OB_NS_PER_S
#define IRQ_SLEEP_NS        (20 * OB_NS_PER_US)
#define IRQ_VECTORS_MAX     2048u /* MSI-X, PCI 3.0 §6.8.2.3 */

void machine_irq_init(struct ob_machine *machine)
{
	ob_lock_init(&machine->irq_lock, "irq");
	list_init(&machine->irq_lines);
}

/* ---- vectors of a device ---- */

int ob_irq_alloc(struct ob_device *dev, unsigned min, unsigned max, unsigned kinds, enum ob_irq_kind *kind)
{
	int rc;

	if (min == 0 || max < min || (kinds & OB_IRQ_ANY) == 0)
		return -EINVAL;
	if (dev->irqs != NULL)
		return -EBUSY;
	if (hooks_fail(dev->machine->ob, __func__))
		return -ENOSPC;
	if (device_is_gone(dev))
		return -ENODEV;
	if (max > IRQ_VECTORS_MAX)
		max = IRQ_VECTORS_MAX;
	if (dev->ops->irq_alloc == NULL || min > max)
		return -ENOSPC;
	rc = dev->ops->irq_alloc(dev, min, max, kinds & OB_IRQ_ANY, &dev->vectors);
	if (rc != 0)
		return rc;
	dev->irqs = ob_alloc(dev->vectors.count * sizeof(*dev->irqs));
	if (dev->irqs == NULL) {
		dev->ops->irq_release(dev);
		memset(&dev->vectors, 0, sizeof(dev->vectors));
		return -ENOMEM;
	}
	if (kind != NULL)
		*kind = dev->vectors.kind;
	return (int)dev->vectors.count;
}

void ob_irq_release(struct ob_device *dev)
{
	if (dev->irqs == NULL)
		return;
	for (unsigned v = 0; v < dev->vectors.count; v++) {
		if (dev->irqs[v] == NULL)
			continue;
		ob_err(dev->machine->ob, "%s: vector %u (%s) was still requested", dev->name, v, dev->irqs[v]->name);
		ob_irq_free(dev->irqs[v]);
	}
	dev->ops->irq_release(dev);
	memset(&dev->vectors, 0, sizeof(dev->vectors));
	ob_free(dev->irqs);
	dev->irqs = NULL;
}

void device_irq_cleanup(struct ob_device *dev)
{
	if (dev->irqs == NULL)
		return;
	ob_err(dev->machine->ob, "%s: %s leaked %u interrupt vectors", dev->name,
	       dev->driver != NULL ? dev->driver->name : "its driver", dev->vectors.count);
	ob_irq_release(dev);
}

/* ---- delivery: owner CPU ---- */

void irq_run_hard(void (*fn)(void *arg), void *arg)
{
	struct os_thread_data *self = os_thread_data();
	int context = self->context;

	self->context = CPU_CONTEXT_HARD;
	fn(arg);
	self->context = context;
}

static void soft_work_fn(struct ob_work *work)
{
	struct ob_irq *irq = container_of(work, struct ob_irq, soft_work);

	if (irq->attached) {
		IRQ_COUNT(irq->stats.soft_runs);
		OB_TRACE(irq->line->cpu, OB_TRACE_IRQ_SOFT, irq->vector, 0, 0);
		irq->config.soft(irq->config.arg);
	}
	/* The last touch: ob_irq_free() on another CPU waits for it. A post by the handler itself set it again. */
	if (!__atomic_load_n(&work->pending, __ATOMIC_RELAXED))
		__atomic_store_n(&irq->soft_posted, 0, __ATOMIC_RELEASE);
}

static void post_soft(struct ob_irq *irq)
{
	__atomic_store_n(&irq->soft_posted, 1, __ATOMIC_RELAXED);
	ob_cpu_post(irq->line->cpu, &irq->soft_work);
}

enum ob_irq_result irq_deliver(struct ob_irq *irq)
{
	enum ob_irq_result result = OB_IRQ_HANDLED;

	IRQ_COUNT(irq->stats.delivered);
	if (irq->config.hard != NULL) {
		watch_hard_begin(irq->name);
		result = irq->config.hard(irq->config.arg);
		watch_hard_end(irq->name);
	} else {
		result = irq->config.soft != NULL ? OB_IRQ_SOFT : OB_IRQ_TASK;
	}
	OB_TRACE(irq->line->cpu, OB_TRACE_IRQ_HARD, irq->vector, result, 0);
	if (result == OB_IRQ_NONE) {
		IRQ_COUNT(irq->stats.spurious);
		return result;
	}
	IRQ_COUNT(irq->stats.handled);
	if (result == OB_IRQ_SOFT && irq->config.soft != NULL)
		post_soft(irq);
	else if (result == OB_IRQ_TASK && irq->task != NULL)
		ob_event_signal(&irq->wake);
	return result;
}

/* Its line fired: true when it was somebody's interrupt, or nobody could be asked. */
static bool irq_arrived(struct ob_irq *irq)
{
	enum ob_irq_result result;

	if (irq->masked != 0) {
		/* A shared line fires for the others too; its level tells at unmask. */
		if (!irq->line->level) {
			irq->pending = true;
			irq->noise_ns = ob_cpu_time_ns(irq->line->cpu);
		}
		return false;
	}
	result = irq_deliver(irq);
	irq_storm_count(irq, result);
	return result != OB_IRQ_NONE;
}

/* Is an interrupt up that is not masked? */
static bool line_is_up(struct irq_line *line)
{
	list_for_each (node, &line->irqs) {
		struct ob_irq *irq = list_entry(node, struct ob_irq, line_link);

		if (irq->masked == 0 && irq->dev->ops->irq_level != NULL &&
		    irq->dev->ops->irq_level(irq->dev, irq->vector))
			return true;
	}
	return false;
}

static void line_deliver(void *arg)
{
	struct irq_line *line = arg;

	for (unsigned turn = 0; turn < LEVEL_TURNS; turn++) {
		const char *name = "";
		bool answered = false, asked = false, up;

		list_for_each (node, &line->irqs) {
			struct ob_irq *irq = list_entry(node, struct ob_irq, line_link);

			name = irq->name;
			asked |= irq->masked == 0;
			answered |= irq_arrived(irq);
		}
		up = line->level && line_is_up(line);
		watch_delivered(line, name, asked, answered, line->level, up);
		if (line->level)
			irq_storm_level(line, up);
		/* On a level that is down by now nobody had to answer: another device had raised it. */
		if (asked && (up || !line->level))
			irq_storm_judge(line, answered);
		if (!up)
			return;
		/* Whoever holds it up may be served by another eventfd of this CPU: let it have its turn. */
		if (!answered)
			break;
	}
	/* Its eventfd will not fire for a level that never went down. */
	__atomic_store_n(&line->again_posted, 1, __ATOMIC_RELAXED);
	ob_cpu_post(line->cpu, &line->again);
}

static void line_again_fn(struct ob_work *work)
{
	struct irq_line *line = container_of(work, struct irq_line, again);

	irq_run_hard(line_deliver, line);
	if (!__atomic_load_n(&work->pending, __ATOMIC_RELAXED))
		__atomic_store_n(&line->again_posted, 0, __ATOMIC_RELEASE);
}

static void line_fired(struct ob_fd *fd)
{
	struct irq_line *line = container_of(fd, struct irq_line, fd);

	if (os_eventfd_take(fd->fd))
		line_deliver(line);
}

/* ---- masking: owner CPU ---- */

void irq_set_mask(struct ob_irq *irq, unsigned why)
{
	if (irq->masked == 0)
		irq->dev->ops->irq_mask(irq->dev, irq->vector, true);
	irq->masked |= why;
	os_handlers_apart();
}

void irq_clear_mask(struct ob_irq *irq, unsigned why)
{
	if ((irq->masked & why) == 0)
		return;
	irq->masked &= ~why;
	if (irq->masked != 0)
		return;
	os_handlers_apart();
	irq->dev->ops->irq_mask(irq->dev, irq->vector, false);
	/* A level that is up by now does not fire its eventfd again. */
	if (irq->pending || (irq->line->level && line_is_up(irq->line))) {
		irq->pending = false;
		irq_run_hard(line_deliver, irq->line);
	}
}

void ob_irq_mask(struct ob_irq *irq)
{
	irq_set_mask(irq, IRQ_MASKED_BY_DRIVER);
}

void ob_irq_unmask(struct ob_irq *irq)
{
	irq_clear_mask(irq, IRQ_MASKED_BY_DRIVER);
}

/* ---- lines ---- */

static struct irq_line *line_get(struct ob_machine *machine, int fd, struct ob_cpu *cpu, bool level)
{
	struct irq_line *fresh = ob_alloc(sizeof(*fresh)), *found = NULL;

	if (fresh == NULL)
		return NULL;
	ob_lock(&machine->irq_lock);
	list_for_each (node, &machine->irq_lines) {
		struct irq_line *line = list_entry(node, struct irq_line, link);

		if (line->fd.fd == fd)
			found = line;
	}
	if (found == NULL) {
		found = fresh;
		fresh = NULL;
		found->fd = (struct ob_fd){fd, line_fired};
		found->cpu = cpu;
		found->level = level;
		list_init(&found->irqs);
		ob_work_init(&found->again, line_again_fn);
		list_add_tail(&machine->irq_lines, &found->link);
	}
	found->users++;
	ob_unlock(&machine->irq_lock);
	ob_free(fresh);
	return found;
}

static void line_put(struct ob_machine *machine, struct irq_line *line)
{
	uint64_t deadline = ob_deadline(IRQ_CALL_TIMEOUT_NS);
	bool last;

	ob_lock(&machine->irq_lock);
	last = --line->users == 0;
	if (last)
		list_del(&line->link);
	ob_unlock(&machine->irq_lock);
	if (!last)
		return;
	/* A redelivery that is posted finds nobody, but it uses the line. */
	while (__atomic_load_n(&line->again_posted, __ATOMIC_ACQUIRE)) {
		if (ob_now_ns() >= deadline)
			return;
		ob_task_sleep(ob_deadline(IRQ_SLEEP_NS));
	}
	ob_free(line);
}

static bool is_level(const struct ob_device *dev, unsigned vector)
{
	return dev->vectors.kind == OB_IRQ_INTX && (vector >= 32 || (dev->vectors.edges >> vector & 1) == 0);
}

/* ---- request and free ---- */

struct attach_call {
	struct ob_irq *irq;
	int rc;
};

static void irq_task(void *arg)
{
	struct ob_irq *irq = arg;

	while (!irq->stop) {
		if (ob_event_wait(&irq->wake, ob_deadline(IRQ_TASK_WAIT_NS)) != 0 || irq->stop)
			continue;
		IRQ_COUNT(irq->stats.task_runs);
		irq->config.task(irq->config.arg);
	}
}

/* Owner CPU. */
static void attach(void *arg)
{
	struct attach_call *call = arg;
	struct ob_irq *irq = call->irq;
	struct irq_line *line = irq->line;
	bool first = list_empty(&line->irqs);

	call->rc = first ? ob_fd_add(line->cpu, &line->fd) : 0;
	if (call->rc != 0)
		return;
	if (irq->config.task != NULL)
		call->rc = ob_task_spawn(line->cpu, "irq", irq_task, irq, &irq->task);
	if (call->rc != 0) {
		if (first)
			ob_fd_remove(line->cpu, &line->fd);
		return;
	}
	list_add_tail(&line->irqs, &irq->line_link);
	irq->attached = true;
	irq->window_start_ns = ob_now_ns();
	irq->dev->ops->irq_mask(irq->dev, irq->vector, false);
}

/* Owner CPU: no handler runs now, and none will, but for the task handler, which is told to end. */
static void detach(void *arg)
{
	struct ob_irq *irq = arg;
	struct irq_line *line = irq->line;

	irq_set_mask(irq, IRQ_MASKED_BY_DRIVER);
	irq->attached = false;
	ob_timer_stop(&irq->storm_timer);
	list_del(&irq->line_link);
	if (list_empty(&line->irqs))
		ob_fd_remove(line->cpu, &line->fd);
	irq->stop = true;
	ob_event_signal(&irq->wake);
}

static int check_request(struct ob_device *dev, unsigned vector, const struct ob_irq_config *config)
{
	if (config->hard == NULL && config->soft == NULL && config->task == NULL)
		return -EINVAL;
	if (dev->irqs == NULL || vector >= dev->vectors.count) {
		watch_misuse("an interrupt vector is requested that the device was not given", vector);
		return -EINVAL;
	}
	/* A level that no hard handler takes down never ends. */
	if (dev->vectors.kind == OB_IRQ_INTX && config->hard == NULL)
		return -EINVAL;
	if (dev->irqs[vector] != NULL) {
		watch_misuse("an interrupt vector is requested that has a handler", vector);
		return -EBUSY;
	}
	if (hooks_fail(dev->machine->ob, "ob_irq_request"))
		return -ENOMEM;
	return device_is_gone(dev) ? -ENODEV : 0;
}

int ob_irq_request(struct ob_device *dev, unsigned vector, const struct ob_irq_config *config, struct ob_irq **out)
{
	struct ob_machine *machine = dev->machine;
	struct ob_cpu *cpu = config->cpu != NULL ? config->cpu : ob_device_cpu(dev);
	struct attach_call call = {0};
	struct ob_irq *irq;
	int rc;

	*out = NULL;
	rc = check_request(dev, vector, config);
	if (rc != 0)
		return rc;
	irq = ob_alloc(sizeof(*irq));
	if (irq == NULL)
		return -ENOMEM;
	irq->dev = dev;
	irq->vector = vector;
	irq->config = *config;
	snprintf(irq->name, sizeof(irq->name), "%s", config->name != NULL ? config->name : dev->name);
	irq->config.name = irq->name;
	list_init(&irq->line_link);
	irq->line = line_get(machine, dev->vectors.fds[vector], cpu, is_level(dev, vector));
	if (irq->line == NULL) {
		rc = -ENOMEM;
		goto free_irq;
	}
	if (irq->line->cpu != cpu) {
		ob_err(machine->ob, "%s: %s shares a line that is delivered on CPU %u", dev->name, irq->name,
		       ob_cpu_index(irq->line->cpu));
		rc = -EINVAL;
		goto put_line;
	}
	ob_work_init(&irq->soft_work, soft_work_fn);
	ob_event_init(&irq->wake, cpu);
	irq_storm_init(irq);
	call.irq = irq;
	rc = ob_cpu_call(cpu, attach, &call, ob_deadline(IRQ_CALL_TIMEOUT_NS));
	if (rc == 0)
		rc = call.rc;
	if (rc != 0)
		goto put_line;
	dev->irqs[vector] = irq;
	*out = irq;
	return 0;

put_line:
	line_put(machine, irq->line);
free_irq:
	ob_free(irq);
	return rc;
}

/* A call that needs memory, where failing for want of it is no choice. */
static int call_detach(struct ob_irq *irq, uint64_t deadline_ns)
{
	for (;;) {
		int rc = ob_cpu_call(irq->line->cpu, detach, irq, deadline_ns);

		if (rc != -ENOMEM || ob_now_ns() >= deadline_ns)
			return rc;
		ob_task_sleep(ob_deadline(IRQ_SLEEP_NS));
	}
}

static void nothing(void *arg)
{
}

/*
 * The handler uses what its driver frees next, so this ends with it and no sooner, however long it takes. Only when its
 * CPU does not turn, and nobody is inside its loop, nothing of it can run: -ETIMEDOUT.
 */
static int join_task(struct ob_irq *irq)
{
	struct ob_cpu *cpu = irq->line->cpu;
	int rc;

	while ((rc = ob_task_join(irq->task, ob_deadline(IRQ_JOIN_STEP_NS))) == -ETIMEDOUT) {
		if (ob_cpu_call(cpu, nothing, NULL, ob_deadline(IRQ_JOIN_STEP_NS)) == -ETIMEDOUT && !cpu_is_inside(cpu))
			break;
		ob_err(irq->dev->machine->ob, "%s: vector %u (%s): its task handler on CPU %u still runs",
		       irq->dev->name, irq->vector, irq->name, ob_cpu_index(cpu));
	}
	return rc;
}

/* Work that was posted before the detach runs once more and does nothing. */
static int wait_for_work(struct ob_irq *irq, uint64_t deadline_ns)
{
	while (__atomic_load_n(&irq->soft_posted, __ATOMIC_ACQUIRE) ||
	       __atomic_load_n(&irq->storm_posted, __ATOMIC_ACQUIRE)) {
		if (ob_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
		ob_task_sleep(ob_deadline(IRQ_SLEEP_NS));
	}
	return 0;
}

void ob_irq_free(struct ob_irq *irq)
{
	uint64_t deadline = ob_deadline(IRQ_CALL_TIMEOUT_NS);
	struct ob_device *dev;
	int rc;

	if (irq == NULL)
		return;
	dev = irq->dev;
	dev->irqs[irq->vector] = NULL;
	/* A handler that keeps its CPU to itself keeps us, too. */
	while ((rc = call_detach(irq, deadline)) == -ETIMEDOUT && cpu_is_inside(irq->line->cpu)) {
		ob_err(dev->machine->ob, "%s: vector %u (%s): CPU %u is busy with something else", dev->name,
		       irq->vector, irq->name, ob_cpu_index(irq->line->cpu));
		deadline = ob_deadline(IRQ_CALL_TIMEOUT_NS);
	}
	if (rc == 0 && irq->task != NULL)
		rc = join_task(irq);
	if (rc == 0)
		rc = wait_for_work(irq, ob_deadline(IRQ_CALL_TIMEOUT_NS));
	if (rc != 0) {
		/* That CPU does not turn, so nothing runs there; but what hangs on its loop must stay. */
		ob_err(dev->machine->ob, "%s: vector %u (%s): CPU %u does not let go of it: %s", dev->name, irq->vector,
		       irq->name, ob_cpu_index(irq->line->cpu), strerror(-rc));
		return;
	}
	line_put(dev->machine, irq->line);
	ob_free(irq);
}

void ob_irq_stats(const struct ob_irq *irq, struct ob_irq_stats *out)
{
	out->delivered = __atomic_load_n(&irq->stats.delivered, __ATOMIC_RELAXED);
	out->handled = __atomic_load_n(&irq->stats.handled, __ATOMIC_RELAXED);
	out->spurious = __atomic_load_n(&irq->stats.spurious, __ATOMIC_RELAXED);
	out->soft_runs = __atomic_load_n(&irq->stats.soft_runs, __ATOMIC_RELAXED);
	out->task_runs = __atomic_load_n(&irq->stats.task_runs, __ATOMIC_RELAXED);
	out->storms = __atomic_load_n(&irq->stats.storms, __ATOMIC_RELAXED);
	out->stormed = __atomic_load_n(&irq->stats.stormed, __ATOMIC_ACQUIRE);
}

const char *ob_irq_name(const struct ob_irq *irq)
{
	return irq->name;
}
