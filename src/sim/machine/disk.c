/* SPDX-License-Identifier: BSD-2-Clause */
/* See disk.h. */
#include "sim/machine/disk.h"

#define DISK_BYTES (64u << 10)

int sim_disk_create(struct sim_device *dev, uint32_t block_bytes, struct backing **out)
{
	int ret = backing_plain_create(&dev->host, DISK_BYTES, out);

	if (ret == 0 && W.config.lossy)
		ret = backing_cache_create(&dev->host, *out, block_bytes, out);
	return ret;
}

/* ---- requests ---- */

/* The end that comes next was drawn as a fault. */
SIM_STATE static bool injected;

static const struct fault_rule *befalls(bool io, enum sim_fault kind, enum sim_fault admin)
{
	return fault_strike(io ? kind : admin);
}

uint64_t sim_disk_delay_ns(bool io)
{
	const struct fault_rule *r;

	fault_count(FAULT_AT_COMMAND);
	fault_count(io ? FAULT_AT_IO : FAULT_AT_ADMIN);
	if (befalls(io, SIM_FAULT_HANG, SIM_FAULT_ADMIN_HANG) != NULL)
		return MODEL_NEVER;
	r = befalls(io, SIM_FAULT_SLOW, SIM_FAULT_ADMIN_SLOW);
	if (r != NULL)
		return fault_slowness_ns(r);
	if (random_one_in(&W.random_fault, 4))
		return 0;
	return 1 + fault_draw(io ? W.config.latency_max_ns : 5 * OB_NS_PER_US);
}

const struct fault_rule *sim_disk_failure(bool io)
{
	const struct fault_rule *r = befalls(io, SIM_FAULT_FAIL, SIM_FAULT_ADMIN_FAIL);

	injected |= r != NULL;
	return r;
}

bool sim_disk_refusal_is_excused(void)
{
	bool drawn = injected;

	injected = false;
	return drawn || (W.fault_excuses & FAULT_EXCUSE_NOTES) != 0 || sim_fault_count(SIM_FAULT_CONFIG_ONES) > 0;
}

/* ---- power ---- */

unsigned sim_disk_kept_of_eight(const struct fault_rule *rule)
{
	static const unsigned shares[] = {0, 8, 4}; /* none, all, some */

	return rule->has_value ? shares[rule->value] : (unsigned)fault_draw(9);
}

bool sim_disk_block_is_kept(void *arg, uint64_t offset)
{
	const unsigned *of_eight = arg;

	return fault_draw(8) < *of_eight;
}
