/* SPDX-License-Identifier: BSD-2-Clause */
/* outboard explore: in two programs, because the simulation's build of the kit cannot be linked with the native one. */
#ifndef OB_CLI_EXPLORE_H
#define OB_CLI_EXPLORE_H

extern const char explore_help[];

#endif
