/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A run as a picture: a lane for each thread, for memory and for the device, time downwards, arrows for what takes its
 * time to arrive. It is one SVG file for any browser; what an element is in full stands in its tooltip.
 */
#ifndef OB_SIM_PICTURE_H
#define OB_SIM_PICTURE_H

#include <stdio.h>

#include "sim/sim.h"

struct sim_picture_options {
	unsigned events_max; /* the last ones are shown; 0: 120 */
	const char *command; /* how to get it again, to put into it; NULL: nothing */
};

/**
 * sim_picture_write - the last run of this process, up to its report or its end
 * @result:  of that run
 * @options: NULL: the defaults
 *
 * A run with sim_config.record shows more: each access to the memory that the report is about. Places are looked up in
 * the source, which takes a fraction of a second.
 * Return: 0; -ENODATA there was no run; -ENOMEM; or what writing ended with.
 */
int sim_picture_write(const struct sim_result *result, const struct sim_picture_options *options, FILE *f);

#endif
