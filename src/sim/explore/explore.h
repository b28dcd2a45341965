/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The explorer: takes scenarios through many worlds, and says what it found. outboard-explore(1) documents what it does;
 * a program that explores scenarios of its own is a table of them and this one call.
 */
#ifndef OB_SIM_EXPLORE_EXPLORE_H
#define OB_SIM_EXPLORE_EXPLORE_H

#include "sim/sim.h"

/**
 * sim_explore_main - what main() returns
 * @argv:      as main() got it; argv[0] is how the program is called in what it prints
 * @scenarios: ends with NULL; the order is part of what a seed alone means
 *
 * Return: an exit code: 0 no report, 1 reports, 2 wrong use or cannot run, 128 + the number of a signal.
 */
int sim_explore_main(int argc, char **argv, const struct sim_scenario *const scenarios[]);

#endif
