/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts inside core: lines and what is bound to them.
 *
 * A line is one eventfd of a machine, delivered on one CPU. A message vector is a line of its own; an INTx line may
 * have several interrupts on it. What a line and an interrupt hold belongs to the line's CPU unless said otherwise.
 */
#ifndef OB_CORE_IRQ_H
#define OB_CORE_IRQ_H

#include <outboard/cpu.h>
#include <outboard/irq.h>

#include "base/list.h"
#include "core/cpu.h"

struct irq_line {
	struct list link; /* ob_machine.irq_lines; under irq_lock */
	unsigned users;   /* under irq_lock */
	struct ob_fd fd;
	struct ob_cpu *cpu;
	bool level;
	struct list irqs;    /* struct ob_irq.line_link */
	unsigned unanswered; /* deliveries in a row that nobody answered for */
	unsigned stuck;      /* deliveries in a row after which a level was still up */
	struct ob_work again;
	unsigned again_posted; /* __atomic */
};

/* Why an interrupt is masked. */
#define IRQ_MASKED_BY_DRIVER 1u
#define IRQ_MASKED_BY_STORM  2u

struct ob_irq {
	struct list line_link;
	struct irq_line *line;
	struct ob_device *dev;
	unsigned vector;
	struct ob_irq_config config;
	char name[48];
	bool attached; /* to its line: handlers may run */
	unsigned masked;
	bool pending; /* came while it was masked */
	struct ob_irq_stats stats;
	struct ob_work soft_work;
	unsigned soft_posted; /* __atomic */
	struct ob_task *task; /* of the task handler */
	struct ob_event wake;
	bool stop; /* the task is to end */
	/* irq_storm.c */
	uint64_t window_start_ns;
	uint32_t window_count;
	uint64_t noise_ns; /* when it last fired although masked, or began to storm */
	struct ob_timer storm_timer;
	struct ob_work storm_work; /* starts the timer, which hard context may not */
	unsigned storm_posted;     /* __atomic */
};

/* irq.c; owner CPU */

/* Call the hard handler, in hard context, and start what it asks for. */
enum ob_irq_result irq_deliver(struct ob_irq *irq);
/* Call @fn as an interrupt would: in hard context. */
void irq_run_hard(void (*fn)(void *arg), void *arg);
void irq_set_mask(struct ob_irq *irq, unsigned why);
void irq_clear_mask(struct ob_irq *irq, unsigned why);
/* Counters have one writer, and readers on other threads. */
#define IRQ_COUNT(counter) __atomic_store_n(&(counter), (counter) + 1, __ATOMIC_RELAXED)

/* irq_storm.c; owner CPU */

void irq_storm_init(struct ob_irq *irq);
/* Hard. A delivery of @irq answered @result; masks it when it comes too often. */
void irq_storm_count(struct ob_irq *irq, enum ob_irq_result result);
/* Hard. A delivery of @line was answered or not; masks who is to blame when nobody answers for long. */
void irq_storm_judge(struct irq_line *line, bool answered);
/* Hard. The level was looked at after a delivery; masks who holds it up when that goes on for long. */
void irq_storm_level(struct irq_line *line, bool up);

#endif
