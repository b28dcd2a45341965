/* SPDX-License-Identifier: BSD-2-Clause */
/* The scenarios that are built in. */
#ifndef TESTS_SIM_SCENARIOS_H
#define TESTS_SIM_SCENARIOS_H

#include "sim/sim.h"

extern const struct sim_scenario scenario_nvme_io, scenario_nvme_rough;

#endif
