/* SPDX-License-Identifier: BSD-2-Clause */
/* A CPU inside core: what the loop walks in a turn, and the descriptors it waits for. */
#ifndef OB_CORE_CPU_H
#define OB_CORE_CPU_H

#include <outboard/cpu.h>
#include <outboard/poll.h>
#include <outboard/trace.h>

#include "core/os.h"

enum cpu_context {
	CPU_CONTEXT_PLAIN, /* no CPU's loop on this thread */
	CPU_CONTEXT_HARD,
	CPU_CONTEXT_SOFT,
	CPU_CONTEXT_TASK,
};

enum cpu_context cpu_context(void);

/* Is this plain thread the home of @cpu, so that it may touch what belongs to the CPU between turns? */
bool cpu_is_home(const struct ob_cpu *cpu);

/* Is a thread inside the CPU's loop at this moment? Any thread. */
bool cpu_is_inside(const struct ob_cpu *cpu);

/* A moment's wait, for what has nothing to fall back on when there is no memory. Context: task, or a plain thread. */
void event_await_memory(struct ob *ob);

int cpu_create(struct ob *ob, unsigned index, unsigned trace_events, struct ob_cpu **out);
void cpu_destroy(struct ob_cpu *cpu);

#endif
