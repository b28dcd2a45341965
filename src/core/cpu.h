/* SPDX-License-Identifier: BSD-2-Clause */
/* A CPU inside core: what the loop walks in a turn, and the descriptors it waits for. */
#ifndef OB_CORE_CPU_H
#define OB_CORE_CPU_H

#include <outboard/cpu.h>
#include <outboard/poll.h>
#include <outboard/trace.h>

#include "core/os.h"

/* A descriptor that a CPU waits for. fn runs in hard context; level-triggered: it must take what makes it readable. */
struct cpu_fd {
	int fd;
	void (*fn)(struct cpu_fd *fd);
};

/* Task on CPU 0, or the owner CPU. After cpu_fd_remove() returned, fn does not run (it goes to the owner CPU for that).
 */
int cpu_fd_add(struct ob_cpu *cpu, struct cpu_fd *fd);
void cpu_fd_remove(struct ob_cpu *cpu, struct cpu_fd *fd);

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

int cpu_create(struct ob *ob, unsigned index, unsigned trace_events, struct ob_cpu **out);
void cpu_destroy(struct ob_cpu *cpu);

#endif
