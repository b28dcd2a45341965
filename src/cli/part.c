/* SPDX-License-Identifier: BSD-2-Clause */
/* Other parts of Outboard that the command runs or loads. */
#include "cli/part.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool part_is_file(const char *path, int mode)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, mode) == 0;
}

bool part_find(char *out, size_t size, const char *name, const char *const beside[], const char *installed, int mode)
{
	char here[4096];
	ssize_t n = readlink("/proc/self/exe", here, sizeof(here) - 1);
	char *slash;

	here[n > 0 ? n : 0] = '\0';
	slash = strrchr(here, '/');
	if (slash)
		*slash = '\0';
	for (unsigned i = 0; slash && beside[i]; i++) {
		int len = snprintf(out, size, "%s/%s/%s", here, beside[i], name);

		if (len > 0 && (size_t)len < size && part_is_file(out, mode))
			return true;
	}
	snprintf(out, size, "%s", installed);
	return part_is_file(out, mode);
}
