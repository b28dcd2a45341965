/* SPDX-License-Identifier: BSD-2-Clause */
/* The scenarios that come with the explorer, and its table of them. */
#ifndef OB_SIM_SCENARIOS_SCENARIOS_H
#define OB_SIM_SCENARIOS_SCENARIOS_H

#include "sim/sim.h"

extern const struct sim_scenario scenario_nvme_io, scenario_nvme_small, scenario_nvme_long, scenario_nvme_rough,
	scenario_nvme_suspend, scenario_nvme_hostile, scenario_nvme_power, scenario_nvme_reset;
extern const struct sim_scenario scenario_virtio_blk_io, scenario_virtio_blk_small, scenario_virtio_blk_long,
	scenario_virtio_blk_suspend, scenario_virtio_blk_rough, scenario_virtio_blk_hostile, scenario_virtio_blk_power,
	scenario_virtio_blk_reset;
extern const struct sim_scenario scenario_virtio_net, scenario_virtio_net_suspend, scenario_virtio_net_rough,
	scenario_virtio_net_hostile;

/* All of them, in the order of `outboard explore --list`; ends with NULL. */
extern const struct sim_scenario *const sim_scenarios[];

/* ---- the workloads, which are the same for every disk: nvme_io.c, nvme_rough.c, nvme_power.c ---- */

void disk_run_io(const struct sim_config *config);
void disk_run_suspend(const struct sim_config *config);
void disk_run_breaks(const struct sim_config *config);
void disk_run_small(const struct sim_config *config);
void disk_run_long(const struct sim_config *config);
void disk_shape_machine(const struct sim_config *config, struct sim_config *shape);
void disk_run_rough(const struct sim_config *config);
void disk_run_hostile(const struct sim_config *config);
void disk_run_power(const struct sim_config *config);

#define DISK_FAULT(kind) SIM_FAULT_BIT(SIM_FAULT_##kind)

/* A device that breaks … */
#define DISK_FAULTS_ROUGH                                                                                           \
	(DISK_FAULT(HANG) | DISK_FAULT(SLOW) | DISK_FAULT(FAIL) | DISK_FAULT(ADMIN_HANG) | DISK_FAULT(ADMIN_SLOW) | \
	 DISK_FAULT(ADMIN_FAIL) | DISK_FAULT(COMPLETION_BAD) | DISK_FAULT(COMPLETION_LOST) |                        \
	 DISK_FAULT(INTERRUPT_LOST) | DISK_FAULT(INTERRUPT_LATE) | DISK_FAULT(INTERRUPT_SPURIOUS) |                 \
	 DISK_FAULT(REGISTERS_ONES) | DISK_FAULT(CONFIG_ONES) | DISK_FAULT(NOT_READY) | DISK_FAULT(NOT_IDLE) |      \
	 DISK_FAULT(FATAL) | DISK_FAULT(REMOVE) | DISK_FAULT(INSERT) | DISK_FAULT(POWER_CUT) | DISK_FAULT(CALL))

/* … and one that lies as well. */
#define DISK_FAULTS_HOSTILE (SIM_FAULT_BIT(SIM_FAULT_COUNT) - 1)

#define DISK_FAULTS_POWER_SURE (DISK_FAULT(POWER_CUT) | DISK_FAULT(INSERT))
#define DISK_FAULTS_POWER                                                                       \
	(DISK_FAULT(HANG) | DISK_FAULT(SLOW) | DISK_FAULT(FAIL) | DISK_FAULT(COMPLETION_LOST) | \
	 DISK_FAULT(INTERRUPT_LOST) | DISK_FAULT(INTERRUPT_LATE) | DISK_FAULT(REMOVE) | DISK_FAULTS_POWER_SURE)

#endif
