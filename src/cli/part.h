/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Other parts of Outboard that the command runs or loads. In a build directory they lie where they were built; installed
 * they have a fixed place, which an installation that was moved as a whole keeps relative to bin/.
 */
#ifndef OB_CLI_PART_H
#define OB_CLI_PART_H

#include <stdbool.h>
#include <stddef.h>

/** part_is_file - and may be used by @mode? A directory may have that name, too. */
bool part_is_file(const char *path, int mode);
/**
 * part_find - the path of a part, into @out
 * @beside:    directories relative to this program's; ends with NULL
 * @installed: its path when none of those has it
 * @mode:      as for access(2): what is going to be done with it
 */
bool part_find(char *out, size_t size, const char *name, const char *const beside[], const char *installed, int mode);

#endif
