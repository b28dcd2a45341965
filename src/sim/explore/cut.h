/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A run that is less than its seed says: limits, and of each kind of choice those that count, by number. It can be
 * written to a file, and that brings the run back.
 */
#ifndef OB_SIM_EXPLORE_CUT_H
#define OB_SIM_EXPLORE_CUT_H

#include "sim/sim.h"

struct explore;

struct cut_choices {
	uint32_t *numbers; /* ascending */
	uint32_t count;
};

struct explore_cut {
	unsigned load_max, cpus_max, channels_max;
	uint64_t steps_max;
	bool planned; /* otherwise all choices count */
	struct cut_choices choices[SIM_CHOICE_COUNT];
	/* the same as the world wants it; cut_plan() */
	struct sim_plan plan;
	uint64_t *bits[SIM_CHOICE_COUNT];
};

/* As files, JSON and summaries name them. */
extern const char *const cut_choice_names[SIM_CHOICE_COUNT];

/** cut_keep_all - plan the first @counts of each kind. 0 or -ENOMEM */
int cut_keep_all(struct explore_cut *cut, const uint32_t counts[SIM_CHOICE_COUNT]);
/** cut_copy - @to is free or was made by this. 0 or -ENOMEM */
int cut_copy(struct explore_cut *to, const struct explore_cut *from);
/** cut_trim - forget what did not come up */
void cut_trim(struct explore_cut *cut, const uint32_t counts[SIM_CHOICE_COUNT]);
/** cut_plan - make @cut->plan; before each run with other numbers. 0 or -ENOMEM */
int cut_plan(struct explore_cut *cut);
void cut_free(struct explore_cut *cut);
/** cut_apply - what a run's configuration has of it */
void cut_apply(const struct explore_cut *cut, struct sim_config *config);

/**
 * cut_write - a file for cut_read()
 * @rule, @hash: that the run ends with
 *
 * Return: 0 or negative errno.
 */
int cut_write(const char *path, const struct explore *e, const struct explore_cut *cut,
	      const struct sim_scenario *scenario, uint64_t seed, const char *rule, uint64_t hash);
/** cut_read - the run of a file into @e and @cut; CLI_OK, or an exit code after a message */
int cut_read(const char *path, struct explore *e, struct explore_cut *cut);

#endif
