/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard-explore: the explorer with the scenarios that come with it. */
#include "sim/explore/explore.h"
#include "sim/scenarios/scenarios.h"

int main(int argc, char **argv)
{
	return sim_explore_main(argc, argv, sim_scenarios);
}
