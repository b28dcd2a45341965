/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of scenarios. A new one goes to the end: what the seed alone decides shifts with it. */
#include "sim/scenarios/scenarios.h"

#include <stddef.h>

const struct sim_scenario *const sim_scenarios[] = {
	&scenario_nvme_io,
	&scenario_nvme_rough,
	&scenario_nvme_small,
	&scenario_nvme_long,
	&scenario_nvme_suspend,
	&scenario_nvme_hostile,
	&scenario_nvme_power,
	&scenario_nvme_reset,
	&scenario_virtio_blk_io,
	&scenario_virtio_blk_rough,
	&scenario_virtio_blk_small,
	&scenario_virtio_blk_long,
	&scenario_virtio_blk_suspend,
	&scenario_virtio_blk_hostile,
	&scenario_virtio_blk_power,
	&scenario_virtio_blk_reset,
	&scenario_virtio_net,
	&scenario_virtio_net_suspend,
	&scenario_virtio_net_rough,
	&scenario_virtio_net_hostile,
	NULL,
};
