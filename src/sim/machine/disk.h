/* SPDX-License-Identifier: BSD-2-Clause */
/* What the disks in the world's machine have in common: what holds their data, and what befalls their requests. */
#ifndef OB_SIM_DISK_H
#define OB_SIM_DISK_H

#include "model/block/backing.h"
#include "sim/fault/fault.h"
#include "sim/machine/model.h"

/* A small disk; if the seed says so, one that loses what was not flushed. 0; -ENOMEM. */
int sim_disk_create(struct sim_device *dev, uint32_t block_bytes, struct backing **out);

/*
 * @io: a request of a user's, or one that is the driver's own: the same fault has a kind for each.
 */
/* When a request that was fetched just now ends, from now on: they end in any order. MODEL_NEVER: it hangs. */
uint64_t sim_disk_delay_ns(bool io);
/* Does the request that ends next fail, and by which rule? NULL: no. */
const struct fault_rule *sim_disk_failure(bool io);
/* Is a refusal that comes now no mistake of the driver's? Asked once for each request that ends. */
bool sim_disk_refusal_is_excused(void);

/*
 * For the model's power cut: blocks that were written and not flushed are there, or as they were: all, none, or any of
 * them. How many of eight are kept, and whether one is; @arg: the address of that number.
 */
unsigned sim_disk_kept_of_eight(const struct fault_rule *rule);
bool sim_disk_block_is_kept(void *arg, uint64_t offset);

#endif
