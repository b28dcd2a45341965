/* SPDX-License-Identifier: BSD-2-Clause */
/* What the checks (check_*.c) ask of the rest of the world, and of each other. */
#ifndef OB_SIM_CHECK_H
#define OB_SIM_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ob_device;

/* At the start of a run, and at its end. */
void check_reset(void);
void check_requests(void);
void check_end(void);

/* check/context.c */
void check_may_wait(const char *what);
void check_may_sleep(const char *what);
void check_may_allocate(const char *what);

/* check/dma.c */
const char *check_dma_held(uint64_t iova, size_t len_bytes, const char **device);
void check_dma_taken(uint64_t iova, size_t len_bytes, bool freed_granted); /* from the device's reach */
void check_dma_address(uint64_t iova, const char *verb);                   /* that was never granted */

/* check/gone.c */
void check_gone_reset(void);
void check_gone_unbound(const struct ob_device *dev);
void check_gone_access(const struct ob_device *dev, const char *what, unsigned offset); /* to a register */
void check_spin(uintptr_t what, uint32_t pc, const char *kind);                         /* a look at it */

/* check/irq.c */
void check_irq_reset(void);
void check_irq_read(void); /* a register was read */
void check_irq_running(void);
void check_irq_cause(void);
void check_irq_unheard(const char *what);
void check_irq_asleep(uint64_t until_ns);
void check_sleep(void);

/* check/lend.c */
void check_lend_reset(void);
void check_lend_touch(uintptr_t address, size_t len_bytes, unsigned flags, uint32_t pc); /* by a CPU, of a lent cell */
void check_lend_device(uintptr_t address, size_t len_bytes, unsigned rights);
void check_lend_freed(uintptr_t address, size_t len_bytes);
void check_lend_end(void);

/* check/lock.c */
void check_lock_reset(void);
void check_lock_wait(const char *what);
void check_lock_freed(uintptr_t address, size_t len_bytes);
void check_lock_end(void);

/* check/durable.c */
void check_durable_reset(void);

#endif
