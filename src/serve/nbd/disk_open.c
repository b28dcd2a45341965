/* SPDX-License-Identifier: BSD-2-Clause */
/* Bringing the disk behind the plugin up, and taking it down. */
#include <errno.h>
#include <stdlib.h>

#include "serve/nbd/disk.h"

static int open_lanes(struct disk *disk, const struct disk_config *config)
{
	disk->lanes = calloc(config->cpus, sizeof(*disk->lanes));
	if (!disk->lanes)
		return -ENOMEM;
	for (; disk->lane_count < config->cpus; disk->lane_count++) {
		struct lane_config lane = {
			.cpu = ob_cpu_get(disk->ob, disk->lane_count),
			.depth = config->depth,
			.mode = config->mode,
		};
		int error = lane_open(&disk->lanes[disk->lane_count], disk->block, &lane);

		if (error == -ENOSPC && disk->lane_count)
			return 0; /* the device has fewer queues than we have CPUs */
		if (error)
			return error;
	}
	return 0;
}

static int start_cpus(struct disk *disk)
{
	for (unsigned i = 0; i < ob_cpu_count(disk->ob); i++) {
		int error = ob_cpu_start(ob_cpu_get(disk->ob, i), -1);

		if (error)
			return error;
	}
	return 0;
}

int disk_open(const struct disk_config *config, struct disk **out, const char **what)
{
	struct ob_config ob = {.log = config->log, .log_level = config->log_level, .cpu_count = config->cpus};
	struct ob_machine_options options = {.args = config->arg_count ? config->args : NULL};
	struct disk *disk = calloc(1, sizeof(*disk));
	int error;

	*what = "out of memory";
	if (!disk)
		return -ENOMEM;
	range_table_init(&disk->ranges);
	error = ob_create(&ob, &disk->ob);
	if (error)
		goto fail;
	*what = "the machine did not open";
	error = ob_machine_open(disk->ob, config->machine, &options, &disk->machine);
	if (error)
		goto fail;
	*what = "no such block device";
	disk->block = ob_block_find(disk->ob, config->device);
	error = disk->block ? 0 : -ENOENT;
	if (error)
		goto fail;
	ob_block_limits(disk->block, &disk->limits);
	*what = "no threads for the CPUs";
	error = start_cpus(disk);
	if (error)
		goto fail;
	*what = "no channel to the disk";
	error = open_lanes(disk, config);
	if (error)
		goto fail;
	*out = disk;
	return 0;
fail:
	disk_close(disk);
	return error;
}

void disk_close(struct disk *disk)
{
	if (!disk)
		return;
	while (disk->lane_count)
		lane_close(&disk->lanes[--disk->lane_count]);
	free(disk->lanes);
	ob_block_put(disk->block);
	ob_machine_close(disk->machine);
	ob_destroy(disk->ob);
	range_table_fini(&disk->ranges);
	free(disk);
}
