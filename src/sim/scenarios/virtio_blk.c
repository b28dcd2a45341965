/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scenarios: the workloads of disks on a virtio one. Its rings are split or packed, with indirect tables or not, with event
 * indexes or flags, in order or in any, as the seed says.
 */
#include <stddef.h>

#include "sim/device.h"
#include "sim/scenarios/scenarios.h"

static const struct sim_device_type *const devices[] = {&sim_virtio_blk, NULL};

const struct sim_scenario scenario_virtio_blk_io = {
	.name = "virtio-blk-io",
	.help = "reads and writes over some channels of a virtio disk",
	.run = disk_run_io,
	.devices = devices,
};

const struct sim_scenario scenario_virtio_blk_small = {
	.name = "virtio-blk-small",
	.help = "8 reads and writes of a virtio disk that is up",
	.run = disk_run_small,
	.devices = devices,
	.shape = disk_shape_machine,
};

const struct sim_scenario scenario_virtio_blk_long = {
	.name = "virtio-blk-long",
	.help = "480 reads and writes of a virtio disk that is up: rings go round many times",
	.run = disk_run_long,
	.devices = devices,
	.shape = disk_shape_machine,
};

const struct sim_scenario scenario_virtio_blk_suspend = {
	.name = "virtio-blk-suspend",
	.help = "reads and writes while a virtio disk is suspended and resumed",
	.run = disk_run_suspend,
	.devices = devices,
};

const struct sim_scenario scenario_virtio_blk_reset = {
	.name = "virtio-blk-reset",
	.help = "reads and writes of a virtio disk that is reset, or says that it needs to be",
	.run = disk_run_breaks,
	.devices = devices,
};

const struct sim_scenario scenario_virtio_blk_rough = {
	.name = "virtio-blk-rough",
	.help = "nvme-rough on a virtio disk",
	.run = disk_run_rough,
	.devices = devices,
	.faults = DISK_FAULTS_ROUGH,
};

const struct sim_scenario scenario_virtio_blk_hostile = {
	.name = "virtio-blk-hostile",
	.help = "nvme-rough on a virtio disk that also lies: in its rings, registers, configuration",
	.run = disk_run_hostile,
	.devices = devices,
	.faults = DISK_FAULTS_HOSTILE,
};

const struct sim_scenario scenario_virtio_blk_power = {
	.name = "virtio-blk-power",
	.help = "power cuts and a virtio disk that is pulled out and put in: what was flushed is there",
	.run = disk_run_power,
	.devices = devices,
	.faults = DISK_FAULTS_POWER,
	.faults_sure = DISK_FAULTS_POWER_SURE,
};
