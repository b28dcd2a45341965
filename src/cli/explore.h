/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard explore: in two programs, because the simulation's build of the kit cannot be linked with the native one. */
#ifndef OB_CLI_EXPLORE_H
#define OB_CLI_EXPLORE_H

extern const char explore_help[]; /* of "outboard explore" */

/** explore_print_help - the same of a program that is called @command, with names of its own scenarios in its examples */
void explore_print_help(const char *command, const char *scenario, const char *other);

#endif
