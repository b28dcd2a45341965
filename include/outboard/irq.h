/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts.
 *
 * A driver allocates vectors for its device, then requests each with up to three handlers: hard (top half), soft
 * (bottom half) and task (threaded). A vector belongs to one CPU. A vector that storms is masked, named in the log and
 * reported; its device is then polled at a low rate, so that the system and the device live on.
 *
 * A driver must bear a hard handler between any two of its accesses. What the handler uses too the driver accesses with
 * OB_READ_ONCE(), OB_WRITE_ONCE() or atomics, or while the vector is masked. Nothing comes between the handler's own.
 */
#ifndef OUTBOARD_IRQ_H
#define OUTBOARD_IRQ_H

#include <outboard/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ob_cpu;
struct ob_device;
struct ob_irq;

enum ob_irq_kind {
	OB_IRQ_MSIX = 1,
	OB_IRQ_MSI = 2,
	OB_IRQ_INTX = 4, /* level; shared: the hard handler must tell its own interrupts from others' */
	OB_IRQ_ANY = 7,
};

/* What a hard handler found and wants next. */
enum ob_irq_result {
	OB_IRQ_NONE,    /* not mine */
	OB_IRQ_HANDLED, /* done */
	OB_IRQ_SOFT,    /* run the soft handler */
	OB_IRQ_TASK,    /* wake the task handler */
};

struct ob_irq_config {
	const char *name;   /* copied: "nvme0 queue 3" */
	struct ob_cpu *cpu; /* where it is delivered */
	enum ob_irq_result (*hard)(void *arg);
	void (*soft)(void *arg); /* may be NULL */
	void (*task)(void *arg); /* may be NULL; runs in a task of its own, once per wake-up */
	void *arg;
	/*
	 * A storm is more than storm_max deliveries (0: 100,000) within storm_window_ns (0: 100 ms); or 100 in a row that
	 * answer OB_IRQ_NONE (INTx: while the line stays up); or 1000 in a row that leave an INTx line up. Of those on a
	 * shared line the one is masked whose mask takes it down.
	 */
	uint32_t storm_max;
	uint64_t storm_window_ns;
};

struct ob_irq_stats {
	uint64_t delivered; /* hard handler calls */
	uint64_t handled;
	uint64_t spurious; /* answered OB_IRQ_NONE */
	uint64_t soft_runs, task_runs;
	uint64_t storms;
	bool stormed; /* masked by storm detection now */
};

/**
 * ob_irq_alloc - give the device interrupt vectors
 * @min, @max: how many
 * @kinds:     ob_irq_kind bits that will do; the best that the device and the machine have is taken
 * @kind:      which it became, or NULL
 *
 * Context: task, before the device is enabled.
 * Return: the number of vectors, at least @min; -ENOSPC; -ENODEV; -EBUSY.
 */
int ob_irq_alloc(struct ob_device *dev, unsigned min, unsigned max, unsigned kinds, enum ob_irq_kind *kind);
/** ob_irq_release - give all vectors back; every ob_irq was freed before */
void ob_irq_release(struct ob_device *dev);

/**
 * ob_irq_request - bind handlers to @vector of the device and enable it
 *
 * Devices that share an INTx line share its CPU: that of the first.
 *
 * Context: task.
 * Return: 0; -EINVAL, also for INTx on another CPU than its line's; -EBUSY taken; -ENOMEM; -ENODEV; -ETIMEDOUT the CPU
 * does not turn.
 */
int ob_irq_request(struct ob_device *dev, unsigned vector, const struct ob_irq_config *config, struct ob_irq **out);
/**
 * ob_irq_free - disable the vector; when it returns no handler runs or will run. Task. NULL is fine.
 *
 * So it waits for a task handler that runs now for as long as that takes, with a line in the log every second: a handler
 * must end. Where nobody turns the vector's CPU nothing can run; then this returns after some seconds and leaks.
 */
void ob_irq_free(struct ob_irq *irq);

/** ob_irq_mask, ob_irq_unmask - stop and resume delivery; what arrives meanwhile is delivered at unmask. Owner CPU. */
void ob_irq_mask(struct ob_irq *irq);
void ob_irq_unmask(struct ob_irq *irq);

/** ob_irq_stats - any thread; may lag while the vector's CPU runs */
void ob_irq_stats(const struct ob_irq *irq, struct ob_irq_stats *out);
/** ob_irq_name - as it was requested; valid until ob_irq_free() */
const char *ob_irq_name(const struct ob_irq *irq);

#ifdef __cplusplus
}
#endif
#endif
