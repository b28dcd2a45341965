/* SPDX-License-Identifier: BSD-2-Clause */
/* Explore the ferry's driver. */
#include "sim/explore/explore.h"

extern const struct sim_scenario *const ferry_scenarios[];

int main(int argc, char **argv)
{
	return sim_explore_main(argc, argv, ferry_scenarios);
}
