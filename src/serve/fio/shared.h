/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the jobs of one fio have in common: the machine, for as long as there are jobs. Each job's thread turns a CPU of its
 * own; CPU 0, on which resets run, has a thread of ours.
 */
#ifndef OB_SERVE_FIO_SHARED_H
#define OB_SERVE_FIO_SHARED_H

#include <outboard/outboard.h>

/** shared_get - open the machine, or hold it once more. Says why not. 0; negative errno; -EXDEV another one is open. */
int shared_get(const char *uri);
/** shared_put - the last one closes it */
void shared_put(void);
/** shared_disk - by name, or the first; held; NULL: there is none */
struct ob_block *shared_disk(const char *name);
/** shared_machine - while it is held */
struct ob_machine *shared_machine(void);
/** shared_cpu_take - one for this thread; NULL: none left. shared_cpu_give() gives it back. */
struct ob_cpu *shared_cpu_take(void);
void shared_cpu_give(struct ob_cpu *cpu);

#endif
