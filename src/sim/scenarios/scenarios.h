/* SPDX-License-Identifier: BSD-2-Clause */
/* The scenarios that come with the explorer: one file each, and a place in its table. */
#ifndef OB_SIM_SCENARIOS_SCENARIOS_H
#define OB_SIM_SCENARIOS_SCENARIOS_H

#include "sim/sim.h"

extern const struct sim_scenario scenario_nvme_io, scenario_nvme_small, scenario_nvme_long, scenario_nvme_rough,
	scenario_nvme_suspend, scenario_nvme_hostile, scenario_nvme_power, scenario_nvme_reset;

/* All of them, in the order of `outboard explore --list`; ends with NULL. */
extern const struct sim_scenario *const sim_scenarios[];

#endif
